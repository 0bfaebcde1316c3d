using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 15, how a mark gets into the log beside the mover: a bit that is found set is not set again, a whole word is stored plainly, the
/// block's bit comes after its words. Each processor's stores wait in a buffer, in order, and loads go ahead of them; a locked
/// instruction or a fence drains it. The mover forgets the block, looks at the word, pours what it saw, takes it, and copies.
/// </summary>
[TestFixture]
public sealed class LogMarks
{
    private const string Lost = "a store is neither copied nor marked";
    private const string Late = "a mark that was done before is not found by the next harvest";

    public enum Variant
    {
        LockedOr,
        TestAfterFence,
        PlainWord,
        TestWithoutFence,
        BlockBeforeWord,
        NoFenceBeforeBlock,
        SkipsBlock,
    }

    [TestCase(Variant.LockedOr)]
    [TestCase(Variant.TestAfterFence)]
    [TestCase(Variant.PlainWord)]
    public void Rule_holds(Variant variant) => Check.Holds(Build(variant));

    [TestCase(Variant.TestWithoutFence, Lost)]
    [TestCase(Variant.BlockBeforeWord, Late)]
    [TestCase(Variant.NoFenceBeforeBlock, Late)]
    [TestCase(Variant.SkipsBlock, Late)]
    public void Without_it_fails(Variant variant, string how) => Check.Fails(Build(variant), how);

    /// <summary>The page's bit is set from before by another marker, who has yet to come to the block; or nothing is set.</summary>
    private static Model<State> Build(Variant variant)
    {
        bool marked = variant is Variant.TestAfterFence or Variant.TestWithoutFence or Variant.SkipsBlock;
        bool block = variant != Variant.SkipsBlock;
        return new Model<State>(new State { Word = marked, Block = block })
            .Thread("D", d => Mark(d, variant))
            .Thread("buffer", b => b.Try("drains", (ref s) => Drain(ref s) ? Flow.To("drains") : Flow.Wait).AsDaemon())
            .Thread("H", h =>
            {
                Harvest(h, 1);
                // The mark is done, and every buffer drained: what this one does not find comes late.
                h.When("marked", (in s) => s.Done && s.Pending == 0);
                Harvest(h, 2);
            })
            .NeverAtEnd(Lost, (in s) => !s.Copy && !s.Word)
            .NeverAtEnd(Late, (in s) => !s.Copy && s.Word);
    }

    private static void Mark(Actor<State> d, Variant variant)
    {
        Put(d, "store", Store);
        switch (variant)
        {
            case Variant.LockedOr:
                d.When("or", (in s) => s.Pending == 0, (ref s) => s.Word = true);
                Block(d);
                break;
            case Variant.TestAfterFence:
            case Variant.TestWithoutFence:
            case Variant.SkipsBlock:
                if (variant != Variant.TestWithoutFence)
                {
                    d.When("fence", (in s) => s.Pending == 0);
                }
                d.Try("test", (ref s) => s.Word ? Flow.To(variant == Variant.SkipsBlock ? "done" : "test block") : Flow.Next);
                d.When("or", (in s) => s.Pending == 0, (ref s) => s.Word = true);
                Block(d);
                break;
            case Variant.BlockBeforeWord:
                Block(d);
                Put(d, "store word", Word);
                break;
            default:
                Put(d, "store word", Word);
                if (variant == Variant.PlainWord)
                {
                    d.When("fence", (in s) => s.Pending == 0);
                }
                Block(d);
                break;
        }
        d.Do("done", (ref s) => s.Done = true);
    }

    private static void Block(Actor<State> d)
    {
        d.Try("test block", (ref s) => s.Block ? Flow.To("block is set") : Flow.Next);
        d.When("or block", (in s) => s.Pending == 0, (ref s) => s.Block = true);
        d.Do("block is set", (ref _) => { });
    }

    private static void Harvest(Actor<State> h, int round)
    {
        string next = $"end {round}";
        h.Try($"block {round}", (ref s) => s.Block ? Flow.Next : Flow.To(next));
        h.Do($"forget {round}", (ref s) => s.Block = false);
        h.Try($"look {round}", (ref s) => s.Word ? Flow.Next : Flow.To(next));
        h.Do($"take {round}", (ref s) => s.Word = false); // a locked and of what it saw
        h.Do($"copy {round}", (ref s) => s.Copy = s.Memory);
        h.Do(next, (ref _) => { });
    }

    private const byte Store = 1;
    private const byte Word = 2;

    /// <summary>Two stores at most: two bits each, the older one below.</summary>
    private static void Put(Actor<State> d, string label, byte what) =>
        d.Do(label, (ref s) => s.Pending |= (byte)(s.Pending == 0 ? what : what << 2));

    private static bool Drain(ref State s)
    {
        s.Memory |= (s.Pending & 3) == Store;
        s.Word |= (s.Pending & 3) == Word;
        bool any = s.Pending != 0;
        s.Pending >>= 2;
        return any;
    }

    private record struct State
    {
        public bool Memory;
        public bool Copy;
        public bool Word;
        public bool Block;
        public bool Done;
        public byte Pending;
    }
}
