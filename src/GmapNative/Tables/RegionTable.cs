using System;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>A live region-first, -second or -third table: 2048 entries, 16 KB aligned.</summary>
internal readonly unsafe struct RegionTable(ulong origin, TableType level)
{
    // A region table of the arena, not reused before a grace.
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    public TableType Level => level;

    /// <summary>Where its entry for an address is.</summary>
    public int IndexOf(ulong address) => (int)(address >> GuestAddress.ShiftOf(level)) & (GuestAddress.TableEntries - 1);

    public RegionEntry Load(int index) => new(Volatile.Read(ref _entries[index]));

    public bool TryReplace(int index, RegionEntry expected, RegionEntry value) =>
        Interlocked.CompareExchange(ref _entries[index], value.Value, expected.Value) == expected.Value;

    /// <summary>As <see cref="TryReplace"/>: an entry that maps nothing designates a table of the next level.</summary>
    public bool TryLink(int index, RegionEntry expected, nint table) =>
        expected.MapsNothing && TryReplace(index, expected, RegionEntry.Table(level, (ulong)table));

    /// <summary>An entry and its deposit; only of a region-third table that has deposits.</summary>
    public RegionCell Cell(int index) => new(_entries + index);

    /// <summary>
    /// Fills an unlinked table, whose first entry is for <paramref name="address"/>, with tokens. <paramref name="deposits"/>: it is 32 KB
    /// and has places for them (rule 33).
    /// </summary>
    public void Initialize(ulong address, ITokenSource tokens, bool deposits)
    {
        new Span<ulong>(_entries + GuestAddress.TableEntries, deposits ? GuestAddress.TableEntries : 0).Clear();
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            _entries[i] = Token(tokens, address + ((ulong)i << GuestAddress.ShiftOf(level))).Value;
        }
    }

    /// <summary>What the entry for an address says where it maps nothing.</summary>
    public RegionEntry Token(ITokenSource tokens, ulong address)
    {
        ulong size = GuestAddress.SpanOf(level);
        return tokens.HasSlot(address & ~(size - 1), size)
            ? RegionEntry.Empty(level)
            : RegionEntry.Hole(level, Status.Addressing);
    }
}
