using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// A live page table: 256 entries, 2 KB aligned. Valid while its holder is in a section or holds the configuration lock.
/// </summary>
internal readonly unsafe struct PageTable(ulong origin)
{
    /// <summary>Pages in a group: one word of a bitmap, eight cache lines of the table.</summary>
    public const int GroupPages = SoftDirtyScan.GroupEntries;
    public const int Groups = GuestAddress.PageTableEntries / GroupPages;
    public const int LinePages = SoftDirtyScan.LineEntries;
    private const uint AllLines = (1u << (GroupPages / LinePages)) - 1;

    // 256 words in a page table of the arena: aligned, and not reused before a grace (rule 18).
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    public PageEntry Load(int page) => new(Volatile.Read(ref _entries[page]));

    public bool TryReplace(int page, PageEntry expected, PageEntry value) =>
        Interlocked.CompareExchange(ref _entries[page], value.Value, expected.Value) == expected.Value;

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

    /// <summary>Brings the lines of <paramref name="lines"/> (32 bits) near.</summary>
    public void Prefetch(uint lines)
    {
        for (; Sse.IsSupported && lines != 0; lines &= lines - 1)
        {
            Sse.Prefetch0(_entries + (BitOperations.TrailingZeroCount(lines) * LinePages));
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
    public void Arm(int group, ulong mask) => ArmFrom(group * GroupPages, mask);

    /// <summary>The same for the pages of <paramref name="mask"/> in a line.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ArmLine(int line, uint mask) => ArmFrom(line * LinePages, mask);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void ArmFrom(int first, ulong mask)
    {
        for (; mask != 0; mask &= mask - 1)
        {
            int page = first + BitOperations.TrailingZeroCount(mask);
            PageEntry entry = Load(page);
            Probe.At(Place.EntryLoaded);
            while (!TryReplace(page, entry, entry.WithArmed))
            {
                entry = Load(page); // an inline writer was here
            }
            Probe.At(Place.EntryArmed);
        }
    }
}
