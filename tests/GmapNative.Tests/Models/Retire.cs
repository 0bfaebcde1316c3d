using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 18: an unlinked table is drained after its grace and before its reuse. A harvest that begins in between
/// must not miss the late marks: it follows the bits (live entries, then tables in limbo, then the log), or there
/// are none, because the entries were closed and poured one by one before the table was unlinked.
/// </summary>
[TestFixture]
public sealed class Retire
{
    private const string Lost = "a store is neither copied nor marked";
    private const string Stranger = "a late mark went to a page of the table's next owner";
    private const string Missed = "a store that ended before the harvest began is not in its copy";

    public enum Drain
    {
        AfterGrace,
        Never,
        BeforeGrace,
        ReusedBeforeGrace,
    }

    public enum Scan
    {
        LiveLimboLog,
        LiveLog,
        LogLimboLive,
        LimboListedLate,
        ClearedBeforePoured,
        ClosedBeforeUnlink,
    }

    [Test]
    public void Drain_after_the_grace_holds() => Check.Holds(Collapse(Drain.AfterGrace));

    [TestCase(Drain.Never, Lost)]
    [TestCase(Drain.BeforeGrace, Lost)]
    [TestCase(Drain.ReusedBeforeGrace, Stranger)]
    public void Without_it_fails(Drain drain, string kind) => Check.Fails(Collapse(drain), kind);

    [TestCase(Scan.LiveLimboLog)]
    [TestCase(Scan.ClosedBeforeUnlink)]
    public void Harvest_that_follows_the_bits_holds(Scan scan) => Check.Holds(CollapseAndHarvest(scan));

    [TestCase(Scan.LiveLog)]
    [TestCase(Scan.LogLimboLive)]
    [TestCase(Scan.LimboListedLate)]
    [TestCase(Scan.ClearedBeforePoured)]
    public void Harvest_that_overlooks_them_fails(Scan scan) => Check.Fails(CollapseAndHarvest(scan), Missed);

    private static Model<State> Collapse(Drain drain) => new Model<State>(default)
        .Thread("W", Write)
        .Thread("C", c =>
        {
            c.Try("table is clean?", (ref s) => s.SoftDirty ? Flow.End : Flow.Next);
            c.Do("link leaf P=1", (ref s) => s.Unlinked = true);
            if (drain == Drain.BeforeGrace)
            {
                Pour(c);
            }

            if (drain == Drain.ReusedBeforeGrace)
            {
                c.Do("reuse table", (ref s) => s.Reused = true);
            }

            Grace(c);
            if (drain is Drain.AfterGrace or Drain.ReusedBeforeGrace)
            {
                Pour(c);
            }

            if (drain != Drain.ReusedBeforeGrace)
            {
                c.Do("reuse table", (ref s) => s.Reused = true);
            }
        })
        .Never(Stranger, (in s) => s.MarkedStranger)
        .NeverAtEnd(Lost, (in s) => s.Memory && !s.Log && (s.Unlinked || !s.SoftDirty));

    private static Model<State> CollapseAndHarvest(Scan scan) => new Model<State>(default)
        .Thread("W", w =>
        {
            Write(w);
            w.Do("done", (ref s) => s.Done = true);
        })
        .Thread("C", c =>
        {
            if (scan == Scan.ClosedBeforeUnlink)
            {
                CloseAndUnlink(c);
                return;
            }

            c.Try("table is clean?", (ref s) => s.SoftDirty ? Flow.End : Flow.Next);
            if (scan != Scan.LimboListedLate)
            {
                c.Do("put table on limbo list", (ref s) => s.InLimbo = true);
            }

            c.Do("link leaf P=1", (ref s) => s.Unlinked = true);
            if (scan == Scan.LimboListedLate)
            {
                c.Do("put table on limbo list", (ref s) => s.InLimbo = true);
            }

            Grace(c);
            c.Do("load late bits", (ref s) => s.Late = s.SoftDirty);
            if (scan == Scan.ClearedBeforePoured)
            {
                c.Do("clear table", (ref s) => s.SoftDirty = false);
            }

            c.Do("pour late bits", (ref s) => s.Log |= s.Late);
            c.Do("forget table", (ref s) => s.InLimbo = s.SoftDirty = false);
        })
        .Thread("H", h => Harvest(h, scan))
        .NeverAtEnd(Missed, (in s) => s.DoneAtBegin && !s.Copy)
        .NeverAtEnd(Lost, (in s) => s.Memory && !s.Copy && !s.Log && (s.Unlinked || !s.SoftDirty));

