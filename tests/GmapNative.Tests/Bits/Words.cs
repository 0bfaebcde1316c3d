using System.Collections.Generic;
using System.Globalization;
using NUnit.Framework;

namespace GmapNative.Tests.Bits;

/// <summary>Bit patterns to drive words through, and a comparison that only pays for its message when it fails.</summary>
internal static class Words
{
    /// <summary>Every combination of the bits of <paramref name="mask"/>: 2^n words.</summary>
    public static IEnumerable<ulong> SubsetsOf(ulong mask)
    {
        ulong subset = 0;
        do
        {
            yield return subset;
            subset = (subset - mask) & mask;
        }
        while (subset != 0);
    }

    /// <summary>Zero, each single bit of the mask, each single bit left out, and all of it.</summary>
    public static IEnumerable<ulong> PatternsOf(ulong mask)
    {
        yield return 0;
        yield return mask;
        for (int bit = 0; bit < 64; bit++)
        {
            ulong one = 1UL << bit;
            if ((mask & one) != 0)
            {
                yield return one;
                yield return mask & ~one;
            }
        }
    }

    /// <summary>
    /// Each single-bit pattern of the <paramref name="wide"/> field with each combination of the <paramref name="low"/> bits.
    /// </summary>
    public static IEnumerable<ulong> Cross(ulong wide, ulong low)
    {
        foreach (ulong high in PatternsOf(wide))
        {
            foreach (ulong subset in SubsetsOf(low))
            {
                yield return high | subset;
            }
        }
    }

    public static bool Has(ulong word, ulong bit) => (word & bit) != 0;

    public static void Same<T>(T actual, T expected, ulong word, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(actual, expected))
        {
            string text = string.Create(CultureInfo.InvariantCulture, $"{what} of 0x{word:X16}: {actual:X}, expected {expected:X}");
            Assert.Fail(actual is bool ? $"{what} of 0x{word:X16}: {actual}, expected {expected}" : text);
        }
    }
}
