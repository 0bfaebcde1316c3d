using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 11: a harvest of a part of a summary line: clear the line's bit, take the entries in range, set the bit
/// back if one out of range is still soft-dirty. One entry in range (1), one out of it (2).
/// </summary>
[TestFixture]
public sealed class SummaryLine
{
    private const string Unsummarized = "an entry is marked and its summary bit is clear";
    private const string Lost = "a store is neither copied nor marked";
    private const byte InRange = 1;
    private const byte OutOfRange = 2;

    public enum Variant
    {
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
    public void Rule_holds(Writers writers) => Check.Holds(Build(Variant.SetsBitBack, writers));

    [TestCase(Variant.ForgetsTheRest, Writers.BothOutOfRange)]
    [TestCase(Variant.ForgetsTheRest, Writers.OneEach)]
    [TestCase(Variant.ChecksBeforeClearing, Writers.BothOutOfRange)]
    [TestCase(Variant.ChecksBeforeClearing, Writers.OneEach)]
    [TestCase(Variant.TakesBeforeClearing, Writers.BothInRange)]
    public void Without_it_fails(Variant variant, Writers writers) =>
        Check.Fails(Build(variant, writers), Unsummarized);

    /// <summary>The entry in range is dirty from before, so the summary bit is set.</summary>
    private static Model<State> Build(Variant variant, Writers writers)
    {
        byte first = writers == Writers.BothInRange ? InRange : OutOfRange;
        byte second = writers == Writers.BothOutOfRange ? OutOfRange : InRange;
        return new Model<State>(new State { SoftDirty = InRange, Writable = InRange, Summary = true })
            .Thread("W1", w => Write(w, first, 1))
            .Thread("W2", w => Write(w, second, 2))
            .Thread("H", h => Harvest(h, variant))
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
        public byte MemoryIn;
        public byte MemoryOut;
        public byte CopyIn;
    }
}
