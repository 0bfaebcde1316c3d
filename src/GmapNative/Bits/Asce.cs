namespace GmapNative.Bits;

/// <summary>
/// Address-space-control element: where the top table is, which level it is and how long.
/// <code>
///  0                                            52 54 55 56 57 58 59 60 62 63
/// +--------------------------------------------+--+--+--+--+--+--+--+-----+-----+
/// |                table origin                |  |G |P |S |X |R |  | DT  | TL  |
/// +--------------------------------------------+--+--+--+--+--+--+--+-----+-----+
/// </code>
/// G 0x200 subspace group, P 0x100 private space, S 0x80 storage-alteration event, X 0x40 space-switch event,
/// R 0x20 real space, DT 0x0C designation type, TL 0x03 table length in units of 512 entries, less one.
/// </summary>
internal readonly record struct Asce(ulong Value)
{
    public const ulong OriginMask = 0xFFFF_FFFF_FFFF_F000;
    public const ulong SubspaceGroup = 0x200;
    public const ulong PrivateSpace = 0x100;
    public const ulong StorageAlteration = 0x80;
    public const ulong SpaceSwitch = 0x40;
    public const ulong RealSpace = 0x20;
    public const ulong TypeMask = 0x0C;
    public const ulong LengthMask = 0x03;

    /// <summary>What a guest address space carries: P, S and X, as KVM sets them.</summary>
    public const ulong GuestControl = PrivateSpace | StorageAlteration | SpaceSwitch;

    /// <summary>A full-length (TL = 3) designation of a table at <paramref name="origin"/> (4 KB aligned).</summary>
    public static Asce For(TableType type, ulong origin) =>
        new((origin & OriginMask) | GuestControl | ((ulong)type << 2) | LengthMask);

    public ulong Origin => Value & OriginMask;

    public TableType Type => (TableType)((Value & TypeMask) >> 2);

    public int Length => (int)(Value & LengthMask);

    public bool IsRealSpace => (Value & RealSpace) != 0;

    public bool IsPrivate => (Value & PrivateSpace) != 0;

    /// <summary>Bytes that a full-length table of this type spans; 0 stands for 2^64.</summary>
    public static ulong SpanOf(TableType type) => type switch
    {
        TableType.Segment => 1UL << GuestAddress.RegionThirdShift,
        TableType.RegionThird => 1UL << GuestAddress.RegionSecondShift,
        TableType.RegionSecond => 1UL << GuestAddress.RegionFirstShift,
        _ => 0,
    };

    /// <summary>Whether an address lies within what a full-length table of this type spans.</summary>
    public static bool Reaches(TableType type, ulong address) => type == TableType.RegionFirst || address < SpanOf(type);

    public Asce WithOrigin(ulong origin) => new((Value & ~OriginMask) | (origin & OriginMask));
}
