using GmapNative.Bits;

namespace GmapNative.Shadow;

/// <summary>
/// An entry of a guest's table, with what decides how it is read: its table's level, the guest's facilities, the space. Guests' entries
/// have no software bits: every bit is theirs, and what a level does not define is ignored.
/// </summary>
internal readonly record struct GuestEntry(GuestTable Level, ulong Value, EdatLevel Edat, bool IsSpacePrivate)
{
    private RegionEntry Region => new(Value);

    private SegmentEntry Segment => new(Value);

    private PageEntry Page => new(Value);

    /// <summary>FC counts in a segment entry with EDAT-1, in a region-third entry with EDAT-2.</summary>
    public bool IsLeaf => Level switch
    {
        GuestTable.Page => true,
        GuestTable.Segment => Edat >= EdatLevel.One && (Value & SegmentEntry.FormatControl) != 0,
        GuestTable.RegionThird => Edat >= EdatLevel.Two && (Value & RegionEntry.FormatControl) != 0,
        _ => false,
    };

    /// <summary>P counts in page and segment entries always, in region entries with EDAT-1.</summary>
    public bool IsProtected => Level switch
    {
        GuestTable.Page => Page.IsProtected,
        GuestTable.Segment => Segment.IsProtected,
        _ => Edat >= EdatLevel.One && Region.IsProtected,
    };

    /// <summary>Origin of the next table; not of a leaf.</summary>
    public ulong Origin => Level == GuestTable.Segment ? Segment.TableOrigin : Region.Origin;

    /// <summary>0, or the code that the entry itself causes: invalid first, then what it must not be.</summary>
    public int Check()
    {
        bool isPage = Level == GuestTable.Page;
        if (isPage ? Page.IsInvalid : Region.IsInvalid)
        {
            return GuestTables.TranslationException(Level);
        }
        bool isMalformed = isPage
            ? (Value & PageEntry.MustBeZero) != 0
            : Region.Level != GuestTables.TypeOf(Level) || IsForbiddenCommon;
        return isMalformed ? Status.TranslationSpecification : Status.Ok;
    }

    /// <summary>0, or the exception of the next table where the address is outside of the part of it (TF to TL) that there is.</summary>
    public int CheckNext(ulong address)
    {
        if (Level == GuestTable.Segment)
        {
            return Status.Ok;
        }
        GuestTable next = Level - 1;
        int quarter = GuestTables.QuarterOf(next, address);
        return quarter < Region.TableOffset || quarter > Region.TableLength ? GuestTables.TranslationException(next) : Status.Ok;
    }

    /// <summary>CS, and CR with EDAT-2, are for spaces that are not private.</summary>
    private bool IsForbiddenCommon =>
        IsSpacePrivate && (Value & SegmentEntry.Common) != 0 &&
        (Level == GuestTable.Segment || (Level == GuestTable.RegionThird && Edat >= EdatLevel.Two));
}
