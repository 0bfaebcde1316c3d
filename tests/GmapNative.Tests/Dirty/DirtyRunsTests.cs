using System;
using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Memory;
using NUnit.Framework;

namespace GmapNative.Tests.Dirty;

/// <summary>Runs of an epoch against a plain look at each of its pages.</summary>
public sealed unsafe class DirtyRunsTests
{
    private const uint Slot = 7;

    private Arena _arena = null!;

    [SetUp]
    public void Make()
    {
        Assert.That(Arena.TryCreate(8 << 20, requireLock: false, hugeSteps: false, out Arena? arena), Is.Zero);
        _arena = arena!;
    }

    [TearDown]
    public void End() => _arena.Dispose();

    /// <summary>Any range, with any room, read and taken: lines and groups of lines end where bits, range and room do not.</summary>
    [Test]
    public void Runs_are_the_pages_of_the_range_and_those_taken_are_gone(
        [Values(1, 64, 500, 513, 33_000, 200_000)] int bits, [Values] bool takes)
    {
        Random random = new(bits);
        PinnedBitmap epoch = PinnedBitmap.TryCreate(_arena, (ulong)bits, lines: true)!;
        bool[] plain = new bool[bits];
        for (int round = 0; round < 150; round++)
        {
            Mark(random, epoch, plain);
            int first = random.Next(3) == 0 ? 0 : random.Next(bits);
            int end = random.Next(3) == 0 ? bits : first + random.Next(bits - first + 1);
            List<(ulong First, ulong Count)> expected = RunsOf(plain, first, end);
            int room = random.Next(2) == 0 ? expected.Count : random.Next(expected.Count + 1);
            DirtyRun[] array = new DirtyRun[room + 1];
            array[room].FirstPage = 12345; // behind the room
            ulong next;
            fixed (DirtyRun* runs = array)
            {
                var into = new DirtyRuns(runs, (nuint)room) { Slot = Slot };
                next = takes ? into.Take(epoch, (ulong)first, (ulong)end) : into.Append(epoch, (ulong)first, (ulong)end);
                Assert.That(into.Count, Is.EqualTo((nuint)room));
            }
            Assert.That(next, Is.EqualTo(room == expected.Count ? (ulong)end : expected[room].First), $"round {round}");
            Assert.That(array[room].FirstPage, Is.EqualTo(12345));
            for (int i = 0; i < room; i++)
            {
                Assert.That((array[i].FirstPage, array[i].Count, array[i].Slot), Is.EqualTo((expected[i].First, expected[i].Count, Slot)));
                Array.Fill(plain, !takes, (int)array[i].FirstPage, (int)array[i].Count);
            }
            Same(epoch, plain, round);
        }
    }

    private static void Mark(Random random, PinnedBitmap epoch, bool[] plain)
    {
        int count = random.Next(4) == 0 ? random.Next(plain.Length) : random.Next(12);
        for (int i = 0; i < count; i++)
        {
            int at = random.Next(plain.Length);
            int length = Math.Min(random.Next(3) == 0 ? random.Next(1500) : random.Next(1, 4), plain.Length - at);
            _ = epoch.OrRange((ulong)at, (ulong)length);
            Array.Fill(plain, true, at, length);
            i += length;
        }
    }

    private static List<(ulong First, ulong Count)> RunsOf(bool[] plain, int first, int end)
    {
        List<(ulong First, ulong Count)> runs = [];
        for (int at = first; at < end; at++)
        {
            int begin = at;
            while (at < end && plain[at])
            {
                at++;
            }
            if (at != begin)
            {
                runs.Add(((ulong)begin, (ulong)(at - begin)));
            }
        }
        return runs;
    }

    /// <summary>The words, and that those that have something are not passed over.</summary>
    private static void Same(PinnedBitmap epoch, bool[] plain, int round)
    {
        ulong set = 0;
        for (int i = 0; i < plain.Length; i++)
        {
            set += plain[i] ? 1UL : 0;
            bool bit = (epoch.Peek((ulong)i) & 1) != 0;
            if (bit != plain[i])
            {
                Assert.Fail($"round {round}, page {i}");
            }
        }
        Assert.That(epoch.Count(0, (ulong)plain.Length), Is.EqualTo(set), $"round {round}");
    }
}
