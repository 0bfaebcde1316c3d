using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GmapNative.Memory;

/// <summary>
/// Looks for words that are not zero: summaries and bitmaps, which mostly are. Others may set words meanwhile; what is set behind the
/// look is found by the next one. Nothing outside of the given words is read. All widths find the same.
/// </summary>
internal static unsafe class ZeroScan
{
    /// <summary>What is looked at in one turn.</summary>
    public const int TurnBytes = 128;

    /// <summary>32-bit words in a turn.</summary>
    public const int Turn = TurnBytes / sizeof(uint);

    private const int AheadBytes = 1024;

    /// <summary>The first of <paramref name="count"/> words that is not zero, or <paramref name="count"/>.</summary>
    public static int First(ulong* words, int count) => First(words, count, VectorWidths.Widest);

    /// <summary>The first turn, from <paramref name="at"/> on in steps of a turn, that has a word; else past the last whole turn.</summary>
    public static int FirstTurn(uint* words, int at, int count) => FirstTurn(words, at, count, VectorWidths.Widest);

    /// <summary>Bit i: word i of a turn is not zero.</summary>
    public static uint Set(uint* turn) => Set(turn, VectorWidths.Widest);

    /// <summary>Brings the words near that a look from <paramref name="words"/> on begins with.</summary>
    public static void Prefetch(void* words)
    {
        for (int offset = 0; Sse.IsSupported && offset < AheadBytes; offset += 64)
        {
            Sse.Prefetch0((byte*)words + offset); // faults nowhere
        }
    }

    /// <summary>Whether eight words are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsZeroLine(ulong* line) =>
        ((Vector128.Load(line) | Vector128.Load(line + 2)) | (Vector128.Load(line + 4) | Vector128.Load(line + 6)))
            == Vector128<ulong>.Zero;

    /// <summary>Bit i: word i of eight is not zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint SetOfLine(ulong* line)
    {
        uint zero;
        if (Vector256.IsHardwareAccelerated)
        {
            zero = Vector256.Equals(Vector256.Load(line), Vector256<ulong>.Zero).ExtractMostSignificantBits()
                | (Vector256.Equals(Vector256.Load(line + 4), Vector256<ulong>.Zero).ExtractMostSignificantBits() << 4);
        }
        else
        {
            zero = Vector128.Equals(Vector128.Load(line), Vector128<ulong>.Zero).ExtractMostSignificantBits()
                | (Vector128.Equals(Vector128.Load(line + 2), Vector128<ulong>.Zero).ExtractMostSignificantBits() << 2)
                | (Vector128.Equals(Vector128.Load(line + 4), Vector128<ulong>.Zero).ExtractMostSignificantBits() << 4)
                | (Vector128.Equals(Vector128.Load(line + 6), Vector128<ulong>.Zero).ExtractMostSignificantBits() << 6);
        }
        return ~zero & byte.MaxValue;
    }

    /// <summary>Clears eight words.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ClearLine(ulong* line)
    {
        for (int i = 0; i < 8; i += 2)
        {
            Vector128<ulong>.Zero.Store(line + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int First(ulong* words, int count, VectorWidth width)
    {
        const int Words = TurnBytes / sizeof(ulong);
        int at = 0;
        while (count - at >= Words && IsZero((byte*)(words + at), width))
        {
            at += Words;
        }
        while (at < count && words[at] == 0)
        {
            at++;
        }
        return at;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int FirstTurn(uint* words, int at, int count, VectorWidth width)
    {
        for (; count - at >= Turn; at += Turn)
        {
            if (Sse.IsSupported)
            {
                Sse.Prefetch0((byte*)(words + at) + AheadBytes);
                Sse.Prefetch0((byte*)(words + at) + AheadBytes + 64);
            }
            if (!IsZero((byte*)(words + at), width))
            {
                break;
            }
        }
        return at;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static uint Set(uint* turn, VectorWidth width)
    {
        uint zero = 0;
        int step = (int)width / sizeof(uint);
        for (int at = 0; at < Turn; at += step)
        {
            // Inside the turn, which is a multiple of every width.
            zero |= width switch
            {
                VectorWidth.Bits512 => (uint)Vector512.Equals(Vector512.Load(turn + at), Vector512<uint>.Zero).ExtractMostSignificantBits(),
                VectorWidth.Bits256 => Vector256.Equals(Vector256.Load(turn + at), Vector256<uint>.Zero).ExtractMostSignificantBits(),
                VectorWidth.Bits128 => Vector128.Equals(Vector128.Load(turn + at), Vector128<uint>.Zero).ExtractMostSignificantBits(),
                _ => (turn[at] == 0 ? 1u : 0) | (turn[at + 1] == 0 ? 2u : 0),
            } << at;
        }
        return ~zero;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsZero(byte* turn, VectorWidth width) // 128 bytes
    {
        switch (width)
        {
            case VectorWidth.Bits512:
                return (Vector512.Load(turn) | Vector512.Load(turn + 64)) == Vector512<byte>.Zero;
            case VectorWidth.Bits256:
                return ((Vector256.Load(turn) | Vector256.Load(turn + 32)) | (Vector256.Load(turn + 64) | Vector256.Load(turn + 96)))
                    == Vector256<byte>.Zero;
            case VectorWidth.Bits128:
                Vector128<byte> low = (Vector128.Load(turn) | Vector128.Load(turn + 16))
                    | (Vector128.Load(turn + 32) | Vector128.Load(turn + 48));
                Vector128<byte> high = (Vector128.Load(turn + 64) | Vector128.Load(turn + 80))
                    | (Vector128.Load(turn + 96) | Vector128.Load(turn + 112));
                return (low | high) == Vector128<byte>.Zero;
            default:
                ulong any = 0;
                for (int i = 0; i < TurnBytes; i += sizeof(ulong))
                {
                    any |= Unsafe.ReadUnaligned<ulong>(turn + i);
                }
                return any == 0;
        }
    }
}
