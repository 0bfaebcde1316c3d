using System;

namespace GmapNative.Fuzz;

/// <summary>The bytes of a program, read from front to back; behind the end there are zeroes.</summary>
internal sealed class Code(byte[] bytes)
{
    private int _at;

    public bool IsAtEnd => _at >= bytes.Length;

    public int Position => _at;

    public byte Byte() => _at < bytes.Length ? bytes[_at++] : (byte)0;

    public uint Word() => (uint)(Byte() | (Byte() << 8));

    /// <summary>True for one byte value in <paramref name="outOf"/>: never for a zero.</summary>
    public bool Rarely(int outOf) => Byte() % outOf == outOf - 1;

    /// <summary>A value spread from one byte over all 64 bits.</summary>
    public ulong Spread() => (Byte() + 1UL) * 0x9E3779B97F4A7C15UL;

    public T Any<T>(ReadOnlySpan<T> values) => values[Byte() % values.Length];
}
