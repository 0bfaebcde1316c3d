namespace GmapNative.Bits;

/// <summary>
/// Segment-table entry: designates a page table (FC = 0) or maps 1 MB itself (FC = 1, EDAT-1).
/// <code>
///  FC = 0  0                                  53 54 55 56 57 58 59 60 62 63
///         +-----------------------------------+--+--+--+--+--+--+--+-----+-----+
///         |         page-table origin         |FC|P |  |fz|lk|I |CS| TT  | w  s|
///         +-----------------------------------+--+--+--+--+--+--+--+-----+-----+
///  FC = 1  0                  44      47 48 49 50 51 52 53 54 55  56 57 58 59 60 62 63
///         +------------------+-------+--+--+--+--+--+--+--+--+---+--+--+--+--+-----+--+--+
///         |  segment frame   |       |AV| special,w,r,d,y |FC|P |IEP|nt|sh|I |CS| TT  |sd|pr|
///         +------------------+-------+--+--+--+--+--+--+--+--+---+--+--+--+--+-----+--+--+
/// </code>
/// FC 0x400, P 0x200, IEP 0x100, I 0x20, CS 0x10, TT 0x0C (0 for a segment), AV 0x10000, ACC 0xF000, F 0x800.
/// <para>Software bits of a leaf (ACC and F are free while AV = 0): special 0x8000, writable 0x4000, readable 0x2000,
/// dirty 0x1000, young 0x0800, notify 0x80, shadow 0x40, soft-dirty 0x02, present 0x01.
/// Of a table: frozen 0x80, lock 0x40, watched 0x02, split 0x01 (in the picture fz, lk, w, s).</para>
/// Invariant: a leaf that is not dirty is protected (P = 1); a dirty leaf is soft-dirty when it becomes so; a leaf that is not young is
/// invalid but present.
/// </summary>
internal readonly record struct SegmentEntry(ulong Value)
{
    public const ulong TableOriginMask = 0xFFFF_FFFF_FFFF_F800;
    public const ulong FrameMask = 0xFFFF_FFFF_FFF0_0000;
    public const ulong AccessValidity = 0x10000;
    public const ulong FormatControl = 0x400;
    public const ulong Protect = 0x200;
    public const ulong InstructionExecutionProtection = 0x100;
    public const ulong Invalid = 0x20;
    public const ulong Common = 0x10;
    public const ulong TypeMask = 0x0C;

    public const ulong Special = 0x8000;
    public const ulong Writable = 0x4000;
    public const ulong Readable = 0x2000;
    public const ulong Dirty = 0x1000;
    public const ulong Young = 0x0800;
    public const ulong NotifyMarker = 0x80;
    public const ulong ShadowMarker = 0x40;
    public const ulong SoftDirty = 0x02;
    public const ulong Present = 0x01;

    public const ulong FrozenBit = 0x80;
    public const ulong LockBit = 0x40;
    public const ulong WatchedBit = 0x02;
    public const ulong SplitBit = 0x01;
    public const ulong Markers = NotifyMarker | ShadowMarker;

    /// <summary>Bits that the machine looks at in a leaf and in a table entry.</summary>
    public const ulong LeafHardwareMask = 0xFFFF_FFFF_FFF1_073C;
    public const ulong TableHardwareMask = 0xFFFF_FFFF_FFFF_FE3C;

    public static SegmentEntry Empty => new(Invalid);

    public static SegmentEntry Hole(int programInterruptionCode) => new(Token.Hole(programInterruptionCode) | Invalid);

    /// <summary>
    /// Designates a page table (2 KB aligned). <paramref name="split"/>: it came from a leaf; <paramref name="watched"/>: its entries may
    /// carry markers.
    /// </summary>
    public static SegmentEntry Table(ulong origin, bool split, bool watched = false) =>
        new((origin & TableOriginMask) | (split ? SplitBit : 0) | (watched ? WatchedBit : 0));

    /// <summary>Maps 1 MB at <paramref name="frame"/> (1 MB aligned), readable and young.</summary>
    public static SegmentEntry Leaf(ulong frame, bool writable, bool dirty) =>
        new((frame & FrameMask) | LeafBits(writable, dirty));

    /// <summary>In a shadow, as <see cref="PageEntry.OfShadow"/>.</summary>
    public static SegmentEntry OfShadow(ulong frame, bool writable) =>
        new((frame & FrameMask) | FormatControl | Present | Readable | Young | (writable ? Dirty : Protect));

    internal static ulong LeafBits(bool writable, bool dirty) =>
        FormatControl | Present | Readable | Young | (writable ? Writable : 0) |
        (writable && dirty ? Dirty | SoftDirty : Protect);

    public ulong TableOrigin => Value & TableOriginMask;

    public ulong Frame => Value & FrameMask;

    public bool IsInvalid => (Value & Invalid) != 0;

    public bool IsProtected => (Value & Protect) != 0;

    /// <summary>Maps 1 MB, also while it is aged.</summary>
    public bool IsLeaf => (Value & FormatControl) != 0 && (Value & (Invalid | Present)) != Invalid;

    /// <summary>A leaf whose next use comes as a fault (rule 24).</summary>
    public bool IsAged => IsLeaf && IsInvalid;

    public bool IsTable => (Value & (Invalid | FormatControl)) == 0;

    public bool IsHole => IsInvalid && !IsLeaf && Token.KindOf(Value) == Token.ProgramInterruption;

    public bool IsEmpty => IsInvalid && !IsLeaf && Token.KindOf(Value) == Token.None;

    public bool IsLocked => IsTable && (Value & LockBit) != 0;

    public bool IsFrozen => IsTable && (Value & FrozenBit) != 0;

    public bool IsSplit => IsTable && (Value & SplitBit) != 0;

    /// <summary>A table whose entries may carry markers: they are taken one by one, under its lock (rule 28).</summary>
    public bool IsWatched => IsTable && (Value & WatchedBit) != 0;

    /// <summary>A leaf with a watched page, or one that was.</summary>
    public bool IsMarked => IsLeaf && (Value & Markers) != 0;

    public bool IsWritable => (Value & Writable) != 0;

    public bool IsDirty => (Value & Dirty) != 0;

    public bool IsSoftDirty => IsLeaf && (Value & SoftDirty) != 0;

    public SegmentEntry WithLock => new(Value | LockBit);

    public SegmentEntry WithoutLock => new(Value & ~LockBit);

    /// <summary>A table that only its freezer changes; stores ask (rule 20).</summary>
    public SegmentEntry WithFreeze => new(Value | FrozenBit | Protect);

    /// <summary>A leaf with write granted: P cleared, dirty, soft-dirty and young set.</summary>
    public SegmentEntry WithGrant => new((Value & ~Protect) | Writable | Dirty | SoftDirty | Young);

    /// <summary>A leaf armed for the next write: clean and protected.</summary>
    public SegmentEntry WithArmed => new((Value & ~(Dirty | SoftDirty)) | Protect);

    /// <summary>A leaf that says so when it is used again.</summary>
    public SegmentEntry WithAge => new((Value | Invalid) & ~Young);

    /// <summary>An aged leaf that was used.</summary>
    public SegmentEntry WithUse => new((Value & ~Invalid) | Young);

    public SegmentEntry WithWritable => new(Value | Writable);

    /// <summary>A leaf that asks before it is written.</summary>
    public SegmentEntry WithProtect => new(Value | Protect);

    public SegmentEntry WithoutMarkers => new(Value & ~Markers);

    /// <summary>A leaf of which a page is watched.</summary>
    public SegmentEntry WithMarkers(bool shadow) => new((Value & ~Markers) | NotifyMarker | (shadow ? ShadowMarker : 0));
}
