using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 6: a thread that stays inside polls. A grace waits until it has answered to a generation that was raised after the take, or
/// has left. No barrier is in it: see the generation, then load; store, then answer.
/// </summary>
[TestFixture]
public sealed class Again
{
    private const string Lost = "a store is neither copied nor marked";

    public enum Variant
    {
        Rule,

        /// <summary>An answer to the generation before the bump counts.</summary>
        OldAnswer,

        /// <summary>The generation is raised before the take.</summary>
        BumpBeforeTake,

        /// <summary>The cache is looked at, then the poll answers, then the store goes by what was found.</summary>
        RightKept,

        /// <summary>The cache is filled with the generation of then, not with the answered one.</summary>
        FilledWithNow,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.OldAnswer)]
    [TestCase(Variant.BumpBeforeTake)]
    [TestCase(Variant.RightKept)]
    [TestCase(Variant.FilledWithNow)]
    public void Any_other_way_fails(Variant variant) => Check.Fails(Build(variant), Lost);

    private static Model<State> Build(Variant variant) =>
        new Model<State>(new State { Generation = 2 })
            .Thread("W", w =>
            {
                w.Do("inside", (ref s) => s.Inside = true).Do("load the generation", (ref s) => s.Answered = s.Generation);
                Write(w, 1, variant);
                Write(w, 2, variant);
                Write(w, 4, variant);
                w.Do("leave", (ref s) => s.Inside = false);
            })
            .Thread("H", h => Harvest(h, variant))
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.Mark);

    private static void Write(Actor<State> w, byte bit, Variant variant)
    {
        if (variant == Variant.RightKept)
        {
            LookUp(w, bit);
        }
        w.Try($"poll {bit}", (ref s) =>
        {
            s.Seen = s.Generation;
            return s.Seen != s.Answered ? Flow.Next : Flow.To($"polled {bit}");
        });
        w.Do($"answer {bit}", (ref s) => s.Answered = s.Seen);
        w.Do($"polled {bit}", (ref s) => s.Seen = 0);
        if (variant != Variant.RightKept)
        {
            LookUp(w, bit);
        }
        w.Try($"hit {bit}", (ref s) => s.Hit ? Flow.To($"store {bit}") : Flow.Next);
        w.Do($"mark {bit}", (ref s) => s.Mark = true);
        w.Do($"fill {bit}", (ref s) => s.Cached = variant == Variant.FilledWithNow ? s.Generation : s.Answered);
        w.Do($"store {bit}", (ref s) => s.Memory |= bit);
    }

    private static void LookUp(Actor<State> w, byte bit) => w.Do($"look up {bit}", (ref s) => s.Hit = s.Cached == s.Answered);

    private static void Harvest(Actor<State> h, Variant variant)
    {
        if (variant == Variant.BumpBeforeTake)
        {
            h.Do("bump", (ref s) => s.Generation++);
        }
        h.Do("take", (ref s) => (s.Took, s.Mark) = (s.Mark, false));
        if (variant != Variant.BumpBeforeTake)
        {
            h.Do("bump", (ref s) => s.Generation++);
        }
        byte since = variant == Variant.OldAnswer ? (byte)2 : (byte)3;
        h.When("grace", (in s) => !s.Inside || s.Answered >= since);
        h.Do("copy if reported", (ref s) => s.Copy = s.Took ? s.Memory : s.Copy);
    }

    private record struct State
    {
        public byte Generation;
        public bool Inside;
        public byte Answered;
        public byte Seen;
        public byte Cached;
        public bool Hit;
        public bool Mark;
        public bool Took;
        public byte Memory;
        public byte Copy;
    }
}
