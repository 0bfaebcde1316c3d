using System;
using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class AsceTests
{
    private const ulong OriginField = 0xFFFFFFFFFFFFF000;

    [Test]
    public void EveryFieldReadsBack()
    {
        foreach (ulong word in Cross(OriginField, 0xFFF))
        {
            var asce = new Asce(word);
            Same(asce.Origin, word & OriginField, word, nameof(asce.Origin));
            Same((int)asce.Type, (int)((word >> 2) & 3), word, nameof(asce.Type));
            Same(asce.Length, (int)(word & 3), word, nameof(asce.Length));
            Same(asce.IsRealSpace, Has(word, 0x20), word, nameof(asce.IsRealSpace));
            Same(asce.IsPrivate, Has(word, 0x100), word, nameof(asce.IsPrivate));
        }
    }

    [Test]
    public void TheConstructorTakesEachOriginAndType()
    {
        foreach (TableType type in Enum.GetValues<TableType>())
        {
            foreach (ulong origin in PatternsOf(ulong.MaxValue))
            {
                ulong expected = (origin & OriginField) | 0x1C3 | ((ulong)type << 2);
                Same(Asce.For(type, origin).Value, expected, origin, nameof(Asce.For));
            }
        }
    }

    [Test]
    public void WithOriginChangesTheOriginOnly()
    {
        foreach (ulong word in Cross(OriginField, 0xFFF))
        {
            foreach (ulong origin in (ReadOnlySpan<ulong>)[0, 0x1000, 0xFFF, ulong.MaxValue, 0x8000000000000000])
            {
                Same(new Asce(word).WithOrigin(origin).Value, (word & 0xFFF) | (origin & OriginField), word, nameof(Asce.WithOrigin));
            }
        }
    }

    [Test]
    public void SpanIsTheEndOfTheSpace()
    {
        foreach (TableType type in Enum.GetValues<TableType>())
        {
            UInt128 frames = UInt128.One << ((11 * ((int)type + 1)) + 8);
            Assert.That(Asce.SpanOf(type), Is.EqualTo((ulong)(frames << 12)), type.ToString());
        }
    }
}
