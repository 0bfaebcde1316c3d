namespace GmapNative.Bits;

/// <summary>
/// Page-table entry: maps 4 KB.
/// <code>
///  0                                          52 53 54 55  56            63
/// +--------------------------------------------+--+--+--+---+-------------+
/// |             page-frame address             |Z |I |P |IEP|  software   |
/// +--------------------------------------------+--+--+--+---+-------------+
/// </code>
/// Z 0x800 must be zero (else a translation-specification exception), I 0x400, P 0x200, IEP 0x100. Software byte: present 0x01,
/// soft-dirty 0x02, young 0x04, dirty 0x08, readable 0x10, writable 0x20, and in user space two markers: notify 0x40, shadow 0x80.
/// Invariant: an entry that is not dirty is protected (P = 1); one that is not young is invalid, and present if it maps a page.
/// </summary>
internal readonly record struct PageEntry(ulong Value)
{
    public const ulong FrameMask = 0xFFFF_FFFF_FFFF_F000;
    public const ulong MustBeZero = 0x800;
    public const ulong Invalid = 0x400;
    public const ulong Protect = 0x200;
    public const ulong InstructionExecutionProtection = 0x100;
    public const ulong ShadowMarker = 0x80;
    public const ulong NotifyMarker = 0x40;
    public const ulong Writable = 0x20;
    public const ulong Readable = 0x10;
    public const ulong Dirty = 0x08;
    public const ulong Young = 0x04;
    public const ulong SoftDirty = 0x02;
    public const ulong Present = 0x01;
    public const ulong Markers = NotifyMarker | ShadowMarker;
    public const ulong HardwareMask = 0xFFFF_FFFF_FFFF_FF00;

    public static PageEntry Empty => new(Invalid);

    public static PageEntry Hole(int programInterruptionCode) => new(Token.Hole(programInterruptionCode) | Invalid);

    /// <summary>Maps the 4 KB at <paramref name="frame"/>, readable and young.</summary>
    public static PageEntry Leaf(ulong frame, bool writable, bool dirty) =>
        new((frame & FrameMask) | Present | Readable | Young | (writable ? Writable : 0) |
            (writable && dirty ? Dirty | SoftDirty : Protect));

    /// <summary>In a shadow: nobody but the library changes it, so it is not writable by software, and says P = 0 or not.</summary>
    public static PageEntry OfShadow(ulong frame, bool writable) =>
        new((frame & FrameMask) | Present | Readable | Young | (writable ? Dirty : Protect));

    /// <summary>
    /// What page 0 of a split leaf becomes; page i is this plus i * 4096. Frame, rights, I, P, IEP, dirty, soft-dirty, young
    /// and markers are the parent's (rule 16).
    /// </summary>
    public static PageEntry OfSplit(SegmentEntry leaf)
    {
        ulong from = leaf.Value;
        return new(leaf.Frame
            | (from & (SegmentEntry.Protect | SegmentEntry.InstructionExecutionProtection | SegmentEntry.SoftDirty | SegmentEntry.Present))
            | ((from & SegmentEntry.Young) != 0 ? Young : 0)
            | ((from & SegmentEntry.Invalid) != 0 ? Invalid : 0)
            | ((from & SegmentEntry.Dirty) != 0 ? Dirty : 0)
            | ((from & SegmentEntry.Readable) != 0 ? Readable : 0)
            | ((from & SegmentEntry.Writable) != 0 ? Writable : 0)
            | ((from & SegmentEntry.NotifyMarker) != 0 ? NotifyMarker : 0)
            | ((from & SegmentEntry.ShadowMarker) != 0 ? ShadowMarker : 0));
    }

    public ulong Frame => Value & FrameMask;

    public bool IsInvalid => (Value & Invalid) != 0;

    public bool IsProtected => (Value & Protect) != 0;

    public bool IsPresent => (Value & Present) != 0;

    /// <summary>Mapped, and its next use comes as a fault (rule 24).</summary>
    public bool IsAged => (Value & (Invalid | Present)) == (Invalid | Present);

    public bool IsWritable => (Value & Writable) != 0;

    public bool IsDirty => (Value & Dirty) != 0;

    public bool IsSoftDirty => (Value & SoftDirty) != 0;

    public bool IsHole => IsInvalid && !IsPresent && Token.KindOf(Value) == Token.ProgramInterruption;

    public bool IsEmpty => IsInvalid && !IsPresent && Token.KindOf(Value) == Token.None;

    /// <summary>May be made dirty by one compare-and-swap without a lock (PROTOCOL.md, "grantable").</summary>
    public bool IsGrantable =>
        (Value & (Present | Writable | Invalid | Protect | Markers)) == (Present | Writable | Protect);

    public PageEntry WithGrant => new((Value & ~Protect) | Dirty | SoftDirty | Young);

    public PageEntry WithArmed => new((Value & ~(Dirty | SoftDirty)) | Protect);

    /// <summary>An entry that says so when it is used again.</summary>
    public PageEntry WithAge => new((Value | Invalid) & ~Young);

    /// <summary>An aged entry that was used.</summary>
    public PageEntry WithUse => new((Value & ~Invalid) | Young);

    /// <summary>An entry that nobody grants without the segment's lock (rule 23).</summary>
    public PageEntry WithoutWritable => new(Value & ~Writable);

    public PageEntry WithWritable => new(Value | Writable);

    /// <summary>An entry that asks before it is written.</summary>
    public PageEntry WithProtect => new(Value | Protect);

    public bool IsMarked => (Value & Markers) != 0;

    /// <summary>
    /// No longer watched. What is dirty and was protected only for that takes stores again, as other dirty pages do.
    /// </summary>
    public PageEntry WithoutMarkers => new(Value & ~Markers & ~(IsSoftDirty && IsDirty && IsWritable ? Protect : 0));

    public PageEntry WithMarkers(bool shadow) => new((Value & ~Markers) | NotifyMarker | (shadow ? ShadowMarker : 0));
}
