using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Pages that come later (rule 38): two that bring the same page, claim → contents → bit; a vcpu that finds the bit reads and stores; a
/// fault on its neighbour maps a leaf over both.
/// </summary>
[TestFixture]
public sealed class Arrivals
{
    private const string Early = "a page was read before it had come";
    private const string Lost = "a store was overwritten by a copy that came late";
    private const byte Brought = 1;
    private const byte Stored = 2;

    public enum Variant
    {
        Rule,
        NotClaimed,
        ThereFirst,
        LeafOverMissing,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Variant.Rule));

    [TestCase(Variant.NotClaimed, Lost)]
    [TestCase(Variant.ThereFirst, Early)]
    [TestCase(Variant.LeafOverMissing, Early)]
    public void Any_other_way_fails(Variant variant, string kind) => Check.Fails(Build(variant), kind);

    private static Model<State> Build(Variant variant) => new Model<State>(default)
        .Thread("B1", b => Bring(b, variant))
        .Thread("B2", b => Bring(b, variant))
        .Thread("F", f => f.Try("maps a leaf if all is there", (ref s) =>
        {
            s.IsLeaf = s.IsThere || variant == Variant.LeafOverMissing;
            return Flow.Next;
        }))
        .Thread("V", v =>
        {
            v.When("is mapped", (in s) => s.IsLeaf || s.IsThere);
            v.Do("load", (ref s) => s.IsEarly |= s.Contents == 0);
            v.Do("store", (ref s) => s.Contents = Stored);
        })
        .NeverAtEnd(Early, (in s) => s.IsEarly)
        .NeverAtEnd(Lost, (in s) => s.Contents != Stored);

    private static void Bring(Actor<State> b, Variant variant)
    {
        b.Try("claim", (ref s) =>
        {
            bool mine = variant == Variant.NotClaimed ? !s.IsThere : !s.IsClaimed;
            s.IsClaimed = true;
            return mine ? Flow.Next : Flow.End;
        });
        if (variant == Variant.ThereFirst)
        {
            b.Do("there", (ref s) => s.IsThere = true);
        }

        b.Do("copy", (ref s) => s.Contents = Brought);
        if (variant != Variant.ThereFirst)
        {
            b.Do("there", (ref s) => s.IsThere = true);
        }
    }

    private record struct State
    {
        public byte Contents;
        public bool IsClaimed;
        public bool IsThere;
        public bool IsLeaf;
        public bool IsEarly;
    }
}
