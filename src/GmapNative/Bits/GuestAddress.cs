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

    public static int PageIndex(ulong address) => (int)(address >> PageShift) & 0xFF;

    public static int SegmentIndex(ulong address) => (int)(address >> SegmentShift) & 0x7FF;

    public static int RegionThirdIndex(ulong address) => (int)(address >> RegionThirdShift) & 0x7FF;

    public static int RegionSecondIndex(ulong address) => (int)(address >> RegionSecondShift) & 0x7FF;

    public static int RegionFirstIndex(ulong address) => (int)(address >> RegionFirstShift) & 0x7FF;

    public static bool IsPageAligned(ulong value) => (value & (PageSize - 1)) == 0;

    public static ulong SegmentBase(ulong address) => address & ~(SegmentSize - 1);
}
