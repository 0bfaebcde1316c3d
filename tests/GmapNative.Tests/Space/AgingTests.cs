using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Rule 24, and gmap_discard: what is taken from a mapping without its dirt being forgotten, or on purpose.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class AgingTests(bool pgstes) : LoggedSlot(pgstes)
{
    [Test]
    public void Aged_page_is_dirty_still_and_its_next_use_is_seen([Values] bool readFirst)
    {
        using TestSpace test = Make();
        test.Write(7 * Page);
        Assert.That(Age(test, 0, Segment), Is.EqualTo(256));
        Assert.That(Age(test, 0, Segment), Is.Zero);
        Assert.That(test.Translate(7 * Page, Access.Read, out FaultOutcome outcome), Is.EqualTo(Status.PageTranslation));
        Assert.That(outcome.Reason, Is.EqualTo(FaultReason.NeedsFault));
        if (readFirst)
        {
            test.Read(7 * Page);
            Assert.That(Age(test, 0, Segment), Is.EqualTo(1));
        }
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }), "races 14 and 15");
        test.Check();
        test.Write(7 * Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }), "taken while aged, written again");
    }

    [Test]
    public void Aged_page_that_is_unmapped_leaves_its_dirt_in_the_log()
    {
        using TestSpace test = Make();
        test.Write(7 * Page);
        Age(test, 0, Segment);
        Assert.That(RangeCalls.Unmap(test.Space, 7 * Page, Page, out _), Is.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }), "race 13");
    }

    [Test]
    public void Leaf_is_aged_as_a_whole_and_split_as_it_is()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot with { LogDirty = false });
        test.Write(0);
        Assert.That(Age(test, 5 * Page, 3 * Page), Is.EqualTo(3));
        Assert.That(test.Translate(100 * Page, Access.Read, out _), Is.EqualTo(Status.SegmentTranslation));
        Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
        test.Check();
        Assert.That(test.Space.Tree.TryFindCell(0, out SegmentCell cell) && cell.TryLock(out _), Is.True);
        PageEntry page = new PageTable(cell.Load().TableOrigin).Load(9);
        cell.Unlock();
        Assert.That((page.IsAged, page.IsProtected, page.IsSoftDirty), Is.EqualTo((true, false, true)));
        Assert.That(test.Write(9 * Page).Done, Is.EqualTo(FaultDone.None), "it was granted before");
        Assert.That(Age(test, 0, Segment), Is.EqualTo(1));
    }

    [Test]
    public void Cached_translation_does_not_hide_a_use([Values(false, true)] bool leavesOutTheBump)
    {
        using TestSpace test = Make();
        test.Read(7 * Page);
        ulong cached = test.Space.Tree.Generation; // what a cache entry of the header carries (rule 4)
        Probe.LeftOut = leavesOutTheBump ? Step.AgeWithoutBump : Step.None;
        Assert.That(Age(test, 0, Segment), Is.EqualTo(256));
        Probe.LeftOut = Step.None;
        Assert.That(test.Space.Tree.Generation == cached, Is.EqualTo(leavesOutTheBump));
    }

    [Test]
    public void Discarded_pages_are_not_reported_until_they_are_written_again()
    {
        using TestSpace test = Make();
        test.Write(3 * Page);
        test.Write(4 * Page);
        Assert.That(test.HostWrite(5 * Page, 1), Is.Zero, "in the log");
        Assert.That(RangeCalls.Discard(test.Space, 4 * Page, 2 * Page, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(6 * Page));
        Assert.That(test.Translate(4 * Page, Access.Read, out _), Is.EqualTo(Status.PageTranslation));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        test.Write(4 * Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 4 }));
    }

    [Test]
    public void Discard_that_times_out_forgets_nothing()
    {
        using TestSpace test = Make(graceTimeout: 10_000_000);
        test.Write(4 * Page);
        View reader = test.OpenView();
        reader.Owner = -1; // as if it were another thread's
        reader.Enter();
        Assert.That(RangeCalls.Discard(test.Space, 4 * Page, Page, out _), Is.EqualTo(Status.TimedOut));
        reader.Leave();
        test.CloseView(reader);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 4 }));
    }

    /// <summary>The limbo is full and a reader holds it; when it left, the pages that were unmapped keep their dirt all the same.</summary>
    [Test]
    public void Discard_that_times_out_halfway_forgets_nothing()
    {
        const ulong Segments = Limbo.Capacity + 2;
        TestSpace? made = null;
        View? reader = null;
        long first = long.MaxValue;
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 }, new EngineOptions
        {
            ArenaBytes = 32 << 20,
            GraceTimeoutNanoseconds = 300_000_000,
            Kick = _ =>
            {
                first = Math.Min(first, made!.Space.Epochs.GracePeriods);
                if (made.Space.Epochs.GracePeriods > first)
                {
                    reader!.Leave(); // in the second grace
                }
            },
        });
        made = test;
        test.Set(Slot with { Size = Segments * Segment, HostAddress = 0x6000_0000_0000 }); // never touched
        for (ulong i = 0; i < Segments; i++)
        {
            test.Write(i * Segment);
        }
        reader = test.OpenView();
        reader.Owner = -1; // as if it were another thread's
        reader.Enter();
        Assert.That(RangeCalls.Discard(test.Space, 0, Segments * Segment, out ulong next), Is.EqualTo(Status.TimedOut));
        Assert.That((next, test.Engine.LimboBytes), Is.EqualTo((Limbo.Capacity * Segment, 0UL)), "stopped halfway, then nobody was inside");
        test.CloseView(reader);
        Assert.That(test.Harvest(1), Has.Length.EqualTo((int)Segments));
    }

    [Test]
    public void Split_is_refused_where_leaves_stay_and_resumes_where_memory_ended()
    {
        using var never = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, Policy = SplitPolicy.Never });
        Assert.That(RangeCalls.Split(never.Space, 0, Segment, out _), Is.EqualTo(Status.NotSupported));
        using TestSpace test = Make();
        test.Read(0);
        test.Read(Segment);
        test.Engine.Arena.FailAfter = 1;
        Assert.That(RangeCalls.Split(test.Space, 0, 2 * Segment, out ulong next), Is.EqualTo(Status.NoMemory));
        Assert.That(next, Is.EqualTo(Segment));
        test.Engine.Arena.FailAfter = -1;
        Assert.That(RangeCalls.Split(test.Space, next, Segment, out next), Is.Zero);
        Assert.That(next, Is.EqualTo(2 * Segment));
        Assert.That(test.Space.Tree.Count().Pages, Is.EqualTo(2));
    }

    private static ulong Age(TestSpace test, ulong start, ulong size)
    {
        Assert.That(RangeCalls.Age(test.Space, start, size, out ulong young), Is.Zero);
        return young;
    }
}
