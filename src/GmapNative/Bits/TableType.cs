namespace GmapNative.Bits;

/// <summary>
/// Designation type of an ASCE and TT of a table entry: which level a table is. Numbers as in bits 60-61 (value &lt;&lt; 2).
/// </summary>
internal enum TableType
{
    Segment = 0,
    RegionThird = 1,
    RegionSecond = 2,
    RegionFirst = 3,
}
