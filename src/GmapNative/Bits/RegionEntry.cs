namespace GmapNative.Bits;

/// <summary>
/// Region-first, -second or -third table entry that designates the next table, or a region-third entry that maps 2 GB.
/// <code>
///  FC = 0  0                                    52 53 54    56   58 59 60 62 63
///         +------------------------------------+--+--+-----+----+--+--+-----+-----+
///         |            table origin            |  |FC|P    | TF |I |CR| TT  | TL  |
///         +------------------------------------+--+--+-----+----+--+--+-----+-----+
///  FC = 1  0                           33      47 48  52 53 54 55   58 59 60 62 63
///         +---------------------------+---+---+--+----+--+--+--+---+--+--+-----+-----+
///         |    region-frame address   |   |AV |  ACC  |F |FC|P |IEP|  |I |CR| TT | soft |
///         +---------------------------+---+---+--+----+--+--+--+---+--+--+-----+-----+
/// </code>
/// P 0x200 (with EDAT-1) and FC 0x400 (region-third, EDAT-2). A 2 GB leaf has the software bits of a 1 MB leaf
/// (<see cref="SegmentEntry"/>), at the same positions.
/// </summary>
internal readonly record struct RegionEntry(ulong Value)
{
    public const ulong OriginMask = 0xFFFF_FFFF_FFFF_F000;
    public const ulong FrameMask = 0xFFFF_FFFF_8000_0000;
    public const ulong FormatControl = 0x400;
    public const ulong Protect = 0x200;
    public const ulong OffsetMask = 0xC0;
    public const ulong Invalid = 0x20;
    public const ulong Common = 0x10;
    public const ulong TypeMask = 0x0C;
    public const ulong LengthMask = 0x03;

    /// <summary>Bits that the machine looks at: everything else is cleared when software bits are.</summary>
    public const ulong LeafHardwareMask = 0xFFFF_FFFF_8001_073C;

    public static RegionEntry Empty(TableType level) => new(Invalid | ((ulong)level << 2));

    public static RegionEntry Hole(TableType level, int programInterruptionCode) =>
        new(Token.Hole(programInterruptionCode) | Invalid | ((ulong)level << 2));

    /// <summary>An entry of a table of <paramref name="level"/> that designates a full next-lower table.</summary>
    public static RegionEntry Table(TableType level, ulong origin) =>
        new((origin & OriginMask) | ((ulong)level << 2) | LengthMask);

    /// <summary>A region-third entry that maps 2 GB; not dirty means protected, as for a segment.</summary>
    public static RegionEntry Leaf(ulong frame, bool writable, bool dirty) =>
        new((frame & FrameMask) | ((ulong)TableType.RegionThird << 2) | SegmentEntry.LeafBits(writable, dirty));

    /// <summary>In a shadow, as <see cref="PageEntry.OfShadow"/>.</summary>
    public static RegionEntry OfShadow(ulong frame, bool writable) =>
        new((frame & FrameMask) | ((ulong)TableType.RegionThird << 2) | (SegmentEntry.OfShadow(0, writable).Value));

    public ulong Origin => Value & OriginMask;

    public ulong Frame => Value & FrameMask;

    public bool IsInvalid => (Value & Invalid) != 0;

    public bool IsProtected => (Value & Protect) != 0;

    public TableType Level => (TableType)((Value & TypeMask) >> 2);

    public int TableOffset => (int)((Value & OffsetMask) >> 6);

    public int TableLength => (int)(Value & LengthMask);

    /// <summary>Maps 2 GB, also while it is aged.</summary>
    public bool IsLeaf => Level == TableType.RegionThird && Bits.IsLeaf;

    /// <summary>A leaf whose next use comes as a fault (rule 24).</summary>
    public bool IsAged => IsLeaf && IsInvalid;

    public bool IsTable => !IsInvalid && !IsLeaf;

    /// <summary>A token: neither a table nor a leaf.</summary>
    public bool MapsNothing => IsInvalid && !IsLeaf;

    public bool IsHole => MapsNothing && Token.KindOf(Value) == Token.ProgramInterruption;

    public bool IsEmpty => MapsNothing && Token.KindOf(Value) == Token.None;

    /// <summary>What a leaf says besides its frame and level, where a 1 MB leaf says it.</summary>
    public SegmentEntry Bits => new(Value);

    /// <summary>
    /// What segment 0 of a split leaf becomes; segment i is this plus i MB. Frame, rights, I, P, dirty, soft-dirty, young and markers are
    /// the parent's (rule 33).
    /// </summary>
    public SegmentEntry FirstSegment => new(Value & ~TypeMask);

    public RegionEntry WithOrigin(ulong origin) => new((Value & ~OriginMask) | (origin & OriginMask));
}
