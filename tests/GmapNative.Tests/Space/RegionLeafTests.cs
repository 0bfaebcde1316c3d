using System;
using GmapNative.Bits;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.RegionSpace;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Rule 33: leaves of 2 GB, from their fault to their end.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class RegionLeafTests(bool pgstes) : FormatFixture(pgstes)
{
    [TearDown]
    public void PutProbeBack() => Probe.Visitor = null;

    [Test]
    public void Fault_maps_2_GB_where_they_fit_and_1_MB_elsewhere([Values] bool logs)
    {
        using TestSpace test = RegionSpace.Make(logs: logs);
        FaultOutcome outcome = test.Read(First + 0x1234567);
        Assert.That(
            (outcome.LeafSize, outcome.HostAddress, outcome.Done), Is.EqualTo((TwoGigabytes, HostOf(First + 0x1234567), FaultDone.Mapped)));
        Assert.That(outcome.Rights, Is.EqualTo(logs ? Access.Read : Access.Read | Access.Write));
        Assert.That(test.Read(Start).LeafSize, Is.EqualTo(Segment), "the slot has only a part of these 2 GB");
        Assert.That((test.SizeAt(First), test.SizeAt(Second - 1), test.SizeAt(Second)), Is.EqualTo((TwoGigabytes, TwoGigabytes, 0UL)));
        test.Check();
    }

    [TestCase(0UL, 1UL << 31, 1UL << 30)]
    [TestCase(1UL << 31, 1UL << 31, 1UL << 30)]
    [TestCase(1UL << 31, (1UL << 31) - 4096, 0UL)]
    [TestCase((1UL << 31) + 4096, 1UL << 31, 4096UL)]
    public void Ragged_or_shifted_slots_keep_smaller_leaves(ulong at, ulong size, ulong shift)
    {
        using var test = new TestSpace(RegionSpace.Options);
        test.Set(RegionSpace.Slot with { GuestAddress = at, Size = size, HostAddress = RegionSpace.Memory + at + shift });
        Assert.That(test.Read(at + (size / 2)).LeafSize, Is.LessThanOrEqualTo(Segment));
        test.Check();
    }

    [Test]
    public void Without_the_flag_and_by_generation_leaves_are_of_1_MB([Values] bool byGeneration)
    {
        using var test = new TestSpace(RegionSpace.Options with { Huge2G = byGeneration, ByGeneration = byGeneration });
        test.Set(RegionSpace.Slot);
        Assert.That(test.Read(First).LeafSize, Is.EqualTo(Segment));
        Assert.That(test.Engine.Pool.Live(TableKind.RegionThird), Is.Zero);
    }

    [Test]
    public void First_write_splits_twice_and_makes_one_page_dirty([Values(SplitPolicy.Lazy, SplitPolicy.Eager)] SplitPolicy policy)
    {
        using TestSpace test = RegionSpace.Make(policy);
        FaultOutcome outcome = test.Write(First + (5 * Segment) + (7 * Page));
        Assert.That((outcome.LeafSize, outcome.Dirtied), Is.EqualTo((Page, 1U)));
        Assert.That(outcome.Done, Is.EqualTo(FaultDone.Mapped | FaultDone.Split | FaultDone.Granted));
        test.Check();
        Assert.That((test.SizeAt(First), test.SizeAt(First + TwoGigabytes - 1)), Is.EqualTo((Segment, Segment)));
        Assert.That(test.Count(out int first, out int last), Is.EqualTo(1));
        Assert.That((first, last), Is.EqualTo((PageOf(First + (5 * Segment) + (7 * Page)), first)));
        CounterWords counted = test.Counters;
        Assert.That((counted.Splits, counted.SegmentsMapped, counted.PagesGranted), Is.EqualTo((2L, 2048L, 1L)));
    }

    [Test]
    public void Policy_never_makes_all_of_it_dirty_and_arms_it_again()
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        Assert.That(test.Read(First).Rights, Is.EqualTo(Access.Read));
        FaultOutcome outcome = test.Write(First + Page);
        Assert.That((outcome.LeafSize, outcome.Dirtied, outcome.Done), Is.EqualTo((TwoGigabytes, (uint)Pages, FaultDone.Granted)));
        test.Check();
        Assert.That(test.Count(out int first, out int last, HarvestFlags.NoRearm), Is.EqualTo(Pages));
        Assert.That(test.TakesStores(First), Is.True, "it is not armed");
        Assert.That((test.Count(out first, out last), first, last), Is.EqualTo(((ulong)Pages, PageOf(First), PageOf(Second) - 1)));
        Assert.That(test.TakesStores(First), Is.False);
        Assert.That(test.Count(), Is.Zero);
        Assert.That((test.SizeAt(First), test.Counters.SegmentsGranted, test.Counters.Splits), Is.EqualTo((TwoGigabytes, 2048L, 0L)));
        test.Check();
    }

    [Test]
    public void Harvest_of_a_part_takes_the_leaf_and_keeps_what_lies_beside()
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Write(Second);
        ulong at = (ulong)PageOf(Second) + 1000;
        ulong[] bitmap = new ulong[1];
        Assert.That(test.Get(1, at, 64, bitmap, out ulong seen), Is.Zero);
        Assert.That((seen, test.TakesStores(Second)), Is.EqualTo((64UL, true)), "a look changes nothing");
        Assert.That(test.Harvest(1, at, 64, HarvestFlags.None, bitmap, out ulong dirty), Is.Zero);
        Assert.That((dirty, test.TakesStores(Second)), Is.EqualTo((64UL, false)));
        Assert.That(test.Count(), Is.EqualTo(Pages - 64));
    }

    [Test]
    public void Clear_takes_the_leaf_drops_its_bits_and_keeps_the_others()
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Write(Second);
        Assert.That(test.Clear(1, (ulong)PageOf(Second), 64, [0b101UL]), Is.Zero);
        Assert.That((test.TakesStores(Second), test.Count()), Is.EqualTo((false, (ulong)Pages - 2)));
        test.Check();
    }

    [Test]
    public void Logging_that_begins_arms_the_leaf_and_its_end_makes_it_again()
    {
        using TestSpace test = RegionSpace.Make(logs: false);
        _ = test.Write(First);
        Assert.That((test.SizeAt(First), test.TakesStores(First)), Is.EqualTo((TwoGigabytes, true)));
        test.Set(RegionSpace.Slot);
        Assert.That((test.SizeAt(First), test.TakesStores(First), test.Count()), Is.EqualTo((TwoGigabytes, false, 0UL)));
        _ = test.Write(First + Page);
        test.Check();
        Assert.That(test.SizeAt(First), Is.EqualTo(Page).Or.EqualTo(Segment));
        Assert.That(test.Count(), Is.EqualTo(1));
        test.Set(RegionSpace.Slot with { LogDirty = false });
        ulong size = UsesPgstes ? Segment : TwoGigabytes; // a leaf has no place for PGSTEs that come meanwhile
        Assert.That((test.SizeAt(First), test.TakesStores(First), test.Engine.LimboBytes), Is.EqualTo((size, true, 0UL)));
        test.Check();
    }

    [Test]
    public void Collapse_makes_one_leaf_of_what_is_mapped_alike_and_not_logged(
        [Values("alike", "logs", "hole", "part", "watched")] string what)
    {
        using TestSpace test = RegionSpace.Make(logs: what == "logs");
        Assert.That(RangeCalls.Populate(test.Space, First, TwoGigabytes, Access.Read, out _), Is.Zero);
        Assert.That(RangeCalls.Split(test.Space, First + Segment, 3 * Segment, out _), Is.Zero);
        if (what == "hole")
        {
            Assert.That(RangeCalls.Unmap(test.Space, First + (9 * Segment), Page, out _), Is.Zero);
        }
        else if (what == "watched")
        {
            Assert.That(test.Protect(Second - Page, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        }
        ulong size = what == "part" ? TwoGigabytes - Segment : TwoGigabytes;
        Assert.That(RangeCalls.Collapse(test.Space, First, size, out ulong collapsed), Is.Zero);
        bool made = what == "alike" && !UsesPgstes;
        Assert.That(collapsed, Is.EqualTo(made ? 4 : 3));
        Assert.That(test.SizeAt(First), Is.EqualTo(made ? TwoGigabytes : Segment));
        Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((0UL, what == "hole" ? 1L : 0L)));
        test.Check();
    }

    [Test]
    public void Old_table_of_a_collapse_is_freed_with_what_calls_in_flight_hung_on_it()
    {
        if (UsesPgstes)
        {
            return; // there is no such collapse
        }
        using TestSpace test = RegionSpace.Make(logs: false);
        Assert.That(RangeCalls.Populate(test.Space, First, TwoGigabytes, Access.Read, out _), Is.Zero);
        Assert.That(RangeCalls.Split(test.Space, First, Segment, out _), Is.Zero);
        Assert.That(test.Space.Tree.TryFindCell(First + (7 * Segment), out SegmentCell cell), Is.True);
        Probe.Visitor = place =>
        {
            if (place == Place.DepositUnlocked && test.SizeAt(First) == TwoGigabytes && cell.Load().IsLeaf)
            {
                _ = test.Space.Split(cell, First + (7 * Segment)); // a call in flight has found the cell before
            }
        };
        Assert.That(RangeCalls.Collapse(test.Space, First, TwoGigabytes, out ulong collapsed), Is.Zero);
        Probe.Visitor = null;
        Assert.That((collapsed, test.PageTables, test.SizeAt(First), test.Counters.Splits), Is.EqualTo((2UL, 0L, TwoGigabytes, 3L)));
        test.Check();
    }

    [Test]
    public void Unmap_of_all_of_it_pours_and_a_part_splits_first()
    {
        using TestSpace test = RegionSpace.Make(logs: false);
        _ = test.Write(First);
        _ = test.Write(Second);
        test.Set(RegionSpace.Slot with { InitiallyDirty = true }); // the leaves stay writable and dirty
        Assert.That(test.Count(), Is.EqualTo(Size / Page));
        Assert.That(RangeCalls.Unmap(test.Space, First + (3 * Segment), TwoGigabytes, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(Second + (3 * Segment)));
        test.Check();
        Assert.That((test.SizeAt(First + (3 * Segment)), test.SizeAt(First), test.SizeAt(Second + (4 * Segment))),
            Is.EqualTo((0UL, Segment, Segment)));
        _ = test.Read(Third);
        Assert.That(RangeCalls.Unmap(test.Space, Third, TwoGigabytes, out _), Is.Zero);
        Assert.That((test.SizeAt(Third), test.Engine.LimboBytes), Is.EqualTo((0UL, 0UL)));
        Assert.That(test.Read(Third).LeafSize, Is.EqualTo(TwoGigabytes), "with the deposit of before");
        test.Check();
    }

    [Test]
    [Property("Scenario", 3)]
    public void S03_A_range_call_touches_exactly_its_range([Values(0UL, 4095UL, 0x7FFF_F123UL)] ulong offset)
    {
        using TestSpace test = RegionSpace.Make();
        foreach (ulong region in (ulong[])[First, Second, Third])
        {
            Assert.That(test.Read(region + offset).HostAddress, Is.EqualTo(HostOf(region + offset)));
        }
        Assert.That(RangeCalls.Unmap(test.Space, Third, TwoGigabytes, out _), Is.Zero);
        ulong[] sizes = [test.SizeAt(Third - 1), test.SizeAt(Third), test.SizeAt(Third + TwoGigabytes - 1)];
        Assert.That(sizes, Is.EqualTo(new[] { TwoGigabytes, 0UL, 0UL }));
        Assert.That(RangeCalls.Unmap(test.Space, Second - Page, 2 * Page, out _), Is.Zero);
        sizes = [test.SizeAt(Second - Page - 1), test.SizeAt(Second - 1), test.SizeAt(Second), test.SizeAt(Second + Page)];
        Assert.That(sizes, Is.EqualTo(new[] { Page, 0UL, 0UL, Page }));
        foreach (ulong address in (ulong[])[First, Second - Segment - 1, Second + Segment, Third - 1])
        {
            Assert.That(test.Translate(address, Access.Read, out FaultOutcome outcome), Is.Zero);
            Assert.That((outcome.HostAddress, outcome.LeafSize), Is.EqualTo((HostOf(address), Segment)));
        }
        test.Check();
    }

    [Test]
    public void Unmapped_dirty_leaf_is_harvested_and_a_discarded_one_is_not([Values] bool discard)
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Write(First);
        int status = discard ? RangeCalls.Discard(test.Space, First, TwoGigabytes, out _)
            : RangeCalls.Unmap(test.Space, First, TwoGigabytes, out _);
        Assert.That(status, Is.Zero);
        Assert.That((test.SizeAt(First), test.Count()), Is.EqualTo((0UL, discard ? 0UL : Pages)));
        test.Check();
    }

    [Test]
    public void Policy_never_unmaps_the_whole_leaf()
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Write(First);
        Assert.That(RangeCalls.Unmap(test.Space, First + Page, Page, out _), Is.Zero);
        Assert.That((test.SizeAt(First), test.Count()), Is.EqualTo((0UL, (ulong)Pages)));
        Assert.That(RangeCalls.Split(test.Space, First, Page, out _), Is.EqualTo(Status.NotSupported));
        test.Check();
    }

    [Test]
    public void Aged_leaf_tells_of_its_next_use_and_keeps_its_state([Values(SplitPolicy.Lazy, SplitPolicy.Never)] SplitPolicy policy)
    {
        using TestSpace test = RegionSpace.Make(policy);
        _ = policy == SplitPolicy.Never ? test.Write(First) : test.Read(First);
        Assert.That(RangeCalls.Age(test.Space, First, 3 * Page, out ulong young), Is.Zero);
        Assert.That(young, Is.EqualTo(3));
        Assert.That(test.Translate(First + Segment, Access.Read, out FaultOutcome aged), Is.EqualTo(Status.RegionThirdTranslation));
        Assert.That(aged.Reason, Is.EqualTo(FaultReason.NeedsFault));
        test.Check();
        Assert.That(RangeCalls.Age(test.Space, Start, Size, out young), Is.Zero);
        Assert.That(young, Is.Zero);
        Assert.That(test.Count(), Is.EqualTo(policy == SplitPolicy.Never ? (ulong)Pages : 0), "aged ones are taken too");
        Assert.That(test.Read(First).LeafSize, Is.EqualTo(TwoGigabytes));
        Assert.That(RangeCalls.Age(test.Space, First, TwoGigabytes, out young), Is.Zero);
        Assert.That(young, Is.EqualTo(Pages));
        test.Check();
    }

    [Test]
    public void Split_call_makes_pages_of_it_and_all_keep_their_state([Values] bool dirty, [Values] bool aged)
    {
        using TestSpace test = RegionSpace.Make(dirty ? SplitPolicy.Lazy : SplitPolicy.Eager, logs: !dirty);
        _ = test.Read(First);
        if (aged)
        {
            Assert.That(RangeCalls.Age(test.Space, First, Page, out _), Is.Zero);
        }
        Assert.That(RangeCalls.Split(test.Space, First + Segment, Segment, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(First + (2 * Segment)));
        test.Check();
        Assert.That(test.Space.Tree.TryFindCell(First + (9 * Segment), out SegmentCell cell), Is.True);
        SegmentEntry entry = cell.Load();
        Assert.That((entry.IsSoftDirty, entry.IsAged, entry.Frame), Is.EqualTo((dirty, aged, HostOf(First + (9 * Segment)))));
        Assert.That(cell.Summary, Is.EqualTo(dirty ? SegmentCell.AllLines : 0));
        Assert.That(test.Read(First + Segment).LeafSize, Is.EqualTo(Page));
        Assert.That(test.Read(First).LeafSize, Is.EqualTo(Segment));
    }

    [Test]
    public void Populate_maps_2_GB_by_one_fault_and_what_is_written_page_by_page([Values] bool write)
    {
        using TestSpace test = RegionSpace.Make();
        Access access = write ? Access.Read | Access.Write : Access.Read;
        ulong size = write ? 3 * Segment : 5 * Gigabyte;
        Assert.That(RangeCalls.Populate(test.Space, First, size, access, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(First + size));
        test.Check();
        Assert.That(test.SizeAt(First), Is.EqualTo(write ? Page : TwoGigabytes));
        Assert.That(test.SizeAt(First + size - 1), Is.EqualTo(write ? Page : TwoGigabytes));
        Assert.That(test.Count(), Is.EqualTo(write ? 3 * 256UL : 0));
    }

    [Test]
    public void Slot_that_goes_takes_leaf_and_deposit_along_and_a_moved_one_comes_back([Values] bool unmapped)
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        long tables = test.Engine.Pool.Live(TableKind.Segment);
        _ = test.Write(First);
        _ = test.Read(Third);
        Assert.That(test.Engine.Pool.Live(TableKind.Segment), Is.EqualTo(tables + 2));
        if (unmapped)
        {
            Assert.That(RangeCalls.Unmap(test.Space, Start, Size, out _), Is.Zero);
        }
        test.Set(RegionSpace.Slot with { GuestAddress = Start + TwoGigabytes });
        test.Check();
        Assert.That(test.Engine.Pool.Live(TableKind.Segment), Is.EqualTo(tables));
        Assert.That(test.Read(Second).HostAddress, Is.EqualTo(HostOf(First)));
        test.Set(new SlotRequest { Id = 1 });
        Assert.That(test.Engine.Pool.Live(TableKind.Segment), Is.EqualTo(tables));
        Assert.That(test.Translate(Second, Access.Read, out FaultOutcome gone), Is.EqualTo(Status.Addressing));
        Assert.That(gone.Reason, Is.EqualTo(FaultReason.NoSlot));
    }

    [Test]
    public void Slot_that_becomes_read_only_and_writable_again()
    {
        using TestSpace test = RegionSpace.Make(logs: false);
        _ = test.Write(First);
        test.Set(RegionSpace.Slot with { LogDirty = false, ReadOnly = true });
        Assert.That((test.SizeAt(First), test.Read(First).Rights, test.SizeAt(First)), Is.EqualTo((0UL, Access.Read, TwoGigabytes)));
        Assert.That(test.Fault(First, Access.Write, out _), Is.EqualTo(Status.Protection));
        test.Set(RegionSpace.Slot with { LogDirty = false });
        Assert.That(test.Write(First).LeafSize, Is.EqualTo(TwoGigabytes));
        test.Check();
    }

    [Test]
    public void Lower_limit_splits_the_leaf_at_0_and_a_higher_one_keeps_what_is_there([Values] bool dirty)
    {
        using var test = new TestSpace(RegionSpace.Options);
        test.Set(RegionSpace.Slot with { GuestAddress = 0, Size = TwoGigabytes, HostAddress = RegionSpace.Memory, LogDirty = false });
        _ = dirty ? test.Write(0) : test.Read(0);
        Assert.That(test.SizeAt(0), Is.EqualTo(TwoGigabytes));
        Assert.That(test.Space.SetLimit(TwoGigabytes - 1), Is.Zero);
        test.Check();
        Assert.That((test.Space.Tree.Asce.Type, test.SizeAt(0)), Is.EqualTo((TableType.Segment, Segment)));
        Assert.That(test.Engine.Pool.Live(TableKind.RegionThird), Is.Zero);
        Assert.That(test.Read(Segment).LeafSize, Is.EqualTo(Segment));
        Assert.That(test.Space.SetLimit((16 * 1024 * Gigabyte) - 1), Is.Zero);
        test.Check();
        Assert.That(test.SizeAt(Segment), Is.EqualTo(Segment));
        Assert.That(test.Engine.Pool.Live(TableKind.RegionThird), Is.EqualTo(1));
    }

    [Test]
    public void Beyond_4_TB_and_beyond_8_PB_2_GB_are_one_leaf_too([Values(1UL << 42, 1UL << 53, 1UL << 63)] ulong at)
    {
        using var test = new TestSpace(RegionSpace.Options with { Limit = ulong.MaxValue });
        test.Set(RegionSpace.Slot with { GuestAddress = at, Size = 2 * TwoGigabytes, HostAddress = RegionSpace.Memory });
        Assert.That(test.Read(at + TwoGigabytes + Page).LeafSize, Is.EqualTo(TwoGigabytes));
        _ = test.Write(at);
        test.Check();
        Assert.That(test.Count(), Is.EqualTo(1));
        test.Set(new SlotRequest { Id = 1 });
        Assert.That(test.Engine.Pool.Live(TableKind.RegionThird), Is.Zero);
    }

    [Test]
    public void Without_memory_nothing_is_installed_and_a_split_needs_none()
    {
        using TestSpace test = RegionSpace.Make();
        test.Engine.Arena.FailAfter = 0;
        Assert.That(test.Fault(First, Access.Read, out _), Is.EqualTo(Status.NoMemory));
        test.Engine.Arena.FailAfter = -1;
        test.Check();
        _ = test.Read(First);
        test.Engine.Arena.FailAfter = 0;
        Assert.That(RangeCalls.Unmap(test.Space, First, Segment, out _), Is.Zero);
        Assert.That(test.Fault(First + (2 * Segment), Access.Write, out _), Is.EqualTo(Status.NoMemory), "for the page table");
        test.Engine.Arena.FailAfter = -1;
        test.Check();
        Assert.That((test.SizeAt(First), test.SizeAt(First + Segment)), Is.EqualTo((0UL, Segment)));
    }

    [Test]
    public unsafe void Header_goes_through_the_leaf_and_asks_where_it_is_protected()
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        var writer = new InlineWriter(test.View);
        int Fault(ulong address) => test.Fault(test.View, address, Access.Write, out _);
        _ = test.Read(First);
        writer.Enter();
        Assert.That(writer.Load(First + 0x12345678, out nint host), Is.Zero);
        Assert.That((ulong)host, Is.EqualTo(HostOf(First + 0x12345678)));
        Assert.That(writer.Store(First, out _), Is.EqualTo(InlineWriter.Ask));
        Assert.That(writer.Write(First + 8, 5, Fault), Is.Zero);
        Assert.That(writer.Store(First + TwoGigabytes - 8, out host), Is.Zero);
        Assert.That((ulong)host, Is.EqualTo(HostOf(Second - 8)));
        writer.Leave();
        Assert.That(*(ulong*)HostOf(First + 8), Is.EqualTo(5UL)); // memory of the test's slot
        Assert.That(test.Count(), Is.EqualTo(Pages));
    }
}
