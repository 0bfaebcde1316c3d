namespace GmapNative.Bits;

/// <summary>
/// Page-status-table entry, 2 KB behind each page entry of a 4 KB page table (KVM's layout).
/// <code>
///  0      4  5    8  9 10     13 14    16                  32 33 34    38  40      48 49 50 51
/// +------+--+----+--+--+--+--+--+--+----+-------------------+--+--+-----+---+-------+--+--+--+---+
/// | ACC  |FP|    |PC|HR|HC|  |GR|GC|    |   program's use   |ZE|ND|     |USG|       |UC|IN|VS|GM |
/// +------+--+----+--+--+--+--+--+--+----+-------------------+--+--+-----+---+-------+--+--+--+---+
/// </code>
/// </summary>
internal readonly record struct Pgste(ulong Value)
{
    public const ulong AccessKeyMask = 0xF000_0000_0000_0000;
    public const ulong FetchProtection = 0x0800_0000_0000_0000;
    public const ulong Lock = 0x0080_0000_0000_0000;
    public const ulong HostReferenced = 0x0040_0000_0000_0000;
    public const ulong HostChanged = 0x0020_0000_0000_0000;
    public const ulong GuestReferenced = 0x0004_0000_0000_0000;
    public const ulong GuestChanged = 0x0002_0000_0000_0000;
    public const ulong ProgramMask = 0x0000_FFFF_0000_0000;
    public const ulong LogicallyZero = 0x0000_0000_8000_0000;
    public const ulong NoDat = 0x0000_0000_4000_0000;
    public const ulong UsageMask = 0x0000_0000_0300_0000;
    public const ulong CmmaDirty = 0x8000;
    public const ulong NotifyMarker = 0x4000;
    public const ulong ShadowMarker = 0x2000;
    public const ulong GuestMemory = 0x1000;
    public const int UsageShift = 24;
    public const int ProgramShift = 32;
    public const int KeyShift = 56;

    /// <summary>Fields that a machine looks at; the lock is momentary, the others are software's.</summary>
    public const ulong HardwareMask = AccessKeyMask | FetchProtection | HostReferenced | HostChanged | GuestReferenced | GuestChanged
        | LogicallyZero | NoDat | UsageMask;

    public bool IsLocked => (Value & Lock) != 0;

    /// <summary>0 stable, 1 unused, 2 potentially volatile, 3 volatile.</summary>
    public int Usage => (int)((Value & UsageMask) >> UsageShift);

    public ushort Program => (ushort)(Value >> ProgramShift);

    /// <summary>The guest's storage key: ACC and F from here, R and C from GR and GC.</summary>
    public StorageKey Key => new((byte)(
        ((Value & (AccessKeyMask | FetchProtection)) >> KeyShift)
        | ((Value & GuestReferenced) != 0 ? StorageKey.Referenced : 0u)
        | ((Value & GuestChanged) != 0 ? StorageKey.Changed : 0u)));

    public Pgste WithoutLock => new(Value & ~Lock);

    /// <summary>The bits of <paramref name="mask"/> from <paramref name="value"/>, the others as they are.</summary>
    public Pgste With(ulong mask, ulong value) => new((Value & ~mask) | (value & mask));

    public Pgste WithUsage(int usage) => new((Value & ~UsageMask) | (((ulong)usage << UsageShift) & UsageMask));

    public Pgste WithProgram(ushort program) => new((Value & ~ProgramMask) | ((ulong)program << ProgramShift));

    public Pgste WithKey(StorageKey key) => new(
        (Value & ~(AccessKeyMask | FetchProtection | GuestReferenced | GuestChanged))
        | ((ulong)(key.Value & (StorageKey.AccessMask | StorageKey.FetchProtection)) << KeyShift)
        | (key.IsReferenced ? GuestReferenced : 0)
        | (key.IsChanged ? GuestChanged : 0));
}
