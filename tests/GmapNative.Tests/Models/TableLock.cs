using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 17: a collapse (look at the table, replace it by a leaf) against an unmap of one of its pages. Both hold
/// the segment's LOCK over look and change; a compare-and-swap on the segment entry alone does not see the page
/// entry change.
/// </summary>
[TestFixture]
public sealed class TableLock
{
    private const string MappedAgain = "the page is mapped again after unmap returned";

    public enum Holder
    {
        Both,
        Neither,
        CollapseOnly,
        UnmapOnly,
        OnlyTheChange,
    }

    [Test]
    public void Rule_holds() => Check.Holds(Build(Holder.Both));

    [TestCase(Holder.Neither)]
    [TestCase(Holder.CollapseOnly)]
    [TestCase(Holder.UnmapOnly)]
    [TestCase(Holder.OnlyTheChange)]
    public void A_smaller_lock_fails(Holder holder) => Check.Fails(Build(holder), MappedAgain);

    private static Model<State> Build(Holder holder) => new Model<State>(default)
        .Thread("C", c =>
        {
            bool locks = holder is Holder.Both or Holder.CollapseOnly;
            Lock(c, locks);
            c.Try("all pages valid?", (ref s) => s.PageInvalid ? Flow.To("give up") : Flow.Next);
            Lock(c, holder == Holder.OnlyTheChange);
            c.Do("CAS leaf into segment", (ref s) => s.IsLeaf = true);
            c.Do("give up", (ref s) => s.Locked &= !(locks || holder == Holder.OnlyTheChange));
        })
        .Thread("U", u =>
        {
            bool locks = holder is Holder.Both or Holder.UnmapOnly;
            Lock(u, locks);
            u.Do("load segment", (ref s) => s.UnmapSawLeaf = s.IsLeaf);
            Lock(u, holder == Holder.OnlyTheChange);
            u.Do("CAS invalid", (ref s) =>
            {
                // A leaf is split first; here that is the same as taking the leaf away.
                s.IsLeaf &= !s.UnmapSawLeaf;
                s.PageInvalid = true;
            });
            u.Do("return", (ref s) =>
            {
                s.Locked &= !(locks || holder == Holder.OnlyTheChange);
                s.Unmapped = true;
            });
        })
        .NeverAtEnd(MappedAgain, (in s) => s.Unmapped && (s.IsLeaf || !s.PageInvalid));

    private static void Lock(Actor<State> actor, bool really)
    {
        if (really)
        {
            actor.When("LOCK", (in s) => !s.Locked, (ref s) => s.Locked = true);
        }
    }

    private record struct State
    {
        public bool Locked;
        public bool IsLeaf;
        public bool PageInvalid;
        public bool UnmapSawLeaf;
        public bool Unmapped;
    }
}
