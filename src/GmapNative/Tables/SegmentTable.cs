using System;
using System.Numerics;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// A live segment table: 2048 entries (16 KB aligned), 2048 summary words behind them, and where the space tracks by generation the
/// address of its dense bits.
/// </summary>
internal readonly unsafe struct SegmentTable(ulong origin)
{
    private const int PrefetchedLines = 4;
    private const int LineBytes = PageTable.LinePages * sizeof(ulong);

    public const int SummaryOffset = GuestAddress.TableEntries * sizeof(ulong);
    public const int DenseOffset = SummaryOffset + (GuestAddress.TableEntries * sizeof(uint));

    // A segment table of the arena: 32 KB, aligned, not reused before a grace.
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    /// <summary>What writers set. In a section it may be exchanged for others (rule 31).</summary>
    public DenseBits Dense => new(Volatile.Read(ref *DenseLink));

    /// <summary>What writers of sections from before the exchange may still set; address 0: there are none.</summary>
    public DenseBits Retiring => new(Volatile.Read(ref DenseLink[1]));

    /// <summary>All clear, while there are none that retire.</summary>
    public DenseBits Spare => new(DenseLink[2]);

    /// <summary>Gives writers the spare bits; those of before retire. Under the harvest turn of the only slot here.</summary>
    public void SwapDense()
    {
        Volatile.Write(ref DenseLink[1], DenseLink[0]);
        Volatile.Write(ref DenseLink[0], DenseLink[2]);
        DenseLink[2] = 0;
        Probe.At(Place.DenseSwapped);
    }

    /// <summary>What retired is clear, and nobody sets it any more.</summary>
    public void EndRetiring()
    {
        DenseLink[2] = DenseLink[1];
        Volatile.Write(ref DenseLink[1], 0);
    }

    /// <summary>How many segments of first..end-1 have a summary word that is not zero.</summary>
    public int CountFlagged(int first, int end)
    {
        int zeroes = 0;
        foreach (uint word in new ReadOnlySpan<uint>(Summaries + first, end - first))
        {
            zeroes += word == 0 ? 1 : 0;
        }
        return end - first - zeroes;
    }

    /// <summary>Clears the summary words of first..end-1, two by one instruction where both stand in them.</summary>
    public void ClearFlags(int first, int end)
    {
        int index = first;
        for (; index < end && index % 2 != 0; index++)
        {
            Cell(index).ClearSummary(SegmentCell.AllLines);
        }
        for (; index + 1 < end; index += 2)
        {
            ref ulong pair = ref *(ulong*)(Summaries + index); // even: aligned
            if (Volatile.Read(ref pair) != 0)
            {
                Interlocked.Exchange(ref pair, 0);
            }
        }
        if (index < end)
        {
            Cell(index).ClearSummary(SegmentCell.AllLines);
        }
        Probe.At(Place.SummaryCleared);
    }

    public SegmentCell Cell(int index) => new(_entries + index, Summaries + index);

    /// <summary>The first segment in first..end-1 whose summary word is not zero, or <paramref name="end"/>.</summary>
    public int NextFlagged(int first, int end)
    {
        int found = new ReadOnlySpan<uint>(Summaries + first, end - first).IndexOfAnyExcept(0u);
        return found < 0 ? end : first + found;
    }

    /// <summary>Brings the entry of a segment near.</summary>
    public void PrefetchEntry(int index)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_entries + index);
        }
    }

    /// <summary>Brings the first flagged lines of a segment's page table near. In a section.</summary>
    public void PrefetchLines(int index)
    {
        SegmentEntry entry = Cell(index).Load();
        if (!Sse.IsSupported || !entry.IsTable)
        {
            return;
        }
        uint lines = Cell(index).Summary;
        for (int i = 0; i < PrefetchedLines && lines != 0; i++, lines &= lines - 1)
        {
            Sse.Prefetch0((byte*)entry.TableOrigin + (BitOperations.TrailingZeroCount(lines) * LineBytes));
        }
    }

    /// <summary>Fills an unlinked table with tokens; clears its summary words and the dense bits that it is given (0: none).</summary>
    public void Initialize(ulong regionBase, ITokenSource tokens, nint dense = 0, nint spare = 0)
    {
        DenseLink[0] = (ulong)dense;
        DenseLink[1] = 0;
        DenseLink[2] = (ulong)spare;
        Dense.Initialize();
        Spare.Initialize();
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            ulong address = regionBase + ((ulong)i << GuestAddress.SegmentShift);
            _entries[i] = tokens.HasSlot(address, GuestAddress.SegmentSize)
                ? SegmentEntry.Empty.Value
                : SegmentEntry.Hole(Status.Addressing).Value;
        }
        new Span<uint>(Summaries, GuestAddress.TableEntries).Clear();
    }

    public long CountPageTables()
    {
        long tables = 0;
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            tables += Cell(i).Load().IsTable ? 1 : 0;
        }
        return tables;
    }

    private ulong* DenseLink => (ulong*)((byte*)_entries + DenseOffset);

    private uint* Summaries => (uint*)((byte*)_entries + SummaryOffset);
}

/// <summary>A live region table: 2048 entries, 16 KB aligned.</summary>
internal readonly unsafe struct RegionTable(ulong origin)
{
    private readonly ulong* _entries = (ulong*)origin; // a region table of the arena, as above

    public ulong Origin => (ulong)_entries;

    public RegionEntry Load(int index) => new(Volatile.Read(ref _entries[index]));

    public bool TryReplace(int index, RegionEntry expected, RegionEntry value) =>
        Interlocked.CompareExchange(ref _entries[index], value.Value, expected.Value) == expected.Value;

    /// <summary>Fills an unlinked region-third table with tokens.</summary>
    public void Initialize(ITokenSource tokens)
    {
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            ulong address = (ulong)i << GuestAddress.RegionThirdShift;
            _entries[i] = Token(tokens, address).Value;
        }
    }

    /// <summary>What an entry says about 2 GB that have no table.</summary>
    public static RegionEntry Token(ITokenSource tokens, ulong address) =>
        tokens.HasSlot(address, GuestAddress.RegionThirdSize)
            ? RegionEntry.Empty(TableType.RegionThird)
            : RegionEntry.Hole(TableType.RegionThird, Status.Addressing);
}

/// <summary>What tables ask about addresses that they do not map: they know no slots.</summary>
internal interface ITokenSource
{
    /// <summary>Whether a fault may map something in a range that does not wrap.</summary>
    bool HasSlot(ulong address, ulong size);
}
