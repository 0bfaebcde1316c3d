namespace GmapNative.Bits;

/// <summary>
/// Storage key of a 4 KB frame: ACC 0xF0, F 0x08 (fetch protection), R 0x04 (referenced), C 0x02 (changed), 0x01 always zero.
/// <code>
///   0       4   5   6   7
/// +-------+---+---+---+---+
/// |  ACC  | F | R | C | 0 |
/// +-------+---+---+---+---+
/// </code>
/// </summary>
internal readonly record struct StorageKey(byte Value)
{
    public const byte AccessMask = 0xF0;
    public const byte FetchProtection = 0x08;
    public const byte Referenced = 0x04;
    public const byte Changed = 0x02;
    public const byte Mask = 0xFE;

    public static StorageKey Of(int access, bool fetchProtected, bool referenced, bool changed) => new((byte)(
        ((access << 4) & AccessMask)
        | (fetchProtected ? FetchProtection : 0)
        | (referenced ? Referenced : 0)
        | (changed ? Changed : 0)));

    public int Access => Value >> 4;

    public bool IsFetchProtected => (Value & FetchProtection) != 0;

    public bool IsReferenced => (Value & Referenced) != 0;

    public bool IsChanged => (Value & Changed) != 0;
}
