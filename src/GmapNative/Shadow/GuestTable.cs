namespace GmapNative.Shadow;

/// <summary>
/// A level of a guest's tables. <see cref="Bits.TableType"/>, which ASCE and entries name, has no page table; it is one less.
/// </summary>
internal enum GuestTable
{
    Page = 0,
    Segment = 1,
    RegionThird = 2,
    RegionSecond = 3,
    RegionFirst = 4,
}
