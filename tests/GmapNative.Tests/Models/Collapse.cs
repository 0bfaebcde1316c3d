using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 23: a clean table is held before a protected leaf takes its place; a dirty one becomes a dirty leaf under the slot's
/// harvest lock.
/// </summary>
[TestFixture]
public sealed class Collapse
{
    private const string Lost = "a store is neither copied nor marked where a harvest looks";
    private const string Missed = "a store that ended before the harvest began is not in its copy";
    private const string Stuck = "a table that did not collapse is not writable any more";

    public enum Hold
    {
        BeforeTheLeaf,
        Never,
        AfterTheLeaf,
        NotGivenBack,
    }

    [Test]
    public void Clean_table_that_is_held_first_holds() => Check.Holds(Clean(Hold.BeforeTheLeaf));

    [TestCase(Hold.Never, Lost)]
    [TestCase(Hold.AfterTheLeaf, Lost)]
    [TestCase(Hold.NotGivenBack, Stuck)]
    public void Clean_table_fails(Hold hold, string kind) => Check.Fails(Clean(hold), kind);

    [Test]
    public void Dirty_table_under_the_harvest_lock_holds() => Check.Holds(Dirty(harvestLock: true));

    [Test]
    public void Dirty_table_without_it_fails() => Check.Fails(Dirty(harvestLock: false), Missed);

    /// <summary>A writer of the second of two pages beside the collapse of their table.</summary>
    private static Model<State> Clean(Hold hold) => new Model<State>(default)
        .Thread("W", w => w
            .Do("enter", (ref s) => s.Sections.Enter(1))
            .Try("load segment", (ref s) => s.Leaf ? Flow.To("split, grant in the new table") : Flow.Next)
            .Try("CAS entry", (ref s) =>
            {
                s.SoftDirty1 |= !s.Held1;
                return s.Held1 ? Flow.To("wait for LOCK") : Flow.To("store");
            })
            .When("wait for LOCK", (in s) => !s.Locked)
            .Try("load segment again", (ref s) => s.Leaf || s.Held1 ? Flow.Next : Flow.To("CAS entry"))
            .Do("split, grant in the new table", (ref s) => s.SoftDirtyNew = s.Leaf)
            .Do("store", (ref s) => s.Memory = true)
            .Do("leave", (ref s) => s.Sections.Leave(1)))
        .Thread("C", c =>
        {
            c.Do("LOCK", (ref s) => s.Locked = true);
            c.Try("uniform?", (ref s) => s.SoftDirty1 ? Flow.To("unlock") : Flow.Next);
            if (hold is Hold.BeforeTheLeaf or Hold.NotGivenBack)
            {
                c.Do("hold first entry", (ref s) => s.Held0 = true);
                c.Try("hold second entry", (ref s) =>
                {
                    s.Held1 = !s.SoftDirty1;
                    return s.Held1 ? Flow.To("link clean leaf, unlock") : Flow.Next;
                });
                c.Try("give back", (ref s) =>
                {
                    s.Held0 = hold == Hold.NotGivenBack;
                    return Flow.To("unlock");
                });
            }
            c.Do("link clean leaf, unlock", (ref s) => (s.Leaf, s.Locked) = (true, false));
            if (hold == Hold.AfterTheLeaf)
            {
                c.Try("hold second entry", (ref s) =>
                {
                    s.Held1 = !s.SoftDirty1;
                    return Flow.To("end");
                });
            }
            else
            {
                c.Try("done", (ref s) => Flow.To("end"));
            }
            c.Do("unlock", (ref s) => s.Locked = false);
            c.Do("end", (ref s) => { });
        })
        .NeverAtEnd(Lost, (in s) => s.Memory && !(s.Leaf ? s.SoftDirtyNew : s.SoftDirty1))
        .NeverAtEnd(Stuck, (in s) => !s.Leaf && s.Held0);

    /// <summary>Every page was written before; a harvest comes for the table while it collapses.</summary>
    private static Model<State> Dirty(bool harvestLock) => new Model<State>(new State { Memory = true, SoftDirty1 = true })
        .Thread("C", c =>
        {
            if (harvestLock)
            {
                c.When("harvest lock", (in s) => !s.Harvesting, (ref s) => s.Harvesting = true);
            }
            c.When("LOCK", (in s) => !s.Locked, (ref s) => s.Locked = true);
            c.Try("all dirty?", (ref s) => s.SoftDirty1 ? Flow.Next : Flow.To("unlock"));
            c.Try("link dirty leaf, unlock", (ref s) =>
            {
                (s.Leaf, s.SoftDirtyNew, s.SoftDirty1, s.Locked) = (true, true, false, false);
                return Flow.To("let go");
            });
            c.Do("unlock", (ref s) => s.Locked = false);
            c.Do("let go", (ref s) => s.Harvesting = !harvestLock && s.Harvesting);
        })
        .Thread("H", h => h
            .When("harvest lock", (in s) => !s.Harvesting, (ref s) => s.Harvesting = true)
            .Try("load segment", (ref s) => s.Leaf ? Flow.To("take leaf") : Flow.Next)
            .When("LOCK, if it is a table still", (in s) => !s.Locked, (ref s) => s.Locked = !s.Leaf)
            .Try("take table", (ref s) =>
            {
                s.Copy = s.Locked && s.SoftDirty1;
                s.SoftDirty1 &= !s.Locked;
                s.Locked = false;
                return Flow.To("end");
            })
            .Do("take leaf", (ref s) => (s.Copy, s.SoftDirtyNew) = (s.SoftDirtyNew, false))
            .Do("end", (ref s) => s.Harvesting = false))
        .NeverAtEnd(Missed, (in s) => !s.Copy);

    private record struct State
    {
        public Sections Sections;
        public bool Locked;
        public bool Harvesting;
        public bool Held0;
        public bool Held1;
        public bool SoftDirty1;
        public bool SoftDirtyNew; // in the leaf, or in the table that it was split into
        public bool Leaf;
        public bool Memory;
        public bool Copy;
    }
}
