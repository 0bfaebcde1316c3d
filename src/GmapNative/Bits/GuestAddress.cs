namespace GmapNative.Bits;

/// <summary>
/// How an address splits into table indexes (Principles of Operation, "Dynamic Address Translation").
/// <code>
///  0          11          22          33          44      52          63   (bit 0 is the most significant)
/// +-----------+-----------+-----------+-----------+-------+------------+
/// |    RFX    |    RSX    |    RTX    |    SX     |  PX   |     BX     |
/// +-----------+-----------+-----------+-----------+-------+------------+
/// </code>
/// </summary>
internal static class GuestAddress
{
    public const int PageShift = 12;
    public const int SegmentShift = 20;
    public const int RegionThirdShift = 31;
    public const int RegionSecondShift = 42;
    public const int RegionFirstShift = 53;

    public const ulong PageSize = 1UL << PageShift;
    public const ulong SegmentSize = 1UL << SegmentShift;
    public const ulong RegionThirdSize = 1UL << RegionThirdShift;

    /// <summary>Entries of a region or segment table, and of a page table.</summary>
    public const int TableEntries = 2048;
    public const int PageTableEntries = 256;
    public const int RegionThirdPages = TableEntries * PageTableEntries;

    public static int PageIndex(ulong address) => (int)(address >> PageShift) & 0xFF;

    public static int SegmentIndex(ulong address) => (int)(address >> SegmentShift) & 0x7FF;

    public static int RegionThirdIndex(ulong address) => (int)(address >> RegionThirdShift) & 0x7FF;

    public static int RegionSecondIndex(ulong address) => (int)(address >> RegionSecondShift) & 0x7FF;

    public static int RegionFirstIndex(ulong address) => (int)(address >> RegionFirstShift) & 0x7FF;

    /// <summary>The index of a region or segment table of this level begins at this bit of an address.</summary>
    public static int ShiftOf(TableType level) => SegmentShift + (11 * (int)level);

    /// <summary>Bytes that one entry of a table of this level stands for.</summary>
    public static ulong SpanOf(TableType level) => 1UL << ShiftOf(level);

    public static bool IsPageAligned(ulong value) => (value & (PageSize - 1)) == 0;

    /// <summary>The address behind a last one; behind the last of all, which no slot has, is nothing: that one itself.</summary>
    public static ulong After(ulong last) => last == ulong.MaxValue ? last : last + 1;

    public static ulong SegmentBase(ulong address) => address & ~(SegmentSize - 1);

    /// <summary>The 2 GB of an address, which one segment table maps.</summary>
    public static ulong RegionBase(ulong address) => address & ~(RegionThirdSize - 1);

    /// <summary>
    /// Where the segment of an index (2048: the one behind the last) of 2 GB begins, at most <paramref name="stop"/>; so it is, too, where
    /// those are the last 2 GB of all, and no address is behind them.
    /// </summary>
    public static ulong SegmentStart(ulong region, int index, ulong stop)
    {
        ulong start = region + ((ulong)index << SegmentShift);
        return start < region || start > stop ? stop : start;
    }

    /// <summary>Where a range that goes on at <paramref name="at"/> leaves those 2 GB, or ends.</summary>
    public static ulong RegionEnd(ulong at, ulong end) =>
        end - RegionBase(at) < RegionThirdSize ? end : RegionBase(at) + RegionThirdSize;
}
