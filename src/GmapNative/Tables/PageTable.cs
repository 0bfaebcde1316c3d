using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// A live page table: 256 entries, 2 KB aligned, and in spaces that have them 256 PGSTEs behind those, 4 KB aligned. Valid while its
/// holder is in a section or holds the configuration lock.
/// </summary>
internal readonly unsafe struct PageTable(ulong origin)
{
    /// <summary>Pages in a group: one word of a bitmap, eight cache lines of the table.</summary>
    public const int GroupPages = SoftDirtyScan.GroupEntries;
    public const int Groups = GuestAddress.PageTableEntries / GroupPages;
    public const int LinePages = SoftDirtyScan.LineEntries;
    public const int PgsteOffset = GuestAddress.PageTableEntries * sizeof(ulong);
    private const uint AllLines = (1u << (GroupPages / LinePages)) - 1;

    // 256 words in a page table of the arena: aligned, and not reused before a grace (rule 18).
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    public PageEntry Load(int page) => new(Volatile.Read(ref _entries[page]));

    public bool TryReplace(int page, PageEntry expected, PageEntry value) =>
        Interlocked.CompareExchange(ref _entries[page], value.Value, expected.Value) == expected.Value;

    /// <summary>Whether a PGSTE is not zero; under <c>LOCK</c> it stays so. Only where there are some, as all that follows.</summary>
    public bool AnyPgste => new ReadOnlySpan<ulong>(Pgstes, GuestAddress.PageTableEntries).ContainsAnyExcept(0UL);

    /// <summary>The PGSTE of a page as it was before or is after a change that is under way.</summary>
    public Pgste LoadPgste(int page) => new Pgste(Volatile.Read(ref Pgstes[page])).WithoutLock;

    /// <summary>Makes the bits of a mask those of <paramref name="value"/>; what it was. Under <c>LOCK</c> (rule 32).</summary>
    public Pgste UpdatePgste(int page, ulong mask, ulong value)
    {
        ref ulong word = ref Pgstes[page];
        Pgste before = LockPgste(ref word);
        Probe.At(Place.PgsteLocked);
        Volatile.Write(ref word, before.With(mask, value).Value);
        return before;
    }

    /// <summary>Makes PGSTEs zero: their pages' slot goes. Under <c>LOCK</c>.</summary>
    public void DropPgstes(int first, int count)
    {
        foreach (ref ulong pgste in new Span<ulong>(Pgstes + first, count))
        {
            Volatile.Write(ref pgste, 0);
        }
    }

    /// <summary>The lines of a run of pages, as bits of a summary word.</summary>
    public static uint LinesOf(int firstPage, int count)
    {
        int first = firstPage / LinePages;
        int last = (firstPage + count - 1) / LinePages;
        return (SegmentCell.AllLines >> (31 - last)) & (SegmentCell.AllLines << first);
    }

    /// <summary>Bit i: page 64 * group + i is soft-dirty. Looks only at the lines of <paramref name="lines"/> (8 bits).</summary>
    public ulong SoftDirty(int group, uint lines)
    {
        ulong* first = _entries + (group * GroupPages); // 64 words inside the table
        if (lines == AllLines)
        {
            return SoftDirtyScan.Group(first);
        }
        ulong found = 0;
        for (; lines != 0; lines &= lines - 1)
        {
            int at = BitOperations.TrailingZeroCount(lines) * LinePages;
            found |= (ulong)SoftDirtyScan.Line(first + at) << at;
        }
        return found;
    }

    /// <summary>The same of all lines, for tables of which much is dirty.</summary>
    public ulong SoftDirty(int group) => SoftDirty(group, AllLines);

    /// <summary>Bit i: page 8 * line + i is soft-dirty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint SoftDirtyLine(int line) => SoftDirtyScan.Line(_entries + (line * LinePages)); // inside the table

    /// <summary>Asks for the lines of <paramref name="lines"/> (32 bits) of a table that comes soon: nobody waits for them.</summary>
    public void Prefetch(uint lines)
    {
        for (; Sse.IsSupported && lines != 0; lines &= lines - 1)
        {
            Sse.Prefetch0(_entries + (BitOperations.TrailingZeroCount(lines) * LinePages));
        }
    }

    /// <summary>Appends where the lines of <paramref name="lines"/> are, as far as there is room; how many there are then.</summary>
    public int AddLines(uint lines, Span<nint> where, int count)
    {
        for (; lines != 0 && count < where.Length; lines &= lines - 1)
        {
            where[count++] = (nint)(_entries + (BitOperations.TrailingZeroCount(lines) * LinePages));
        }
        return count;
    }

    /// <summary>
    /// Lines of live page tables, in the section in which they were found: by a load each, one behind the other with nothing between, so
    /// that a processor waits for as many as it can at once. (So many prefetches at once came to nothing on AMD's.)
    /// </summary>
    public static void BringNear(ReadOnlySpan<nint> lines)
    {
        foreach (nint line in lines)
        {
            _ = Volatile.Read(ref *(ulong*)line);
        }
    }

    /// <summary>
    /// Makes every soft-dirty page of the lines of a group clean and protected, as <see cref="Arm"/> does, by plain stores: only while
    /// nobody else changes an entry (rule 20). Readers go on.
    /// </summary>
    public void ArmFrozen(int group, uint lines)
    {
        for (; lines != 0; lines &= lines - 1)
        {
            SoftDirtyScan.Arm(_entries + (group * GroupPages) + (BitOperations.TrailingZeroCount(lines) * LinePages));
        }
    }

    /// <summary>Makes the pages of <paramref name="mask"/> clean and protected, one compare-and-swap each.</summary>
    public void Arm(int group, ulong mask) => _ = ArmFrom(group * GroupPages, mask);

    /// <summary>
    /// The same for the pages of <paramref name="mask"/> in a line. Those that were marked and had P = 0, bit i for page i of the line:
    /// what is armed there is weakened by this very step (rule 29).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint ArmLine(int line, uint mask) => (uint)ArmFrom(line * LinePages, mask);

    private ulong* Pgstes => (ulong*)((byte*)_entries + PgsteOffset); // the second half of a 4 KB table

    /// <summary>Takes PCL, as a machine does; its holder never blocks.</summary>
    private static Pgste LockPgste(ref ulong word)
    {
        SpinWait spin = default;
        Pgste seen = new(Interlocked.Or(ref word, Pgste.Lock));
        while (seen.IsLocked)
        {
            spin.SpinOnce(sleep1Threshold: -1);
            seen = new(Interlocked.Or(ref word, Pgste.Lock));
        }
        return seen;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ulong ArmFrom(int first, ulong mask)
    {
        ulong weakened = 0;
        for (; mask != 0; mask &= mask - 1)
        {
            int bit = BitOperations.TrailingZeroCount(mask);
            int page = first + bit;
            PageEntry entry = Load(page);
            Probe.At(Place.EntryLoaded);
            while (!TryReplace(page, entry, entry.WithArmed))
            {
                entry = Load(page); // an inline writer was here
            }
            weakened |= entry.IsMarked && !entry.IsProtected ? 1UL << bit : 0;
            Probe.At(Place.EntryArmed);
        }
        return weakened;
    }
}
