using System;
using System.Collections.Generic;
using GmapNative.Memory;
using NUnit.Framework;

namespace GmapNative.Tests.Memory;

/// <summary>
/// Looking for words that are not zero, by every width: on every length and alignment, with a guard page on either side. Where the
/// processor has no vectors of a width the framework's own fallback runs, which must be right too.
/// </summary>
[TestFixtureSource(nameof(Widths))]
internal sealed unsafe class ZeroScanTests(VectorWidth width)
{
    private const int Bytes = 4096;
    private const int Most = 80; // words: more than four turns

    private GuardedRegion _region = null!;

    public static IEnumerable<VectorWidth> Widths => Enum.GetValues<VectorWidth>();

    [OneTimeSetUp]
    public void Reserve()
    {
        _region = GuardedRegion.TryReserve(Bytes)!;
        Assert.That(_region.TryCommit(0, Bytes), Is.True);
    }

    [OneTimeTearDown]
    public void End() => _region.Dispose();

    [SetUp]
    public void Clear() => new Span<byte>((void*)_region.Start, Bytes).Clear();

    [Test]
    public void First_word_of_a_bitmap_on_every_length_alignment_and_place()
    {
        ulong* end = (ulong*)(_region.Start + Bytes); // the guard
        ulong* start = (ulong*)_region.Start;
        for (int count = 0; count <= Most; count++)
        {
            foreach (ulong* words in (ulong*[])[start, start + (count % 16) + 1, end - count])
            {
                Assert.That(ZeroScan.First(words, count, width), Is.EqualTo(count), "all zero");
                for (int at = 0; at < count; at++)
                {
                    words[at] = 1UL << (at % 64);
                    Assert.That(ZeroScan.First(words, count, width), Is.EqualTo(at), $"{count} words");
                    words[count - 1] = ulong.MaxValue; // the first of several
                    Assert.That(ZeroScan.First(words, count, width), Is.EqualTo(at), $"{count} words");
                    words[count - 1] = words[at] = 0;
                }
            }
        }
    }

    [Test]
    public void Summary_words_on_every_length_alignment_and_place()
    {
        uint* end = (uint*)(_region.Start + Bytes);
        for (int count = 0; count <= 5 * ZeroScan.Turn; count++)
        {
            uint* words = end - count; // every alignment a word can have
            int whole = count / ZeroScan.Turn * ZeroScan.Turn;
            Assert.That(ZeroScan.FirstTurn(words, 0, count, width), Is.EqualTo(whole), "all zero: past the last whole turn");
            for (int at = 0; at < whole; at++)
            {
                int turn = at / ZeroScan.Turn * ZeroScan.Turn;
                words[at] = 1u << (at % 32);
                Assert.That(ZeroScan.FirstTurn(words, 0, count, width), Is.EqualTo(turn));
                Assert.That(ZeroScan.Set(words + turn, width), Is.EqualTo(1u << (at - turn)));
                words[at] = 0;
            }
        }
    }

    [Test]
    public void Random_words_are_found_as_one_by_one()
    {
        var random = new Random(7);
        uint* words = (uint*)_region.Start;
        for (int round = 0; round < 5000; round++)
        {
            uint expected = 0;
            for (int i = 0; i < ZeroScan.Turn; i++)
            {
                words[i] = random.Next(3) == 0 ? (uint)random.NextInt64() : 0;
                expected |= words[i] != 0 ? 1u << i : 0;
            }
            Assert.That(ZeroScan.Set(words, width), Is.EqualTo(expected));
        }
    }
}
