using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Shadow;
using GmapNative.Tests.Image;
using NUnit.Framework;

namespace GmapNative.Tests.Shadow;

/// <summary>Random tables: the walk, and the walker that was written from the book and shares nothing with it.</summary>
[TestFixture]
internal sealed class WalkPropertyTests
{
    private const int Tables = 150;
    private const int WalksPerTables = 3000;

    [Test]
    public void The_walk_is_the_books()
    {
        var ends = new Dictionary<(EdatLevel, int Code, int LeafShift), int>();
        for (int seed = 0; seed < Tables; seed++)
        {
            var tables = new RandomTables(seed);
            var storage = new ByteStorage(tables.Bytes, tables.Size);
            for (int i = 0; i < WalksPerTables; i++)
            {
                var edat = (EdatLevel)(i % 3);
                bool write = i % 2 == 0;
                ulong asce = tables.Asce();
                ulong address = tables.Address(asce);
                GuestWalker.Walk(asce, edat, address, write, ref storage, out GuestWalk walk);
                var book = new ArchitectedWalker(tables.Bytes, 0, tables.Size, edat >= EdatLevel.One, edat >= EdatLevel.Two);
                int code = book.Walk(asce, address, write, out ulong real);
                bool isReal = (asce & 0x20) != 0;
                // the book's walker ends with 0x05 where there is no storage behind the real address
                int expected = !isReal && walk.Code == 0 && walk.Real >= tables.Size ? 0x05 : walk.Code;
                bool same = expected == code && (walk.LeafShift == 0 || walk.Real == real);
                Assert.That(same, $"seed {seed} walk {i}: code {walk.Code:x} real {walk.Real:x}, by the book {code:x} {real:x}");
                CheckSteps(walk, asce, tables.Bytes);
                var end = (edat, walk.Code, walk.LeafShift);
                ends[end] = ends.GetValueOrDefault(end) + 1;
            }
        }
        string[] missing = [.. Expected().Where(end => ends.GetValueOrDefault(end) < 20).Select(end => end.ToString())];
        Assert.That(missing, Is.Empty, "ends that random tables did not reach often enough");
        Assert.That(ends.Keys, Is.SubsetOf(Expected()));
    }

    /// <summary>The steps are what storage holds, each a level below the last.</summary>
    private static void CheckSteps(in GuestWalk walk, ulong asce, byte[] bytes)
    {
        for (int i = 0; i < walk.StepCount; i++)
        {
            GuestStep step = walk[i];
            ulong stored = BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan((int)step.Address, 8));
            bool right = step.Entry == stored && (int)step.Level == (int)((asce >> 2) & 3) + 1 - i;
            Assert.That(right, $"step {i}: {step}");
        }
    }

    /// <summary>Every way a walk can end.</summary>
    private static IEnumerable<(EdatLevel, int Code, int LeafShift)> Expected() =>
        from edat in Enum.GetValues<EdatLevel>()
        let leaves = ((int[])[12, 20, 31])[..((int)edat + 1)]
        from end in leaves.SelectMany(shift => (IEnumerable<(int, int)>)[(0, shift), (0x04, shift)])
            .Concat(((int[])[0x05, 0x10, 0x11, 0x12, 0x38, 0x39, 0x3A, 0x3B]).Select(code => (code, 0)))
            .Append((0, 31)).Distinct() // a real space
        select (edat, end.Item1, end.Item2);
}
