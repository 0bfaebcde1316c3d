using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;
using NUnit.Framework;

namespace GmapNative.Tests.Tables;

/// <summary>
/// The scan of page tables and the edit of frozen ones, by every width: at every place of a table, with a guard page on either side,
/// and always what single entries say.
/// </summary>
[TestFixtureSource(nameof(Widths))]
internal sealed unsafe class SoftDirtyScanTests(VectorWidth width)
{
    private const int TableBytes = GuestAddress.PageTableEntries * sizeof(ulong);
    private const int Bytes = 4096;

    private GuardedRegion _region = null!;

    public static IEnumerable<VectorWidth> Widths => Enum.GetValues<VectorWidth>();

    private ulong* First => (ulong*)_region.Start;

    /// <summary>A table whose end is the guard.</summary>
    private ulong* Last => (ulong*)(_region.Start + Bytes - TableBytes);

    [OneTimeSetUp]
    public void Reserve()
    {
        _region = GuardedRegion.TryReserve(Bytes)!;
        Assert.That(_region.TryCommit(0, Bytes), Is.True);
    }

    [OneTimeTearDown]
    public void End() => _region.Dispose();

    [Test]
    public void A_single_soft_dirty_entry_is_found_at_each_place()
    {
        foreach (ulong* table in (ulong*[])[First, Last])
        {
            foreach (ulong others in (ulong[])[0, ~PageEntry.SoftDirty])
            {
                Fill(table, others);
                for (int page = 0; page < GuestAddress.PageTableEntries; page++)
                {
                    table[page] ^= PageEntry.SoftDirty;
                    Look(table, (group, line) => (group == page / 64 ? 1UL << (page % 64) : 0, line == page / 8 ? 1u << (page % 8) : 0));
                    table[page] ^= PageEntry.SoftDirty;
                }
            }
        }
    }

    [Test]
    public void Random_tables_are_seen_as_by_single_entries()
    {
        var random = new Random(17);
        for (int round = 0; round < 1000; round++)
        {
            ulong* table = round % 2 == 0 ? First : Last;
            random.NextBytes(new Span<byte>(table, TableBytes));
            Look(table, (group, line) => (Expected(table + (group * 64), 64), (uint)Expected(table + (line * 8), 8)));
        }
    }

    /// <summary>Entries need no alignment but their own: the vectors are loaded and stored unaligned.</summary>
    [Test]
    public void Every_alignment_of_a_line_up_to_the_guard()
    {
        var random = new Random(18);
        ulong* end = (ulong*)(_region.Start + Bytes);
        for (int back = SoftDirtyScan.GroupEntries; back < SoftDirtyScan.GroupEntries + 32; back++)
        {
            random.NextBytes(MemoryMarshal.AsBytes(new Span<ulong>(end - back, back)));
            Assert.That(SoftDirtyScan.Group(end - back, width), Is.EqualTo(Expected(end - back, 64)));
            int line = back - SoftDirtyScan.GroupEntries + SoftDirtyScan.LineEntries;
            Assert.That(SoftDirtyScan.Line(end - line, width), Is.EqualTo((uint)Expected(end - line, 8)));
        }
    }

    [Test]
    public void Edits_are_those_of_single_entries_and_touch_one_line()
    {
        var random = new Random(20);
        ulong[] expected = new ulong[GuestAddress.PageTableEntries];
        for (int round = 0; round < 2000; round++)
        {
            ulong* table = round % 2 == 0 ? First : Last;
            var entries = new Span<ulong>(table, expected.Length);
            random.NextBytes(MemoryMarshal.AsBytes(entries));
            int line = round % 32;
            entries.CopyTo(expected);
            for (int i = line * 8; i < (line * 8) + 8; i++)
            {
                var entry = new PageEntry(expected[i]);
                expected[i] = entry.IsSoftDirty ? entry.WithArmed.Value : entry.Value;
            }
            SoftDirtyScan.Arm(table + (line * 8), width);
            Assert.That(entries.SequenceEqual(expected), Is.True, $"round {round}, line {line}");
        }
    }

    [Test]
    public void Widest_is_one_that_the_processor_has() =>
        Assert.That(VectorWidths.Widest, Is.AnyOf(VectorWidth.Bits128, VectorWidth.Bits256, VectorWidth.Bits512));

    private static void Fill(ulong* table, ulong value) => new Span<ulong>(table, GuestAddress.PageTableEntries).Fill(value);

    private static ulong Expected(ulong* entries, int count)
    {
        ulong found = 0;
        for (int i = 0; i < count; i++)
        {
            found |= new PageEntry(entries[i]).IsSoftDirty ? 1UL << i : 0;
        }
        return found;
    }

    private void Look(ulong* table, Func<int, int, (ulong Group, uint Line)> expected)
    {
        for (int line = 0; line < GuestAddress.PageTableEntries / 8; line++)
        {
            (ulong ofGroup, uint ofLine) = expected(line / 8, line);
            Assert.That(SoftDirtyScan.Line(table + (line * 8), width), Is.EqualTo(ofLine));
            if (line % 8 == 0)
            {
                Assert.That(SoftDirtyScan.Group(table + (line * 8), width), Is.EqualTo(ofGroup));
            }
        }
    }
}
