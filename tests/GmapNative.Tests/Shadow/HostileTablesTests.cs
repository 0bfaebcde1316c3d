using System;
using GmapNative.Shadow;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// Tables that no sane guest has, storage that changes or fails under the walk: at most five reads, and an answer that is documented.
/// </summary>
[TestFixture]
internal sealed class HostileTablesTests
{
    private static readonly int[] s_codes = [0, 0x04, 0x05, 0x10, 0x11, 0x12, 0x38, 0x39, 0x3A, 0x3B];

    /// <summary>One page is the table of all five levels, each index leads back to it, and the page it maps is itself.</summary>
    [Test]
    public void A_table_that_contains_itself_is_walked_five_steps()
    {
        const ulong Table = 0x7000;
        var chain = new GuestChain(GuestTable.Segment)
        {
            Asce = Table | 0x0F,
            Address = (1UL << 53) | (2UL << 42) | (3UL << 31) | (4UL << 20) | (5UL << 12) | 0x10,
        };
        chain.Put(Table + 8, Table | 0x0F);
        chain.Put(Table + 16, Table | 0x0B);
        chain.Put(Table + 24, Table | 0x07);
        chain.Put(Table + 32, Table);
        chain.Put(Table + 40, Table);
        GuestWalk walk = chain.Walk(EdatLevel.Two, write: true);
        Assert.That((walk.Code, walk.Real, walk.StepCount), Is.EqualTo((0, Table | 0x10, 5)));
        Assert.That(chain.Reads, Is.EqualTo((ulong[])[0x7008, 0x7010, 0x7018, 0x7020, 0x7028]));
    }

    /// <summary>Each table designates its own level again: TT says so, and the walk ends at the second read.</summary>
    [TestCase(GuestTable.RegionFirst)]
    [TestCase(GuestTable.RegionSecond)]
    [TestCase(GuestTable.RegionThird)]
    public void A_table_that_is_its_own_next_is_refused(GuestTable level)
    {
        var chain = new GuestChain(level);
        ulong origin = chain.Asce & ~0xFFFUL;
        chain[level] = origin | ((ulong)(level - 1) << 2) | 3;
        int below = (int)(chain.Address >> (20 + (11 * ((int)level - 2)))) & 0x7FF;
        chain.Put(origin + ((ulong)below * 8), chain[level]);
        GuestWalk walk = chain.Walk(EdatLevel.Two, write: false);
        Assert.That((walk.Code, walk.StepCount), Is.EqualTo((0x12, 2)));
    }

    /// <summary>Every read of the same place gives something else.</summary>
    [Test]
    public void Entries_that_change_are_read_once_each()
    {
        var random = new Random(7);
        int deepest = 0;
        for (int i = 0; i < 300_000; i++)
        {
            var storage = new Changing(random, i % 2 == 0);
            ulong address = (ulong)random.NextInt64(long.MinValue, long.MaxValue);
            ulong asce = (ulong)random.NextInt64(long.MinValue, long.MaxValue) & ~0x20UL;
            GuestWalker.Walk(asce | (i % 4 < 2 ? 0x0FUL : 0), (EdatLevel)(i % 3), address, i % 5 == 0, ref storage, out GuestWalk walk);
            bool right = storage.Reads <= 5 && walk.StepCount == storage.Reads && Array.IndexOf(s_codes, walk.Code) >= 0
                && walk.LeafShift != 0 == walk.Code is 0 or 0x04;
            Assert.That(right, $"walk {i}: {storage.Reads} reads, {walk.StepCount} steps, code {walk.Code:x}");
            for (int step = 0; step < walk.StepCount; step++)
            {
                Assert.That(walk[step].Entry, Is.EqualTo(storage.Given[step]), "what was read is what the walk went by");
            }
            deepest = Math.Max(deepest, storage.Reads);
        }
        Assert.That(deepest, Is.EqualTo(5));
    }

    /// <summary>What storage answers ends the walk and is the walk's answer, whatever it put into the entry.</summary>
    [Test]
    public void A_read_that_fails_ends_the_walk_with_its_answer(
        [Values(0x05, 0x3D, -11, -14, -95, int.MinValue)] int answer, [Values(0, 1, 2, 3, 4)] int at, [Values] bool write)
    {
        var chain = new GuestChain(GuestTable.RegionFirst);
        var storage = new Failing(chain, at, answer);
        GuestWalker.Walk(chain.Asce, EdatLevel.Two, chain.Address, write, ref storage, out GuestWalk walk);
        Assert.That(
            (walk.Code, walk.StepCount, walk.EntryAddress, walk.LeafShift, walk.Real),
            Is.EqualTo((answer, at, GuestChain.PlaceOf(GuestTable.RegionFirst - at), 0, 0UL)));
        Assert.That(storage.Reads, Is.EqualTo(at + 1));
    }

    [Test]
    public void A_walk_allocates_nothing()
    {
        var tables = new RandomTables(3);
        var storage = new ByteStorage(tables.Bytes, tables.Size);
        long before = 0;
        for (int i = 0; i < 2000; i++)
        {
            before = i == 1000 ? GC.GetAllocatedBytesForCurrentThread() : before; // everything is compiled
            ulong asce = tables.Asce();
            GuestWalker.Walk(asce, EdatLevel.Two, tables.Address(asce), i % 2 == 0, ref storage, out _);
        }
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    /// <summary>Fits each read to the level that comes, or not at all.</summary>
    private struct Changing(Random random, bool fits) : IGuestStorage
    {
        public int Reads { get; private set; }

        public ulong[] Given { get; } = new ulong[16];

        public int ReadEntry(ulong address, out ulong entry)
        {
            entry = (ulong)random.NextInt64(long.MinValue, long.MaxValue);
            if (fits)
            {
                entry = (entry & ~0xEFFUL) | (Reads < 4 ? (ulong)(3 - Reads) << 2 : 0) | 3;
            }
            Given[Reads++ & 15] = entry;
            return 0;
        }
    }

    private struct Failing(GuestChain chain, int at, int answer) : IGuestStorage
    {
        public int Reads { get; private set; }

        public int ReadEntry(ulong address, out ulong entry)
        {
            entry = chain[GuestTable.RegionFirst - Reads];
            return Reads++ == at ? answer : 0;
        }
    }
}
