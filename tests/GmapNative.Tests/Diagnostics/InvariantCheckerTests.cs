using GmapNative.Backing;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Diagnostics;

/// <summary>The checker finds what is broken on purpose: one entry, one bit, one table at a time.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class InvariantCheckerTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Leaf = 2 * Segment;

    private static readonly GuestMemory s_memory = new(8 << 20);

    private TestSpace _test = null!;

    /// <summary>Segment 1 is split with page 3 dirty, segment 2 a clean leaf, segment 3 empty, segment 4 a hole.</summary>
    [SetUp]
    public void Make()
    {
        _test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        _test.Set(new SlotRequest
        {
            Id = 1,
            GuestAddress = Segment,
            Size = 3 * Segment,
            HostAddress = s_memory.Start,
            LogDirty = true,
        });
        _test.Write(Segment + (3 * Page));
        _test.Read(Leaf);
        _test.Check();
    }

    [TearDown]
    public void End() => _test.Dispose();

    [Test]
    public unsafe void Mapping_of_a_page_that_has_not_come_is_found()
    {
        Slot slot = _test.Space.Map.ById(1)!;
        int made = MissingPages.TryCreate(
            _test.Space.Engine.Arena, slot, stops: false, missing: null, out MissingPages? missing, out _);
        Assert.That(made, Is.Zero);
        _test.Space.Publish(_test.Space.Map.Without(slot).With(slot with { Missing = missing })); // and nothing was unmapped
        Assert.That(_test.Violation(), Does.Contain("has not come"));
        _test.Space.Publish(_test.Space.Map.Without(slot).With(slot));
        missing!.Close();
    }

    [TestCase(3, PageEntry.SoftDirty, "takes stores that nobody would see")]
    [TestCase(3, PageEntry.Dirty, "neither dirty nor protected")]
    [TestCase(3, PageEntry.Writable, "right to write")]
    [TestCase(9, PageEntry.Protect, "neither dirty nor protected")]
    [TestCase(9, PageEntry.Writable, "right to write")]
    [TestCase(9, PageEntry.MustBeZero, "malformed")]
    [TestCase(9, PageEntry.ShadowMarker, "marked in a table that is not watched")]
    [TestCase(9, PageEntry.Present, "malformed")]
    [TestCase(9, 0x1000UL, "malformed")]
    [TestCase(9, PageEntry.Invalid, "young and aged")]
    [TestCase(9, PageEntry.Young, "or neither")]
    [TestCase(9, PageEntry.Invalid | PageEntry.Present, "should be")]
    public void Wrong_bit_of_a_page_is_found(int page, ulong bit, string reason)
    {
        SegmentCell cell = Cell(Segment);
        var table = new PageTable(cell.Load().TableOrigin);
        PageEntry entry = table.Load(page);
        var wrong = new PageEntry(entry.Value ^ bit);
        Assert.That(table.TryReplace(page, entry, wrong), Is.True);
        string? found = _test.Violation();
        Assert.That(table.TryReplace(page, wrong, entry), Is.True);
        Assert.That(found, Does.Contain(reason));
    }

    [TestCase(Leaf, SegmentEntry.Protect, "neither dirty nor protected")]
    [TestCase(Leaf, SegmentEntry.Writable, "right to write")]
    [TestCase(Leaf, SegmentEntry.Special, "malformed")]
    [TestCase(Leaf, SegmentEntry.Invalid, "young and aged")]
    [TestCase(Leaf, SegmentEntry.Young, "or neither")]
    [TestCase(Leaf, Segment, "malformed")]
    [TestCase(Leaf, SegmentEntry.SoftDirty | SegmentEntry.Dirty, "its summary word")]
    [TestCase(Segment, SegmentEntry.LockBit, "locked")]
    [TestCase(Segment, SegmentEntry.FrozenBit, "frozen")]
    [TestCase(Segment, 4UL, "malformed")]
    [TestCase(3 * Segment, 1UL << 48, "should be")]
    [TestCase(4 * Segment, 1UL << 48, "should be")]
    [TestCase(4 * Segment, SegmentEntry.Invalid, "outside the arena", Description = "a table at 5 << 32")]
    public void Wrong_bit_of_a_segment_is_found(ulong segment, ulong bit, string reason)
    {
        SegmentCell cell = Cell(segment);
        SegmentEntry entry = cell.Load();
        var wrong = new SegmentEntry(entry.Value ^ bit);
        Assert.That(cell.TryReplace(entry, wrong), Is.True);
        string? found = _test.Violation();
        Assert.That(cell.TryReplace(wrong, entry), Is.True);
        Assert.That(found, Does.Contain(reason));
    }

    [Test]
    public void Clear_bit_of_a_stripe_that_has_a_summary_bit_is_found()
    {
        Assert.That(_test.Space.Tree.TryFind(Segment, out SegmentTable table), Is.True);
        uint stripes = table.Stripes;
        table.ClearStripes(stripes);
        string? found = _test.Violation();
        table.FlagStripes(stripes);
        Assert.That((stripes, found), Is.EqualTo((1u, "segment 100000 has a summary word, its stripe's bit is clear")));
    }

    [Test]
    public void Clear_summary_bit_of_a_dirty_page_is_found()
    {
        SegmentCell cell = Cell(Segment);
        cell.ClearSummary(1);
        string? found = _test.Violation();
        cell.SetSummary(1);
        Assert.That(found, Does.Contain("summary bit is clear"));
    }

    [Test]
    public void Table_that_two_segments_share_is_found()
    {
        SegmentCell empty = Cell(3 * Segment);
        SegmentEntry before = empty.Load();
        SegmentEntry shared = Cell(Segment).Load();
        Assert.That(empty.TryReplace(before, shared), Is.True);
        string? found = _test.Violation();
        Assert.That(empty.TryReplace(shared, before), Is.True);
        Assert.That(found, Does.Contain("somebody else's"));
    }

    [Test]
    public void Table_outside_the_arena_is_found()
    {
        SegmentCell empty = Cell(3 * Segment);
        SegmentEntry before = empty.Load();
        SegmentEntry outside = SegmentEntry.Table(s_memory.Start, split: false);
        Assert.That(empty.TryReplace(before, outside), Is.True);
        string? found = _test.Violation();
        Assert.That(empty.TryReplace(outside, before), Is.True);
        Assert.That(found, Does.Contain("outside the arena"));
    }

    [TestCase(TableKind.Page)]
    [TestCase(TableKind.PagePgste)]
    [TestCase(TableKind.Segment)]
    public void Leaked_table_is_found(object kind)
    {
        nint table = _test.Engine.Pool.TryAllocate((TableKind)kind);
        string? found = _test.Violation();
        _test.Engine.Pool.Free(table, (TableKind)kind);
        Assert.That(found, Does.Contain("handed out"));
    }

    [Test]
    public void Leaked_log_is_found()
    {
        PinnedBitmap log = PinnedBitmap.TryCreate(_test.Engine.Arena, 64)!;
        string? found = _test.Violation();
        log.Free();
        Assert.That(found, Does.Contain("charged for logs"));
    }

    private SegmentCell Cell(ulong address)
    {
        Assert.That(_test.Space.Tree.TryFindCell(address, out SegmentCell cell), Is.True);
        return cell;
    }
}
