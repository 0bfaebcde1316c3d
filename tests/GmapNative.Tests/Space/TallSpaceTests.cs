using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using GmapNative.Bits;
using GmapNative.Diagnostics;
using GmapNative.Dirty;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Spaces with a region-second or region-first table on top: 4 TB and more (Principles of Operation, chapter 3).</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class TallSpaceTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong FourTerabytes = 1UL << 42;
    private const ulong EightPetabytes = 1UL << 53;
    private const ulong Host = 0x7000_0000_0000; // never dereferenced
    private const ulong Size = 2 * Segment;

    private static readonly ulong[] s_places =
    [
        0, TwoGigabytes - Segment, FourTerabytes - Segment, FourTerabytes, EightPetabytes - Segment, EightPetabytes,
        ulong.MaxValue - (4 * Segment) + 1,
    ];

    [TestCase(TwoGigabytes - 1, (int)TableType.Segment)]
    [TestCase(TwoGigabytes, (int)TableType.RegionThird)]
    [TestCase(FourTerabytes - 1, (int)TableType.RegionThird)]
    [TestCase(FourTerabytes, (int)TableType.RegionSecond)]
    [TestCase(EightPetabytes - 1, (int)TableType.RegionSecond)]
    [TestCase(EightPetabytes, (int)TableType.RegionFirst)]
    [TestCase(ulong.MaxValue, (int)TableType.RegionFirst)]
    public void The_top_is_the_lowest_that_reaches_the_limit(ulong limit, int top)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = limit });
        Assert.That((int)test.Space.Tree.Asce.Type, Is.EqualTo(top));
        Assert.That(test.Space.Tree.Asce.Length, Is.EqualTo(3));
    }

    /// <summary>Stores through the header's walk and through faults, wherever the slot is: exactly those pages come out.</summary>
    [Test]
    public void Stores_are_tracked_at_every_height([ValueSource(nameof(s_places))] ulong place)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        Assert.That(Set(test, 1, place), Is.Zero);
        _ = test.Read(place + Page); // maps a leaf
        _ = test.Write(place + (3 * Page));
        Assert.That(HeaderStores(test, place + (9 * Page)), Is.EqualTo(HostOf(place) + (9 * Page)));
        Assert.That(Harvest(test), Is.EqualTo(new ulong[] { 3, 9 }));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
    }

    /// <summary>What is not there has the exception of its level; what lies between slots is an addressing exception.</summary>
    [Test]
    public void Each_level_has_its_exception()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        Assert.That(Set(test, 1, EightPetabytes + (2 * FourTerabytes) + TwoGigabytes), Is.Zero);
        ulong start = EightPetabytes + (2 * FourTerabytes) + TwoGigabytes;
        Assert.That(CodeOf(test, start), Is.EqualTo(Status.RegionFirstTranslation));
        Assert.That(CodeOf(test, 2 * EightPetabytes), Is.EqualTo(Status.Addressing));
        _ = test.Read(start);
        Assert.That(CodeOf(test, start), Is.Zero);
        Assert.That(CodeOf(test, start + Segment), Is.EqualTo(Status.SegmentTranslation));
        Assert.That(Set(test, 2, start + FourTerabytes), Is.Zero);
        Assert.That(CodeOf(test, start + FourTerabytes), Is.EqualTo(Status.RegionSecondTranslation));
        Assert.That(Set(test, 3, start + (4 * TwoGigabytes)), Is.Zero);
        Assert.That(CodeOf(test, start + (4 * TwoGigabytes)), Is.EqualTo(Status.RegionThirdTranslation));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
    }

    [TestCase(FourTerabytes - 1, FourTerabytes, Status.AsceType)]
    [TestCase(FourTerabytes, EightPetabytes, Status.AsceType)]
    [TestCase(FourTerabytes, FourTerabytes + TwoGigabytes, Status.Addressing)]
    [TestCase(EightPetabytes, ulong.MaxValue, Status.Addressing)] // a region-first table reaches everything
    [Property("Scenario", 43)]
    public void Beyond_the_limit_it_depends_on_the_reach_of_the_top(ulong limit, ulong address, int code)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = limit });
        Assert.That(test.Fault(address, Access.Read, out FaultOutcome outcome), Is.EqualTo(code));
        Assert.That(outcome.Reason, Is.EqualTo(FaultReason.BeyondLimit));
    }

    /// <summary>From every top to every other: mappings and dirty pages stay, the tables are as many as before on the way back.</summary>
    [Test, Combinatorial]
    public void The_limit_moves_between_all_tops(
        [Values(TwoGigabytes, FourTerabytes, EightPetabytes, 0UL)] ulong from,
        [Values(TwoGigabytes, FourTerabytes, EightPetabytes, 0UL)] ulong to)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = from - 1 });
        Assert.That(Set(test, 1, 16 * Segment), Is.Zero);
        _ = test.Write((16 * Segment) + (5 * Page));
        long regions = test.Space.Tree.Count().Regions;
        Assert.That(test.Space.SetLimit(to - 1), Is.Zero);
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
        _ = HeaderStores(test, (16 * Segment) + (6 * Page));
        Assert.That(test.Space.SetLimit(from - 1), Is.Zero);
        Assert.That(test.Space.Tree.Count().Regions, Is.EqualTo(regions));
        Assert.That(Harvest(test), Is.EqualTo(new ulong[] { 5, 6 }));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
    }

    [Test]
    public void A_limit_below_a_slot_is_refused_and_nothing_changes()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        Assert.That(Set(test, 1, EightPetabytes), Is.Zero);
        Asce before = test.Space.Tree.Asce;
        Assert.That(test.Space.SetLimit(EightPetabytes), Is.EqualTo(Status.Busy));
        Assert.That(test.Space.Tree.Asce, Is.EqualTo(before));
        Assert.That(test.Space.Limit, Is.EqualTo(ulong.MaxValue));
    }

    /// <summary>Tables in whose span no slot is left go with the last one; those that others need stay.</summary>
    [Test]
    public void Upper_tables_go_with_the_last_slot_under_them()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        TableCount empty = test.Space.Tree.Count();
        ulong[] places = [EightPetabytes, EightPetabytes + FourTerabytes, (3 * EightPetabytes) + (7 * FourTerabytes)];
        for (uint i = 0; i < places.Length; i++)
        {
            Assert.That(Set(test, i, places[i]), Is.Zero);
            _ = test.Write(places[i]);
        }
        Assert.That(test.Space.Tree.Count(), Is.EqualTo(new TableCount(1 + 2 + 3, 3, 3)));
        Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 0 }), Is.Zero);
        Assert.That(test.Space.Tree.Count(), Is.EqualTo(new TableCount(1 + 2 + 2, 2, 2)));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
        Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 1 }), Is.Zero);
        Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 2 }), Is.Zero);
        Assert.That(test.Space.Tree.Count(), Is.EqualTo(empty));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
    }

    /// <summary>Calls for ranges pass over what has no tables at once: this ends.</summary>
    [Test, CancelAfter(20_000)]
    [Property("Scenario", 43)]
    public void Calls_for_the_whole_space_end()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        Assert.That(Set(test, 1, 5 * EightPetabytes), Is.Zero);
        _ = test.Write(5 * EightPetabytes);
        ulong all = ulong.MaxValue - Page + 1;
        Assert.That(RangeCalls.Age(test.Space, 0, all, out ulong young), Is.Zero);
        Assert.That(young, Is.EqualTo(256));
        Assert.That(RangeCalls.Split(test.Space, 0, all, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(all));
        Assert.That(RangeCalls.Unmap(test.Space, 0, all, out next), Is.Zero);
        Assert.That(next, Is.EqualTo(all));
        Assert.That(RangeCalls.Populate(test.Space, 5 * EightPetabytes, Size, Access.Read, out _), Is.Zero);
        Assert.That(RangeCalls.Collapse(test.Space, 0, all, out _), Is.Zero);
        Assert.That(Harvest(test), Is.EqualTo(new ulong[] { 0 }));
    }

    /// <summary>An armed page is found and told wherever it is, the last segment of all included.</summary>
    [Test]
    public void Armed_pages_are_told_at_every_height([ValueSource(nameof(s_places))] ulong place)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        List<(ulong, ulong, NotifyFlags)> heard = [];
        Assert.That(Notifier.TryRegister(
            test.Space, NotifyFlags.None, (first, last, kind) => heard.Add((first, last, kind)), out Notifier? notifier), Is.Zero);
        Assert.That(Set(test, 1, place), Is.Zero);
        ulong armed = place + Size - Page;
        _ = test.Write(armed);
        Assert.That(test.Protect(armed, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        Assert.That(RangeCalls.Unmap(test.Space, place, Size, out _), Is.Zero);
        Assert.That(heard, Is.EqualTo(new[] { (armed, armed + Page - 1, NotifyFlags.Change) }));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
        Assert.That(notifier!.Unregister(), Is.Zero);
    }

    [Test]
    public void The_last_page_of_all_is_never_a_slots()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        var last = new SlotRequest { Id = 1, GuestAddress = ulong.MaxValue - Page + 1, Size = Page, HostAddress = Host };
        Assert.That(test.Space.Changes.Set(last), Is.EqualTo(Status.Invalid));
        Assert.That(test.Space.Changes.Set(last with { GuestAddress = last.GuestAddress - Page }), Is.Zero);
    }

    /// <summary>Each allocation fails in turn: the call is refused and nothing is left over, then it works.</summary>
    [TestCase(TwoGigabytes)]
    [TestCase(FourTerabytes)]
    [TestCase(EightPetabytes)]
    public void No_memory_at_any_table_changes_nothing(ulong limit)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = limit - 1 });
        TableCount before = test.Space.Tree.Count();
        Asce asce = test.Space.Tree.Asce;
        int failures = 0;
        int status;
        do
        {
            test.Engine.Arena.FailAfter = failures;
            status = test.Space.SetLimit(ulong.MaxValue);
            test.Engine.Arena.FailAfter = -1;
            if (status != Status.Ok)
            {
                Assert.That(status, Is.EqualTo(Status.NoMemory));
                Assert.That((test.Space.Tree.Count(), test.Space.Tree.Asce), Is.EqualTo((before, asce)));
                Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
                failures++;
            }
        }
        while (status != Status.Ok && failures < 10);
        Assert.That(failures, Is.EqualTo(limit == TwoGigabytes ? 3 : limit == FourTerabytes ? 2 : 1));
    }

    /// <summary>What the header's walk grants a store without asking, and where.</summary>
    private static ulong HeaderStores(TestSpace test, ulong address)
    {
        var writer = new HeaderWriter(test.View);
        writer.Enter();
        int status = writer.Store(address, out nint host);
        writer.Leave();
        Assert.That(status, Is.Zero);
        return (ulong)host;
    }

    /// <summary>Threads that fault in fresh spans at once make each table once; the slots go meanwhile, and the limit moves.</summary>
    [Test]
    public void Tables_are_made_once_and_none_is_left_over()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = ulong.MaxValue });
        TableCount empty = test.Space.Tree.Count();
        for (ulong round = 1; round <= 200; round++)
        {
            ulong place = (round * EightPetabytes) + (round * FourTerabytes);
            long regions = test.Space.Tree.Count().Regions; // a top that was lower once stays, as the table of the lowest addresses
            Assert.That(Set(test, 1, place), Is.Zero);
            using var start = new Barrier(3);
            Task[] threads = [.. Enumerable.Range(0, 3).Select(i => Task.Run(() =>
            {
                start.SignalAndWait();
                return test.Call(() => test.Space.Faults.Resolve(place + ((ulong)i * Page), Access.Write, out _));
            }))];
            Task.WaitAll(threads);
            Assert.That(test.Space.Tree.Count(), Is.EqualTo(new TableCount(regions + 2, 1, 1)));
            Assert.That(Harvest(test), Is.EqualTo(new ulong[] { 0, 1, 2 }));
            Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 1 }), Is.Zero);
            Assert.That(test.Space.SetLimit(round % 2 == 0 ? ulong.MaxValue : EightPetabytes - 1), Is.Zero);
            Assert.That(test.Space.SetLimit(ulong.MaxValue), Is.Zero);
        }
        Assert.That(test.Space.Tree.Count().Segments, Is.EqualTo(empty.Segments));
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null);
    }

    [Test]
    public void What_was_the_top_goes_with_the_table_above_it()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        Assert.That(test.Space.SetLimit(EightPetabytes - 1), Is.Zero);
        Assert.That(Set(test, 1, 3 * TestSpace.TwoGigabytes), Is.Zero);
        Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 1 }), Is.Zero);
        Assert.That(test.Space.Tree.Count().Segments, Is.Zero);
        Assert.That(InvariantChecker.Check(test.Engine, test.Space), Is.Null, "it may not be left over");
    }

    private static ulong HostOf(ulong guest) => Host + (guest % (1UL << 40));

    private static int Set(TestSpace test, uint id, ulong guest) => test.Space.Changes.Set(
        new SlotRequest { Id = id, GuestAddress = guest, Size = Size, HostAddress = HostOf(guest), LogDirty = true });

    private static int CodeOf(TestSpace test, ulong address) => test.Translate(address, Access.Read, out _);

    private static List<ulong> Harvest(TestSpace test)
    {
        ulong* bitmap = stackalloc ulong[(int)(Size >> 18)];
        Assert.That(Harvester.Harvest(test.Space, 1, 0, Size >> 12, HarvestFlags.None, bitmap, (nuint)(Size >> 18), out _), Is.Zero);
        List<ulong> pages = [];
        for (ulong page = 0; page < Size >> 12; page++)
        {
            if ((bitmap[page / 64] >> (int)(page % 64) & 1) != 0)
            {
                pages.Add(page);
            }
        }
        return pages;
    }
}
