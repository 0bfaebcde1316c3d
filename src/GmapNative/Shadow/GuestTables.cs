using GmapNative.Bits;

namespace GmapNative.Shadow;

/// <summary>What follows from the level of a guest's table.</summary>
internal static class GuestTables
{
    public static GuestTable Of(TableType type) => (GuestTable)type + 1;

    /// <summary>What TT of an entry has to be; not for a page table.</summary>
    public static TableType TypeOf(GuestTable level) => (TableType)(level - 1);

    /// <summary>The index of such a table begins at this bit of an address: one entry is for 2 to that power bytes.</summary>
    public static int ShiftOf(GuestTable level) =>
        level == GuestTable.Page ? GuestAddress.PageShift : GuestAddress.ShiftOf(TypeOf(level));

    /// <summary>
    /// log2 of the inner range that the 4 KB of storage around an entry describe. They hold 512 entries; a page table is 2 KB, its 256
    /// entries describe 1 MB, and the other 2 KB are not of this table.
    /// </summary>
    public static int PageSpanShiftOf(GuestTable level) =>
        level == GuestTable.Page ? GuestAddress.SegmentShift : ShiftOf(level) + 9;

    /// <summary>Byte offset of the entry for an address in a table of this level.</summary>
    public static ulong OffsetOf(GuestTable level, ulong address) =>
        ((address >> ShiftOf(level)) & (level == GuestTable.Page ? 0xFFUL : 0x7FFUL)) * sizeof(ulong);

    /// <summary>The two leftmost bits of an address's index at this level, which TF and TL bound; not for a page table.</summary>
    public static int QuarterOf(GuestTable level, ulong address) => (int)(address >> PageSpanShiftOf(level)) & 3;

    /// <summary>The program-interruption code of an entry of this level that is invalid, or beyond the end of its table.</summary>
    public static int TranslationException(GuestTable level) => level switch
    {
        GuestTable.Page => Status.PageTranslation,
        GuestTable.Segment => Status.SegmentTranslation,
        GuestTable.RegionThird => Status.RegionThirdTranslation,
        GuestTable.RegionSecond => Status.RegionSecondTranslation,
        _ => Status.RegionFirstTranslation,
    };
}
