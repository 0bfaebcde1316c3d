using System.Linq;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Slots: their edges, their rights, and what their changes leave behind.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class SlotTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static TestSpace Make(ulong limit = TwoGigabytes - 1) => new(new SpaceOptions { Limit = limit });

    private static SlotRequest Slot(ulong start, ulong size, ulong hostOffset = 0) => new()
    {
        Id = 1,
        GuestAddress = start,
        Size = size,
        HostAddress = s_memory.Start + hostOffset,
        LogDirty = true,
    };

    [Test]
    public void Ragged_edges_get_page_tables_with_holes_and_the_middle_a_leaf()
    {
        using TestSpace test = Make();
        test.Set(Slot(Segment - (3 * Page), Segment + (5 * Page), Segment - (3 * Page)));
        Assert.That(test.Read(Segment - Page).LeafSize, Is.EqualTo(Page));
        Assert.That(test.Read(Segment).LeafSize, Is.EqualTo(Segment));
        Assert.That(test.Read(2 * Segment).LeafSize, Is.EqualTo(Page));
        Assert.That(test.Translate(Segment - (4 * Page), Access.Read, out FaultOutcome before), Is.EqualTo(Status.Addressing));
        Assert.That(test.Translate((2 * Segment) + (2 * Page), Access.Read, out FaultOutcome behind), Is.EqualTo(Status.Addressing));
        Assert.That((before.Reason, behind.Reason), Is.EqualTo((FaultReason.NoSlot, FaultReason.NoSlot)));
        test.Check();
    }

    /// <summary>What a walker of the table finds, word by word: reference tokens, not those that the builder would choose.</summary>
    [Test]
    public void Ragged_segment_holds_a_token_for_each_page_that_is_not_mapped()
    {
        const ulong Empty = 0x0000_0000_0000_0400, Hole = 0x0001_0005_0000_0400;
        using TestSpace test = Make();
        test.Set(Slot(Segment + (5 * Page), 3 * Page, Segment));
        test.Read(Segment + (6 * Page));
        Assert.That(test.Space.Tree.TryFindCell(Segment, out SegmentCell cell), Is.True);
        var table = new PageTable(cell.Load().TableOrigin);
        for (int page = 0; page < 256; page++)
        {
            ulong word = table.Load(page).Value;
            if (page != 6)
            {
                Assert.That(word, Is.EqualTo(page is 5 or 7 ? Empty : Hole), $"page {page}");
            }
        }
        test.Set(Slot(Segment, 2 * Page) with { Id = 2 });
        Assert.That(Enumerable.Range(0, 5).Select(page => table.Load(page).Value), Is.EqualTo([Empty, Empty, Hole, Hole, Hole]));
        test.Check();
    }

    [TestCase(0UL, Segment)]
    [TestCase(Segment, Segment)]
    [TestCase(Page, Page)]
    [TestCase(Segment / 2, Page)]
    public void Leaf_only_where_guest_and_host_agree_modulo_1_MB(ulong hostOffset, ulong leaf)
    {
        using TestSpace test = Make();
        test.Set(Slot(4 * Segment, Segment, hostOffset));
        FaultOutcome read = test.Read((4 * Segment) + (9 * Page));
        Assert.That((read.LeafSize, read.HostAddress), Is.EqualTo((leaf, s_memory.Start + hostOffset + (9 * Page))));
        test.Check();
    }

    [Test]
    public void Slots_of_one_segment_are_tracked_apart()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, 5 * Page));
        test.Set(Slot(5 * Page, 3 * Page, Segment) with { Id = 2 });
        test.Write(4 * Page);
        test.Write(5 * Page);
        test.Write(6 * Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 4 }), "pages 5 and 6 share its cache line");
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 0, 1 }));
        test.Set(new SlotRequest { Id = 1 });
        test.Check();
        test.Write(7 * Page);
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 2 }));
    }

    [Test]
    [Property("Scenario", 20)]
    public void Two_slots_on_the_same_memory_are_each_tracked()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        test.Set(Slot(8 * Segment, Segment) with { Id = 2 });
        test.Write(3 * Page);
        Assert.That(test.Harvest(2), Is.Empty);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
    }

    [Test]
    public void Slot_across_2_GB_is_one_slot()
    {
        using TestSpace test = Make(4 * TwoGigabytes);
        test.Set(Slot(TwoGigabytes - Segment, 2 * Segment));
        test.Write(TwoGigabytes - Page);
        test.Write(TwoGigabytes);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 255, 256 }));
        test.Check();
        Assert.That(test.SetWithFinal(new SlotRequest { Id = 1 }), Is.Empty);
        test.Check();
        Assert.That(test.Engine.Pool.Live(GmapNative.Memory.TableKind.Segment), Is.EqualTo(1), "the engine's own");
    }

    [TestCase(0UL, 1UL, Status.Invalid, Description = "size not of pages")]
    [TestCase(1UL, Page, Status.Invalid, Description = "address not of a page")]
    [TestCase(ulong.MaxValue - Page + 1, 2 * Page, Status.Invalid, Description = "wraps")]
    [TestCase(TwoGigabytes - Page, 2 * Page, Status.Invalid, Description = "beyond the limit")]
    [TestCase(2 * Segment, Page, Status.Exists, Description = "inside another")]
    [TestCase(Segment, Segment + Page, Status.Exists, Description = "its end in another")]
    [TestCase(Segment, 8 * Segment, Status.Exists, Description = "around another")]
    [TestCase(Segment, Segment, Status.Ok, Description = "up to another")]
    [TestCase(TwoGigabytes - Page, Page, Status.Ok, Description = "up to the limit")]
    public void Geometry_is_checked(ulong start, ulong size, int status)
    {
        using TestSpace test = Make();
        test.Set(Slot(2 * Segment, Segment) with { Id = 2 });
        Assert.That(test.Space.Changes.Set(Slot(start, size)), Is.EqualTo(status));
        Assert.That(test.Space.Map.Slots.Length, Is.EqualTo(status == Status.Ok ? 2 : 1));
        test.Check();
    }

    [Test]
    public unsafe void Refusals_change_nothing()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        test.Write(0);
        ulong word = 0;
        var tooShort = new SlotRequest { Id = 1, FinalBitmap = (nint)(&word), FinalWords = 1 };
        Assert.That(test.Space.Changes.Set(tooShort), Is.EqualTo(Status.NoBuffer));
        Assert.That(test.Space.Changes.Set(new SlotRequest { Id = 9 }), Is.EqualTo(Status.NoEntry));
        Assert.That(
            test.Space.Changes.Set(Slot(0, Segment) with { LogDirty = false, InitiallyDirty = true }), Is.EqualTo(Status.Invalid));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [Test]
    public void Right_to_write_goes_and_comes_back()
    {
        using TestSpace test = Make();
        SlotRequest slot = Slot(0, 2 * Segment);
        test.Set(slot);
        test.Write(0);
        test.Read(Segment);
        test.Set(slot with { ReadOnly = true });
        test.Check();
        Assert.That(test.Fault(0, Access.Write, out _), Is.EqualTo(Status.Protection));
        var writer = new InlineWriter(test.View);
        writer.Enter();
        Assert.That(writer.Store(0, out _), Is.EqualTo(InlineWriter.Ask));
        writer.Leave();
        Assert.That(test.Read(0).Rights, Is.EqualTo(Access.Read));
        Assert.That(test.HostWrite(0, 1), Is.EqualTo(Status.Protection));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }), "written before it became read-only");
        test.Set(slot);
        test.Check();
        Assert.That(test.Translate(0, Access.Write, out _), Is.Not.EqualTo(Status.Ok));
        test.Write(Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 1 }));
        test.Check();
    }

    [Test]
    public void Logging_turned_on_while_a_slot_becomes_read_only_begins_empty()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment) with { LogDirty = false });
        test.Write(0);
        test.Set(Slot(0, Segment) with { ReadOnly = true });
        Assert.That(test.Harvest(1), Is.Empty);
    }

    [Test]
    public void Logging_turned_off_while_a_slot_becomes_read_only_hands_out_the_last_bits()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        test.Write(6 * Page);
        int[] last = test.SetWithFinal(Slot(0, Segment) with { ReadOnly = true, LogDirty = false });
        Assert.That(last, Is.EqualTo(new[] { 6 }));
    }

    [Test]
    public void Deleting_hands_out_marks_writes_and_what_was_unmapped()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, 2 * Segment));
        test.Write(Page);
        test.Write(Segment + Page);
        Assert.That(RangeCalls.Unmap(test.Space, Segment, Segment, out _), Is.Zero);
        Assert.That(test.Call(() => test.Space.Host.MarkRange(9 * Page, 1)), Is.Zero);
        Assert.That(test.SetWithFinal(new SlotRequest { Id = 1 }), Is.EqualTo(new[] { 1, 9, 257 }));
        Assert.That(test.Fault(0, Access.Read, out _), Is.EqualTo(Status.Addressing));
        Assert.That((ulong)test.Engine.Arena.Charged, Is.Zero);
        test.Check();
    }

    [Test]
    public void Resizing_hands_out_the_old_bits_and_begins_anew()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        test.Write(200 * Page);
        Assert.That(test.SetWithFinal(Slot(0, 2 * Segment)), Is.EqualTo(new[] { 200 }));
        Assert.That(test.Harvest(1), Is.Empty);
        test.Write(Segment);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 256 }));
        test.Check();
    }

    [Test]
    public void Moving_takes_the_old_mappings_away()
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        test.Write(0);
        Assert.That(test.SetWithFinal(Slot(5 * Segment, Segment)), Is.EqualTo(new[] { 0 }));
        Assert.That(test.Fault(0, Access.Read, out _), Is.EqualTo(Status.Addressing));
        Assert.That(test.Read(5 * Segment).HostAddress, Is.EqualTo(s_memory.Start));
        test.Check();
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Growing_past_2_GB_and_shrinking_again_keeps_what_is_mapped(bool written)
    {
        using TestSpace test = Make();
        test.Set(Slot(0, Segment));
        _ = written ? test.Write(3 * Page) : test.Read(3 * Page);
        Assert.That(test.Space.SetLimit(4 * TwoGigabytes), Is.Zero);
        test.Check();
        Assert.That(test.Translate(3 * Page, Access.Read, out FaultOutcome seen), Is.Zero);
        Assert.That(seen.HostAddress, Is.EqualTo(s_memory.Start + (3 * Page)));
        test.Set(Slot(TwoGigabytes, Segment) with { Id = 2 });
        test.Write(TwoGigabytes);
        Assert.That(test.Space.SetLimit(TwoGigabytes - 1), Is.EqualTo(Status.Busy));
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 0 }));
        test.Set(new SlotRequest { Id = 2 });
        Assert.That(test.Space.SetLimit(TwoGigabytes - 1), Is.Zero);
        test.Check();
        Assert.That(test.Engine.Pool.Live(GmapNative.Memory.TableKind.Region), Is.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(written ? [3] : System.Array.Empty<int>()));
        Assert.That(test.Fault(TwoGigabytes, Access.Read, out _), Is.EqualTo(Status.AsceType));
    }

    [Test]
    public void Shrinking_below_a_slot_is_refused_within_a_table_too()
    {
        using TestSpace test = Make();
        test.Set(Slot(8 * Segment, Segment));
        Assert.That(test.Space.SetLimit((9 * Segment) - Page - 1), Is.EqualTo(Status.Busy));
        Assert.That(test.Space.SetLimit((9 * Segment) - 1), Is.Zero);
        Assert.That(test.Fault(9 * Segment, Access.Read, out FaultOutcome beyond), Is.EqualTo(Status.Addressing));
        Assert.That(beyond.Reason, Is.EqualTo(FaultReason.BeyondLimit));
    }
}
