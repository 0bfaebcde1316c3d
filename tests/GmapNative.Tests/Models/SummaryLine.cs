using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 11: a harvest of a part of a summary line leaves the line's bit alone. One entry in range (1), one out of it (2),
/// which another slot's harvest (H2) looks for.
/// </summary>
[TestFixture]
public sealed class SummaryLine
{
    private const string Unsummarized = "an entry is marked and its summary bit is clear";
    private const string Lost = "a store is neither copied nor marked";
    private const string PassedOver = "a harvest that began after a store of its slot passed it over";
    private const byte InRange = 1;
    private const byte OutOfRange = 2;

    public enum Variant
    {
        LeavesTheBit,
        SetsBitBack,
        ForgetsTheRest,
        ChecksBeforeClearing,
        TakesBeforeClearing,
    }

    public enum Writers
    {
        BothOutOfRange,
        OneEach,
        BothInRange,
    }

    [TestCase(Writers.BothOutOfRange)]
    [TestCase(Writers.OneEach)]
    [TestCase(Writers.BothInRange)]
    public void Rule_holds(Writers writers) => Check.Holds(Build(Variant.LeavesTheBit, writers));

    [TestCase(Variant.ForgetsTheRest, Writers.BothOutOfRange)]
    [TestCase(Variant.ForgetsTheRest, Writers.OneEach)]
    [TestCase(Variant.ChecksBeforeClearing, Writers.BothOutOfRange)]
    [TestCase(Variant.ChecksBeforeClearing, Writers.OneEach)]
    [TestCase(Variant.TakesBeforeClearing, Writers.BothInRange)]
    public void Without_it_fails(Variant variant, Writers writers) =>
        Check.Fails(Build(variant, writers), Unsummarized);

    [TestCase(Writers.BothOutOfRange)]
    [TestCase(Writers.OneEach)]
    public void Setting_it_back_is_too_late(Writers writers) =>
        Check.Fails(Build(Variant.SetsBitBack, writers), PassedOver);

    /// <summary>The entry in range is dirty from before, so the summary bit is set; clean where nobody clears the bit.</summary>
    private static Model<State> Build(Variant variant, Writers writers)
    {
        byte first = writers == Writers.BothInRange ? InRange : OutOfRange;
        byte second = writers == Writers.BothOutOfRange ? OutOfRange : InRange;
        byte before = variant == Variant.LeavesTheBit ? (byte)0 : InRange;
        Model<State> model = new Model<State>(new State { SoftDirty = before, Writable = before, Summary = before != 0 })
            .Thread("W1", w => Write(w, first, 1))
            .Thread("W2", w => Write(w, second, 2))
            .Thread("H", h => Harvest(h, variant));
        if ((variant is Variant.LeavesTheBit or Variant.SetsBitBack) && writers != Writers.BothInRange)
        {
            model.Thread("H2", h => h
                .Do("begin", (ref s) => s.Due = s.MemoryOut != 0)
                .Do("test summary", (ref s) => s.PassedOver = s.Due && !s.Summary));
        }

        return model
            .Never(PassedOver, (in s) => s.PassedOver)
            .NeverAtEnd(Unsummarized, (in s) => s.SoftDirty != 0 && !s.Summary)
            .NeverAtEnd(Lost, (in s) => s.MemoryIn != s.CopyIn && (s.SoftDirty & InRange) == 0)
            .NeverAtEnd(Lost, (in s) => s.MemoryOut != 0 && (s.SoftDirty & OutOfRange) == 0);
    }

    private static void Write(Actor<State> w, byte entry, byte who) => w
        .Do("enter", (ref s) => s.Sections.Enter(who))
        .Do("CAS entry", (ref s) =>
        {
            if ((s.Writable & entry) == 0)
            {
                s.Writable |= entry;
                s.SoftDirty |= entry;
            }
        })
        .Try("test summary", (ref s) => s.Summary ? Flow.To("store") : Flow.Next)
        .Do("OR summary", (ref s) => s.Summary = true)
        .Do("store", (ref s) =>
        {
            s.MemoryIn |= entry == InRange ? who : (byte)0;
            s.MemoryOut |= entry == OutOfRange ? who : (byte)0;
        })
        .Do("leave", (ref s) => s.Sections.Leave(who));

    private static void Harvest(Actor<State> h, Variant variant)
    {
        switch (variant)
        {
            case Variant.ChecksBeforeClearing:
                CheckRest(h);
                Clear(h);
                Take(h);
                SetBack(h);
                break;
            case Variant.TakesBeforeClearing:
                Take(h);
                Clear(h);
                CheckRest(h);
                SetBack(h);
                break;
            case Variant.LeavesTheBit:
                Take(h);
                break;
            default:
                Clear(h);
                Take(h);
                if (variant == Variant.SetsBitBack)
                {
                    CheckRest(h);
                    SetBack(h);
                }

                break;
        }

        h.Do("barrier", (ref s) => s.Sections.BeginGrace());
        h.When("grace", (in s) => s.Sections.GraceOver());
        h.Do("copy if reported", (ref s) => s.CopyIn = s.Took ? s.MemoryIn : s.CopyIn);
    }

    private static void Clear(Actor<State> h) => h.Do("clear summary bit", (ref s) => s.Summary = false);

    private static void Take(Actor<State> h) => h.Do("take in range", (ref s) =>
    {
        s.Took = (s.SoftDirty & InRange) != 0;
        s.SoftDirty &= OutOfRange;
        s.Writable &= s.Took ? OutOfRange : (byte)3;
    });

    private static void CheckRest(Actor<State> h) =>
        h.Do("look at the rest", (ref s) => s.RestIsDirty = (s.SoftDirty & OutOfRange) != 0);

    private static void SetBack(Actor<State> h) => h.Do("set bit back", (ref s) => s.Summary |= s.RestIsDirty);

    private record struct State
    {
        public Sections Sections;
        public byte SoftDirty;
        public byte Writable;
        public bool Summary;
        public bool Took;
        public bool RestIsDirty;
        public bool Due;
        public bool PassedOver;
        public byte MemoryIn;
        public byte MemoryOut;
        public byte CopyIn;
    }
}
