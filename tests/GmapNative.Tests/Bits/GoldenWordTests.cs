using GmapNative.Bits;
using NUnit.Framework;

namespace GmapNative.Tests.Bits;

/// <summary>What the constructors make, word for word.</summary>
[TestFixture]
internal sealed class GoldenWordTests
{
    private const ulong Origin = 0x00007F12_3456_C000;
    private const ulong Frame = 0x00007F12_3450_0000;

    [Test]
    public void AddressSpaceControl()
    {
        Assert.That(Asce.For(TableType.Segment, Origin).Value, Is.EqualTo(0x00007F123456C1C3UL));
        Assert.That(Asce.For(TableType.RegionThird, Origin).Value, Is.EqualTo(0x00007F123456C1C7UL));
        Assert.That(Asce.For(TableType.RegionSecond, Origin).Value, Is.EqualTo(0x00007F123456C1CBUL));
        Assert.That(Asce.For(TableType.RegionFirst, Origin).Value, Is.EqualTo(0x00007F123456C1CFUL));
        Assert.That(Asce.GuestControl, Is.EqualTo(0x1C0UL));
    }

    [TestCase(3, 0x2CUL, 0x000100050000002CUL, 0x0FUL)]
    [TestCase(2, 0x28UL, 0x0001000500000028UL, 0x0BUL)]
    [TestCase(1, 0x24UL, 0x0001000500000024UL, 0x07UL)]
    public void RegionEntries(int type, ulong empty, ulong hole, ulong template)
    {
        var level = (TableType)type;
        Assert.That(RegionEntry.Empty(level).Value, Is.EqualTo(empty));
        Assert.That(RegionEntry.Hole(level, 5).Value, Is.EqualTo(hole));
        Assert.That(RegionEntry.Table(level, 0).Value, Is.EqualTo(template));
        Assert.That(RegionEntry.Table(level, Origin).Value, Is.EqualTo(Origin | template));
    }

    [Test]
    public void RegionLeaf()
    {
        const ulong frame = 0x00007F12_8000_0000;
        Assert.That(RegionEntry.Leaf(frame, writable: false, dirty: false).Value, Is.EqualTo(frame | 0x2E05));
        Assert.That(RegionEntry.Leaf(frame, writable: true, dirty: false).Value, Is.EqualTo(frame | 0x6E05));
        Assert.That(RegionEntry.Leaf(frame, writable: true, dirty: true).Value, Is.EqualTo(frame | 0x7C07));
    }

    [Test]
    public void SegmentEntries()
    {
        Assert.That(SegmentEntry.Empty.Value, Is.EqualTo(0x20UL));
        Assert.That(SegmentEntry.Hole(5).Value, Is.EqualTo(0x0001000500000020UL));
        Assert.That(SegmentEntry.Table(Origin | 0x800, split: false).Value, Is.EqualTo(Origin | 0x800));
        Assert.That(SegmentEntry.Table(Origin | 0x800, split: true).Value, Is.EqualTo(Origin | 0x801));
        Assert.That(SegmentEntry.Leaf(Frame, writable: false, dirty: false).Value, Is.EqualTo(Frame | 0x2E01));
        Assert.That(SegmentEntry.Leaf(Frame, writable: false, dirty: true).Value, Is.EqualTo(Frame | 0x2E01));
        Assert.That(SegmentEntry.Leaf(Frame, writable: true, dirty: false).Value, Is.EqualTo(Frame | 0x6E01));
        Assert.That(SegmentEntry.Leaf(Frame, writable: true, dirty: true).Value, Is.EqualTo(Frame | 0x7C03));
    }

    [Test]
    public void PageEntries()
    {
        Assert.That(PageEntry.Empty.Value, Is.EqualTo(0x400UL));
        Assert.That(PageEntry.Hole(5).Value, Is.EqualTo(0x0001000500000400UL));
        Assert.That(PageEntry.Leaf(Origin, writable: false, dirty: false).Value, Is.EqualTo(Origin | 0x215));
        Assert.That(PageEntry.Leaf(Origin, writable: false, dirty: true).Value, Is.EqualTo(Origin | 0x215));
        Assert.That(PageEntry.Leaf(Origin, writable: true, dirty: false).Value, Is.EqualTo(Origin | 0x235));
        Assert.That(PageEntry.Leaf(Origin, writable: true, dirty: true).Value, Is.EqualTo(Origin | 0x03F));
    }

    [Test]
    public void SplitPages()
    {
        Assert.That(PageEntry.OfSplit(SegmentEntry.Leaf(Frame, writable: true, dirty: true)).Value, Is.EqualTo(Frame | 0x03F));
        Assert.That(PageEntry.OfSplit(SegmentEntry.Leaf(Frame, writable: true, dirty: false)).Value, Is.EqualTo(Frame | 0x235));
        Assert.That(PageEntry.OfSplit(SegmentEntry.Leaf(Frame, writable: false, dirty: false)).Value, Is.EqualTo(Frame | 0x215));
    }

    [Test]
    public void Keys()
    {
        Assert.That(StorageKey.Of(9, fetchProtected: true, referenced: false, changed: true).Value, Is.EqualTo((byte)0x9A));
        Assert.That(default(Pgste).WithKey(new StorageKey(0x9E)).Value, Is.EqualTo(0x9806000000000000UL));
        Assert.That(default(Pgste).WithUsage(2).WithProgram(0xBEEF).Value, Is.EqualTo(0x0000BEEF02000000UL));
    }
}
