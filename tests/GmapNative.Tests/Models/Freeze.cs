using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 20: freeze, grace, plain edit, thaw; rule 2: P accumulates; rule 8: nothing blocks inside a section. The harvest lock is let go for
/// the grace, since a GET takes it inside a section; it sees the frozen table, the log or the epoch, never nothing.
/// </summary>
[TestFixture]
public sealed class Freeze
{
    private const string Lost = "a store is neither copied nor marked";
    private const string Unseen = "a GET passes over a store that was done before it";

    public enum Variant
    {
        FreezeGraceEditThaw,
        NoGrace,
        EditBeforeGrace,
        WriterIgnoresSegment,
        WriterWaitsInside,
        GrantInFrozen,
        LockOverGrace,
        GetWaitsForThaw,
        EditWithoutLock,
    }

    [TestCase(Variant.FreezeGraceEditThaw, true)]
    [TestCase(Variant.FreezeGraceEditThaw, false)]
    public void Rule_holds(Variant variant, bool gets) => Check.Holds(Build(variant, gets));

    [TestCase(Variant.NoGrace, Lost)]
    [TestCase(Variant.EditBeforeGrace, Lost)]
    [TestCase(Variant.WriterIgnoresSegment, Lost)]
    [TestCase(Variant.WriterWaitsInside, Outcome.Stuck)]
    [TestCase(Variant.GrantInFrozen, Lost)]
    public void Without_it_fails(Variant variant, string kind) => Check.Fails(Build(variant, gets: false), kind);

    [TestCase(Variant.LockOverGrace, Outcome.Stuck)]
    [TestCase(Variant.GetWaitsForThaw, Outcome.Stuck)]
    [TestCase(Variant.EditWithoutLock, Unseen)]
    public void Get_beside_it_fails(Variant variant, string kind) => Check.Fails(Build(variant, gets: true), kind);

    private static Model<State> Build(Variant variant, bool gets)
    {
        Model<State> model = new Model<State>(default).Thread("W1", w => Write(w, 1, variant));
        if (gets)
        {
            _ = model.Thread("G", g => Get(g, variant));
        }
        else
        {
            _ = model.Thread("W2", w => Write(w, 2, variant));
        }
        return model.Thread("H", h => Harvest(h, variant))
            .Never(Unseen, (in s) => s.Missed)
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty);
    }

    private static void Harvest(Actor<State> h, Variant variant)
    {
        bool keeps = variant == Variant.LockOverGrace;
        h.When("harvest lock", (in s) => !s.Gate, (ref s) => s.Gate = true);
        h.Do("freeze", (ref s) => s.Frozen = true);
        h.Do("harvest lock let go", (ref s) => s.Gate = keeps);
        if (variant is not (Variant.NoGrace or Variant.EditBeforeGrace))
        {
            Grace(h);
        }
        if (!keeps && variant != Variant.EditWithoutLock)
        {
            h.When("harvest lock again", (in s) => !s.Gate, (ref s) => s.Gate = true);
        }
        h.Do("plain load", (ref s) => s.Loaded = s.SoftDirty);
        if (variant != Variant.EditWithoutLock)
        {
            h.Do("pour", (ref s) => s.Epoch |= s.Loaded);
        }
        h.Do("plain store clean, P=1", (ref s) => s.SoftDirty = s.Writable = false);
        h.Do("pour late", (ref s) => s.Epoch |= s.Loaded);
        if (variant == Variant.EditBeforeGrace)
        {
            Grace(h);
        }
        h.Do("thaw", (ref s) => s.Frozen = false);
        h.Do("all taken", (ref s) => s.Gate = false);
        Grace(h, "barrier of delivery", "grace of delivery", 1);
        h.Do("copy if reported", (ref s) =>
        {
            s.Copy = s.Epoch ? s.Memory : s.Copy;
            s.Copied |= s.Epoch;
        });
    }

    private static void Grace(Actor<State> h, string barrier = "barrier", string grace = "grace", int number = 0) => h
        .Do(barrier, (ref s) => s.Sections.BeginGrace(number))
        .When(grace, (in s) => s.Sections.GraceOver(number));

    /// <summary>In a section of its own: it is no call that waits.</summary>
    private static void Get(Actor<State> g, Variant variant)
    {
        g.Do("get: enter", (ref s) => s.Sections.Enter(4));
        g.Do("get: begins", (ref s) => s.Before = s.Memory);
        g.When("get: harvest lock", (in s) => !s.Gate || variant == Variant.EditWithoutLock);
        if (variant == Variant.GetWaitsForThaw)
        {
            g.When("get: thaw", (in s) => !s.Frozen);
        }
        // Under the harvest lock: nobody takes meanwhile. One step, but for who edits without it.
        g.When("get: looks", (in s) => !s.Gate || variant == Variant.EditWithoutLock,
            (ref s) => s.Missed = s.Before != 0 && !s.SoftDirty && !s.Epoch && !s.Copied);
        g.Do("get: leave", (ref s) => s.Sections.Leave(4));
    }

    private static void Write(Actor<State> w, byte bit, Variant variant)
    {
        w.Do("enter", (ref s) => s.Sections.Enter(bit));
        if (variant != Variant.WriterIgnoresSegment)
        {
            w.Try("load segment", (ref s) => s.Frozen ? Flow.To("ask the library") : Flow.Next);
        }
        w.Do("CAS entry", (ref s) =>
        {
            if (!s.Writable)
            {
                s.Writable = s.SoftDirty = true;
            }
        });
        w.Do("store", (ref s) => s.Memory |= bit);
        w.Try("leave", (ref s) =>
        {
            s.Sections.Leave(bit);
            return Flow.End;
        });
        if (variant == Variant.WriterIgnoresSegment)
        {
            return;
        }
        w.Try("ask the library", (ref s) =>
        {
            // A page that is granted is answered at once: its mark is being taken, and the grace of the delivery waits for this section.
            if (s.Writable)
            {
                return Flow.To("store");
            }
            if (variant == Variant.GrantInFrozen)
            {
                return Flow.To("CAS entry");
            }
            if (variant != Variant.WriterWaitsInside)
            {
                s.Sections.Leave(bit);
            }
            return Flow.Next;
        });
        w.Try("wait for the thaw", (ref s) => s.Frozen ? Flow.Wait : Flow.To("enter"));
    }

    private record struct State
    {
        public Sections Sections;
        public bool Gate;
        public bool Frozen;
        public bool SoftDirty;
        public bool Writable;
        public bool Loaded;
        public bool Epoch;
        public bool Missed;
        public bool Copied;
        public byte Before;
        public byte Memory;
        public byte Copy;
    }
}
