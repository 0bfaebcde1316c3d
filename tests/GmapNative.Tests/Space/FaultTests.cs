using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>What a fault does to the tables, one documented behaviour at a time.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class FaultTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static TestSpace Make(
        SplitPolicy policy = SplitPolicy.Lazy, bool log = true, bool huge = true, ulong limit = TwoGigabytes - 1)
    {
        var test = new TestSpace(new SpaceOptions { Limit = limit, Policy = policy, Huge = huge });
        test.Set(Slot(log));
        return test;
    }

    private static SlotRequest Slot(bool log) => new()
    {
        Id = 1,
        GuestAddress = 2 * Segment,
        Size = 2 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = log,
    };

    [Test]
    public void Read_fault_maps_and_keeps_the_leaf()
    {
        using TestSpace test = Make();
        FaultOutcome first = test.Read((2 * Segment) + 0x5123);
        FaultOutcome second = test.Read((2 * Segment) + (9 * Page));
        Assert.Multiple(() =>
        {
            Assert.That(first.Done, Is.EqualTo(FaultDone.Mapped));
            Assert.That(first.HostAddress, Is.EqualTo(s_memory.Start + 0x5123));
            Assert.That((first.LeafSize, second.LeafSize), Is.EqualTo((Segment, Segment)));
            Assert.That((first.Rights, second.Rights), Is.EqualTo((Access.Read, Access.Read)));
            Assert.That(second.Done, Is.EqualTo(FaultDone.None));
            Assert.That((test.Counters.SegmentsMapped, test.Counters.Splits, test.Counters.PagesMapped), Is.EqualTo((1L, 0L, 0L)));
            Assert.That(test.Harvest(1), Is.Empty);
        });
    }

    [Test]
    [Property("Scenario", 9)]
    public void First_write_splits_one_leaf_and_makes_one_page_dirty()
    {
        using TestSpace test = Make();
        test.Read(2 * Segment);
        test.Read(3 * Segment);
        FaultOutcome write = test.Write((2 * Segment) + (7 * Page));
        Assert.Multiple(() =>
        {
            Assert.That(write.Done, Is.EqualTo(FaultDone.Split | FaultDone.Granted));
            Assert.That((write.LeafSize, write.Rights), Is.EqualTo((Page, Access.Read | Access.Write)));
            Assert.That((test.Counters.Splits, test.Counters.PagesGranted), Is.EqualTo((1L, 1L)));
            Assert.That(test.Read(3 * Segment).LeafSize, Is.EqualTo(Segment), "the other leaf stays");
        });
        int clean = 0;
        for (ulong page = 0; page < 256; page++)
        {
            int status = test.Translate((2 * Segment) + (page * Page), Access.Write, out FaultOutcome seen);
            Assert.That(status, Is.EqualTo(page == 7 ? Status.Ok : Status.Protection));
            clean += seen.Reason == FaultReason.NeedsFault ? 1 : 0;
        }
        Assert.That(clean, Is.EqualTo(255));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }));
        test.Check();
    }

    [Test]
    public void Second_page_of_a_split_segment_is_granted_without_another_split()
    {
        using TestSpace test = Make();
        test.Write(2 * Segment);
        Assert.That(test.Write((2 * Segment) + (255 * Page)).Done, Is.EqualTo(FaultDone.Granted));
        Assert.That(test.Write((2 * Segment) + (255 * Page)).Done, Is.EqualTo(FaultDone.None), "the second writer of a page");
        Assert.That(test.Counters.Splits, Is.EqualTo(1));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 255 }));
    }

    [Test]
    public void Inline_writer_grants_a_clean_page_without_a_call()
    {
        using TestSpace test = Make();
        test.Write(2 * Segment);
        var writer = new InlineWriter(test.View);
        writer.Enter();
        int asked = writer.Store((2 * Segment) + (100 * Page), out nint host);
        int leaf = writer.Store(3 * Segment, out _);
        writer.Leave();
        Assert.That((asked, leaf, (ulong)host), Is.EqualTo((0, InlineWriter.Ask, s_memory.Start + (100 * Page))));
        Assert.That(test.Counters.PagesGranted, Is.EqualTo(1), "by the library");
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 100 }));
        test.Check();
    }

    [Test]
    public void Never_splitting_makes_256_pages_dirty()
    {
        using TestSpace test = Make(SplitPolicy.Never);
        test.Read(3 * Segment);
        FaultOutcome write = test.Write((3 * Segment) + (17 * Page));
        Assert.That((write.Done, write.LeafSize), Is.EqualTo((FaultDone.Granted, Segment)));
        Assert.That((test.Counters.Splits, test.Counters.SegmentsGranted), Is.EqualTo((0L, 1L)));
        Assert.That(test.Harvest(1), Is.EqualTo(Range(256, 256)));
        Assert.That(test.Harvest(1), Is.Empty);
        test.Check();
    }

    [Test]
    public void Where_logging_is_off_a_leaf_is_written_without_a_split_or_a_second_fault()
    {
        using TestSpace test = Make(log: false);
        FaultOutcome read = test.Read(2 * Segment);
        Assert.That((read.LeafSize, read.Rights), Is.EqualTo((Segment, Access.Read | Access.Write)));
        Assert.That(test.Write(2 * Segment).Done, Is.EqualTo(FaultDone.None));
        Assert.That(test.Counters.Splits, Is.Zero);
        test.Check();
    }

    [Test]
    public void Huge_none_maps_pages_only()
    {
        using TestSpace test = Make(huge: false);
        FaultOutcome read = test.Read(2 * Segment);
        Assert.That((read.Done, read.LeafSize), Is.EqualTo((FaultDone.Mapped, Page)));
        Assert.That((test.Counters.PagesMapped, test.Counters.SegmentsMapped), Is.EqualTo((1L, 0L)));
        Assert.That(test.Translate((2 * Segment) + Page, Access.Read, out _), Is.EqualTo(Status.PageTranslation));
        test.Check();
    }

    [Test]
    public void Eager_splits_by_writes_as_lazy_does()
    {
        using TestSpace test = Make(SplitPolicy.Eager);
        test.Read(2 * Segment);
        Assert.That(test.Write(2 * Segment).Done, Is.EqualTo(FaultDone.Split | FaultDone.Granted));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [TestCase(0UL, FaultReason.NoSlot, Status.Addressing, Description = "below the slot")]
    [TestCase(4 * Segment, FaultReason.NoSlot, Status.Addressing, Description = "behind the slot")]
    [TestCase(16 * Segment, FaultReason.BeyondLimit, Status.Addressing, Description = "above the limit, inside the table")]
    [TestCase(TwoGigabytes, FaultReason.BeyondLimit, Status.AsceType, Description = "above what the table spans")]
    [TestCase(ulong.MaxValue, FaultReason.BeyondLimit, Status.AsceType)]
    public void Access_without_a_slot_is_a_guest_condition(ulong address, object reason, int code)
    {
        using TestSpace test = Make(limit: (16 * Segment) - 1);
        foreach (Access access in new[] { Access.Read, Access.Write })
        {
            Assert.That(test.Fault(address, access, out FaultOutcome fault), Is.EqualTo(code));
            Assert.That(fault.Reason, Is.EqualTo(reason));
            Assert.That(test.Translate(address, access, out FaultOutcome translation), Is.EqualTo(code));
            Assert.That(translation.Reason, Is.EqualTo(reason));
        }
        Assert.That(test.Counters.GuestConditions, Is.EqualTo(2));
    }

    [Test]
    public void Asce_type_begins_at_4_TB_under_a_region_table()
    {
        using TestSpace test = Make(limit: TwoGigabytes);
        Assert.That(test.Fault(8 * TwoGigabytes, Access.Read, out _), Is.EqualTo(Status.Addressing));
        Assert.That(test.Fault(1UL << 42, Access.Read, out FaultOutcome fault), Is.EqualTo(Status.AsceType));
        Assert.That(fault.Reason, Is.EqualTo(FaultReason.BeyondLimit));
    }

    [Test]
    public void Translation_names_the_level_that_maps_nothing_yet()
    {
        using TestSpace test = Make(limit: (4 * TwoGigabytes) - 1);
        test.Set(new SlotRequest
        {
            Id = 2,
            GuestAddress = TwoGigabytes + Page,
            Size = 2 * Page,
            HostAddress = s_memory.Start,
        });
        Assert.That(test.Translate(TwoGigabytes + Page, Access.Read, out FaultOutcome region), Is.EqualTo(Status.RegionThirdTranslation));
        Assert.That(test.Translate(2 * TwoGigabytes, Access.Read, out FaultOutcome nothing), Is.EqualTo(Status.Addressing));
        test.Read(2 * Segment);
        Assert.That(test.Translate(3 * Segment, Access.Read, out FaultOutcome segment), Is.EqualTo(Status.SegmentTranslation));
        test.Read(TwoGigabytes + Page);
        Assert.That(test.Translate(TwoGigabytes + (2 * Page), Access.Read, out FaultOutcome page), Is.EqualTo(Status.PageTranslation));
        Assert.That(test.Translate(TwoGigabytes, Access.Read, out FaultOutcome hole), Is.EqualTo(Status.Addressing));
        Assert.That(
            (region.Reason, nothing.Reason, segment.Reason, page.Reason, hole.Reason),
            Is.EqualTo((FaultReason.NotMapped, FaultReason.NoSlot, FaultReason.NotMapped, FaultReason.NotMapped, FaultReason.NoSlot)));
        Assert.That(test.Counters.PagesMapped, Is.EqualTo(1), "translations map nothing");
        test.Check();
    }

    [Test]
    public void Translation_for_a_write_tells_clean_from_read_only()
    {
        using TestSpace test = Make();
        test.Read(2 * Segment);
        Assert.That(test.Translate(2 * Segment, Access.Write, out FaultOutcome clean), Is.EqualTo(Status.Protection));
        Assert.That((clean.Reason, clean.Rights), Is.EqualTo((FaultReason.NeedsFault, Access.Read)));
        test.Set(Slot(log: true) with { ReadOnly = true });
        Assert.That(test.Fault(2 * Segment, Access.Write, out FaultOutcome refused), Is.EqualTo(Status.Protection));
        Assert.That(refused.Reason, Is.EqualTo(FaultReason.ReadOnlySlot));
        test.Read(2 * Segment);
        Assert.That(test.Translate(2 * Segment, Access.Write, out FaultOutcome readOnly), Is.EqualTo(Status.Protection));
        Assert.That(readOnly.Reason, Is.EqualTo(FaultReason.ReadOnlySlot));
    }

    [Test]
    [Property("Scenario", 11)]
    public void Populate_for_reading_leaves_pages_clean_and_stops_at_a_hole()
    {
        using TestSpace test = Make();
        int status = RangeCalls.Populate(test.Space, 3 * Segment, 2 * Segment, Access.Read, out ulong next);
        Assert.That((status, next), Is.EqualTo((Status.Addressing, 4 * Segment)));
        Assert.That(test.Counters.SegmentsMapped, Is.EqualTo(1));
        Assert.That(test.Harvest(1), Is.Empty);
        Assert.That(RangeCalls.Populate(test.Space, 3 * Segment, 3 * Page, Access.Write, out next), Is.Zero);
        Assert.That(next, Is.EqualTo((3 * Segment) + (3 * Page)));
        Assert.That(test.Harvest(1), Is.EqualTo(Range(256, 3)));
    }
}
