using System;
using System.Globalization;
using System.IO;
using System.Linq;
using GmapNative.Memory;
using NUnit.Framework;

namespace GmapNative.Tests.Memory;

/// <summary>What the kernel says about the arena's memory.</summary>
public sealed class ArenaTests
{
    private const ulong Limit = 4 << 20;

    [Test]
    [Category("Linux")] // /proc/self/smaps
    public void Arena_is_locked_kept_from_forks_advised_huge_and_guarded()
    {
        Assert.That(Arena.TryCreate(Limit, requireLock: false, hugeSteps: true, out Arena? arena), Is.Zero);
        try
        {
            ulong start = (ulong)arena!.Start;
            (string rights, string flags) = MappingOf(start);
            Assert.That(rights, Does.StartWith("rw"), "committed");
            Assert.That(flags.Split(' '), Does.Contain("dc"), "not copied on fork");
            Assert.That(flags.Split(' '), Does.Contain("hg"), "huge pages advised");
            Assert.That(flags.Split(' ').Contains("lo"), Is.EqualTo(arena.Locked != 0), "locked, as the figures say");
            Assert.That(start % (2 << 20), Is.Zero, "a huge page fits");
            Assert.That(MappingOf(start - 1).Rights, Does.StartWith("---"), "guard in front");
            Assert.That(MappingOf(start + Limit).Rights, Does.StartWith("---"), "guard behind");
            Assert.That(MappingOf(start + Limit - 1).Rights, Does.StartWith("---"), "reserved, not committed yet");
        }
        finally
        {
            arena!.Dispose();
        }
        Assert.That(() => MappingOf((ulong)arena.Start), Throws.InstanceOf<InvalidOperationException>(), "returned");
    }

    [Test]
    public void Blocks_are_used_again_for_any_kind_of_table()
    {
        Assert.That(Arena.TryCreate(Arena.MinimumLimit, requireLock: false, hugeSteps: false, out Arena? arena), Is.Zero);
        using TablePool pool = TablePool.TryCreate(arena!)!;
        foreach (TableKind kind in Enum.GetValues<TableKind>())
        {
            nint[] tables = Enumerable.Range(0, int.MaxValue).Select(_ => pool.TryAllocate(kind)).TakeWhile(table => table != 0).ToArray();
            Assert.That(tables, Has.Length.EqualTo((int)Arena.MinimumLimit / TableKinds.BytesOf(kind)), $"{kind}: all of the arena");
            Assert.That(tables.Distinct().Count(), Is.EqualTo(tables.Length));
            Assert.That(tables.All(table => table % TableKinds.BytesOf(kind) == 0), "aligned to their size");
            foreach (nint table in tables)
            {
                pool.Free(table, kind);
            }
            Assert.That((pool.Live(kind), pool.FreeBytes), Is.EqualTo((0L, (long)Arena.MinimumLimit)));
        }
        nint once = pool.TryAllocate(TableKind.Page);
        pool.Free(once, TableKind.Page);
        Assert.That(() => pool.Free(once, TableKind.Page), Throws.InvalidOperationException, "twice");
        arena!.Dispose();
    }

    private static (string Rights, string Flags) MappingOf(ulong address)
    {
        string[] lines = File.ReadAllLines("/proc/self/smaps");
        int head = Array.FindIndex(lines, line => IsHeadOf(line, address));
        if (head < 0)
        {
            throw new InvalidOperationException($"nothing is mapped at {address:x}");
        }
        string flags = lines.Skip(head).First(line => line.StartsWith("VmFlags:", StringComparison.Ordinal));
        return (lines[head].Split(' ')[1], flags["VmFlags:".Length..].Trim());
    }

    private static bool IsHeadOf(string line, ulong address)
    {
        string[] ends = line.Split(' ')[0].Split('-');
        return ends.Length == 2
            && ulong.TryParse(ends[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong start)
            && ulong.TryParse(ends[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong end)
            && address >= start && address < end;
    }
}
