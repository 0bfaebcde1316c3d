using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// Finds soft-dirty entries of a page table, and takes them where nobody else changes the table (rule 20), by vectors. Each entry is
/// read and stored whole; what changes behind a look is found by the next one. All widths do the same; the one without a width takes the
/// widest that the build may use.
/// </summary>
internal static unsafe class SoftDirtyScan
{
    public const int LineEntries = 8;
    public const int GroupEntries = 64;

    private const int ToSign = 62; // from soft-dirty, bit 1, to where a vector's mask is taken from
    private const int ToSignOfHalf = 30;
    private const byte LowHalves = 0b10_00_10_00;
    private const int ToDirty = 2;
    private const int ToProtect = 8;

    /// <summary>Bit i: entry i of a line (8 entries) is soft-dirty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Line(ulong* line) => Line(line, VectorWidths.Widest);

    /// <summary>Bit i: entry i of a group (64 entries) is soft-dirty.</summary>
    public static ulong Group(ulong* group) => Group(group, VectorWidths.Widest);

    /// <summary>
    /// Makes every soft-dirty entry of a line clean and protected, as <see cref="PageEntry.WithArmed"/>, by plain stores.
    /// </summary>
    public static void Arm(ulong* line) => Arm(line, VectorWidths.Widest);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint Line(ulong* line, VectorWidth width)
    {
        switch (width)
        {
            case VectorWidth.Bits512:
                return (uint)(Vector512.Load(line) << ToSign).ExtractMostSignificantBits();
            case VectorWidth.Bits256:
                return (Vector256.Load(line) << ToSign).ExtractMostSignificantBits()
                    | ((Vector256.Load(line + 4) << ToSign).ExtractMostSignificantBits() << 4);
            case VectorWidth.Bits128:
                return (Vector128.Load(line) << ToSign).ExtractMostSignificantBits()
                    | ((Vector128.Load(line + 2) << ToSign).ExtractMostSignificantBits() << 2)
                    | ((Vector128.Load(line + 4) << ToSign).ExtractMostSignificantBits() << 4)
                    | ((Vector128.Load(line + 6) << ToSign).ExtractMostSignificantBits() << 6);
            default:
                uint found = 0;
                for (int i = 0; i < LineEntries; i++)
                {
                    found |= (uint)((line[i] & PageEntry.SoftDirty) / PageEntry.SoftDirty) << i;
                }
                return found;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong Group(ulong* group, VectorWidth width)
    {
        switch (width)
        {
            case VectorWidth.Bits256 when Avx2.IsSupported:
                return Half256(group) | ((ulong)Half256(group + (GroupEntries / 2)) << 32);
            case VectorWidth.Bits128 when Sse2.IsSupported:
                ulong low = Quarter128(group) | (Quarter128(group + 16) << 16);
                return low | ((ulong)(Quarter128(group + 32) | (Quarter128(group + 48) << 16)) << 32);
            default:
                ulong found = 0;
                for (int at = 0; at < GroupEntries; at += LineEntries)
                {
                    found |= (ulong)Line(group + at, width) << at;
                }
                return found;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Arm(ulong* line, VectorWidth width)
    {
        // Where soft-dirty is set: that bit and dirty go, P comes. The bits are two and eight places above it.
        for (ulong* end = line + LineEntries; line < end; line += (int)width / sizeof(ulong))
        {
            switch (width)
            {
                case VectorWidth.Bits512:
                    Vector512<ulong> taken512 = Vector512.Load(line) & Vector512.Create(PageEntry.SoftDirty);
                    ((Vector512.Load(line) | (taken512 << ToProtect)) & ~(taken512 | (taken512 << ToDirty))).Store(line);
                    break;
                case VectorWidth.Bits256:
                    Vector256<ulong> taken256 = Vector256.Load(line) & Vector256.Create(PageEntry.SoftDirty);
                    ((Vector256.Load(line) | (taken256 << ToProtect)) & ~(taken256 | (taken256 << ToDirty))).Store(line);
                    break;
                case VectorWidth.Bits128:
                    Vector128<ulong> taken128 = Vector128.Load(line) & Vector128.Create(PageEntry.SoftDirty);
                    ((Vector128.Load(line) | (taken128 << ToProtect)) & ~(taken128 | (taken128 << ToDirty))).Store(line);
                    break;
                default:
                    ulong taken = *line & PageEntry.SoftDirty;
                    *line = (*line | (taken << ToProtect)) & ~(taken | (taken << ToDirty));
                    break;
            }
        }
    }

    /// <summary>
    /// Bit i: entry i of 32 is soft-dirty. Only the low halves are looked at: two vectors are one of eight of them. The bit of each
    /// becomes the top of a byte, another byte of it for each of four such vectors, and the mask of the bytes has all 32.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Half256(ulong* entries)
    {
        var softDirty = Vector256.Create((uint)PageEntry.SoftDirty);
        Vector256<uint> tops = ((LowHalves256(entries) & softDirty) << 6)
            | ((LowHalves256(entries + 8) & softDirty) << 14)
            | ((LowHalves256(entries + 16) & softDirty) << 22)
            | (LowHalves256(entries + 24) << ToSignOfHalf); // what is below it is no top, and nothing is above
        // In each lane: the four bytes of eight entries side by side. One lane has the pairs 0, 1 and 4, 5 of them, one the others.
        Vector256<ushort> pairs = Avx2.Shuffle(tops.AsByte(), Vector256.Create(ByEights, ByEights)).AsUInt16();
        Vector128<ushort> even = pairs.GetLower();
        Vector128<ushort> odd = pairs.GetUpper();
        return Sse2.UnpackLow(even, odd).AsByte().ExtractMostSignificantBits()
            | (Sse2.UnpackHigh(even, odd).AsByte().ExtractMostSignificantBits() << 16);
    }

    private static Vector128<byte> ByEights =>
        Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);

    /// <summary>Of entries 0, 1, 4, 5 in one lane and of 2, 3, 6, 7 in the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> LowHalves256(ulong* entries) =>
        Avx.Shuffle(Vector256.Load((float*)entries), Vector256.Load((float*)(entries + 4)), LowHalves).AsUInt32();

    /// <summary>
    /// The same of 16. The bit is the sign of the low half, which stays while they are packed to bytes, in their order: 3 shuffles, which
    /// the wider one has no processor port for.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Quarter128(ulong* entries)
    {
        Vector128<short> first = Sse2.PackSignedSaturate(Signs128(entries), Signs128(entries + 4));
        Vector128<short> second = Sse2.PackSignedSaturate(Signs128(entries + 8), Signs128(entries + 12));
        return Sse2.PackSignedSaturate(first, second).ExtractMostSignificantBits();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Signs128(ulong* entries) =>
        Sse.Shuffle(Vector128.Load((float*)entries), Vector128.Load((float*)(entries + 2)), LowHalves).AsInt32() << ToSignOfHalf;
}