    /// <summary>An inline writer's compare-and-swap fails on a closed entry, so nothing can be late.</summary>
    private static void CloseAndUnlink(Actor<State> c)
    {
        c.When("LOCK", (in s) => !s.Locked, (ref s) => s.Locked = true);
        c.Do("pour entry", (ref s) =>
        {
            s.Late = s.SoftDirty;
            s.Log |= s.Late;
        });
        c.Try("CAS entry invalid", (ref s) =>
        {
            if (s.SoftDirty != s.Late)
            {
                return Flow.To("pour entry");
            }

            s.SoftDirty = false;
            s.Closed = true;
            return Flow.Next;
        });
        c.Do("link leaf P=1, unlock", (ref s) => (s.Unlinked, s.Locked) = (true, false));
        Grace(c);
        c.Do("reuse table", (ref s) => s.Reused = true);
    }

    private static void Write(Actor<State> w) => w
        .Do("enter", (ref s) => s.Sections.Enter(1))
        .Try("load segment", (ref s) => s.Unlinked ? Flow.To("ask the library") : Flow.Next)
        .Try("CAS entry", (ref s) =>
        {
            if (s.Closed)
            {
                return Flow.To("ask the library");
            }

            // The same value stands at the same place in the table's next life: the compare succeeds.
            s.MarkedStranger |= s.Reused;
            s.SoftDirty |= !s.Reused;
            return Flow.Next;
        })
        .Do("store", (ref s) => s.Memory = true)
        .Try("leave", (ref s) =>
        {
            s.Sections.Leave(1);
            return Flow.To("end");
        })
        .Try("ask the library", (ref s) =>
        {
            s.Sections.Leave(1);
            return Flow.End;
        })
        .Do("end", (ref s) => { });

    private static void Grace(Actor<State> c) => c
        .Do("barrier", (ref s) => s.Sections.BeginGrace())
        .When("grace", (in s) => s.Sections.GraceOver());

    private static void Pour(Actor<State> c) => c.Do("drain table", (ref s) => s.Log |= s.SoftDirty);

    private static void Harvest(Actor<State> h, Scan scan)
    {
        h.Do("begin", (ref s) => s.DoneAtBegin = s.Done);
        string[] order = scan switch
        {
            Scan.LiveLog or Scan.ClosedBeforeUnlink => ["live", "log"],
            Scan.LogLimboLive => ["log", "limbo", "live"],
            _ => ["live", "limbo", "log"],
        };
        foreach (string place in order)
        {
            h.When($"take from {place}", (in s) => place != "live" || !s.Locked, (ref s) => TakeFrom(ref s, place));
        }

        h.Try("found any?", (ref s) => s.Took ? Flow.Next : Flow.End);
        h.Do("barrier", (ref s) => s.Sections.BeginGrace(1));
        h.When("grace", (in s) => s.Sections.GraceOver(1));
        h.Do("copy", (ref s) => s.Copy = s.Memory);
    }

    private static void TakeFrom(ref State s, string place)
    {
        switch (place)
        {
            case "live" when !s.Unlinked:
            case "limbo" when s.InLimbo:
                s.Took |= s.SoftDirty;
                s.SoftDirty = false;
                break;
            case "log":
                s.Took |= s.Log;
                s.Log = false;
                break;
            default:
                break;
        }
    }

    private record struct State
    {
        public Sections Sections;
        public bool SoftDirty;
        public bool Closed;
        public bool Locked;
        public bool Unlinked;
        public bool InLimbo;
        public bool Reused;
        public bool MarkedStranger;
        public bool Late;
        public bool Log;
        public bool Took;
        public bool Memory;
        public bool Copy;
        public bool Done;
        public bool DoneAtBegin;
    }
}
