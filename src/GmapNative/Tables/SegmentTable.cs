using System;
using System.Numerics;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// A live segment table: 2048 entries (16 KB aligned), 2048 summary words behind them, and where the space tracks by generation the
/// address of its dense bits.
/// </summary>
internal readonly unsafe struct SegmentTable(ulong origin)
{
    private const int EntriesAhead = 256; // 2 KB, inside the table: the summary words are behind the entries

    public const int SummaryOffset = GuestAddress.TableEntries * sizeof(ulong);
    public const int DenseOffset = SummaryOffset + (GuestAddress.TableEntries * sizeof(uint));

    // A segment table of the arena: 32 KB, aligned, not reused before a grace.
    private readonly ulong* _entries = (ulong*)origin;

    public ulong Origin => (ulong)_entries;

    /// <summary>What writers set. In a section it may be exchanged for others (rule 27).</summary>
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

    /// <summary>
    /// Fills <paramref name="batch"/> (32 places or more) with segments from <paramref name="next"/> to end-1 whose summary word is not
    /// zero; how many. <paramref name="next"/> is where to go on; at the end and 0: none is left.
    /// </summary>
    public int Flagged(ref int next, int end, Span<int> batch)
    {
        int count = 0;
        uint* summaries = Summaries;
        while ((next = ZeroScan.FirstTurn(summaries, next, end)) < end && batch.Length - count >= ZeroScan.Turn)
        {
            if (end - next < ZeroScan.Turn)
            {
                for (; next < end; next++)
                {
                    batch[count] = next;
                    count += Volatile.Read(ref summaries[next]) != 0 ? 1 : 0;
                }
                break;
            }
            for (uint set = ZeroScan.Set(summaries + next); set != 0; set &= set - 1)
            {
                batch[count++] = next + BitOperations.TrailingZeroCount(set);
            }
            next += ZeroScan.Turn;
        }
        return count;
    }

    /// <summary>Brings the first summary words near.</summary>
    public void PrefetchSummaries() => ZeroScan.Prefetch(Summaries);

    /// <summary>Brings the entry of a segment near.</summary>
    public void PrefetchEntry(int index)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_entries + index);
        }
    }

    /// <summary>Fills an unlinked table with tokens; clears its summary words and the dense bits that it is given (0: none).</summary>
    public void Initialize(ulong regionBase, ITokenSource tokens, nint dense = 0, nint spare = 0)
    {
        InitializeDense(dense, spare);
        FillTokens(regionBase, tokens, 0, GuestAddress.TableEntries);
        new Span<uint>(Summaries, GuestAddress.TableEntries).Clear();
    }

    /// <summary>
    /// Fills an unlinked table with leaves from <paramref name="first"/> to <paramref name="end"/> - 1, of consecutive frames, and tokens
    /// around them. The summary of dirty ones is set.
    /// </summary>
    public void InitializeLeaves(ulong regionBase, ITokenSource tokens, int first, int end, SegmentEntry leaf, bool dirty)
    {
        InitializeDense(0, 0); // whoever tracks by generation maps by faults
        FillTokens(regionBase, tokens, 0, first);
        EntryRuns.Fill(_entries + first, end - first, leaf.Value, GuestAddress.SegmentSize, _entries + first + EntriesAhead);
        FillTokens(regionBase, tokens, end, GuestAddress.TableEntries);
        var summaries = new Span<uint>(Summaries, GuestAddress.TableEntries);
        if (!dirty)
        {
            summaries.Clear();
            return;
        }
        summaries[..first].Clear();
        summaries[first..end].Fill(SegmentCell.AllLines);
        summaries[end..].Clear();
    }

    /// <summary>
    /// Installs leaves of consecutive frames as long as nothing is mapped there, by one compare-and-swap each; how many. In a section.
    /// </summary>
    public int InstallLeaves(int first, int end, SegmentEntry leaf, bool dirty)
    {
        ulong value = leaf.Value;
        for (int i = first; i < end; i++, value += GuestAddress.SegmentSize)
        {
            SegmentCell cell = Cell(i);
            SegmentEntry seen = cell.Load();
            Probe.At(Place.EntryLoaded);
            if (seen.IsLeaf || seen.IsTable || !cell.TryReplace(seen, new SegmentEntry(value)))
            {
                return i - first;
            }
            Probe.At(Place.EntryGrants);
            if (dirty)
            {
                cell.SetSummary(SegmentCell.AllLines);
            }
        }
        return end - first;
    }

    /// <summary>How many segments from <paramref name="first"/> to <paramref name="end"/> - 1 in a row have nothing mapped.</summary>
    public int CountUnmapped(int first, int end)
    {
        int at = first;
        while (at < end && Cell(at).Load() is { IsLeaf: false, IsTable: false })
        {
            at++;
        }
        return at - first;
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

    private void InitializeDense(nint dense, nint spare)
    {
        DenseLink[0] = (ulong)dense;
        DenseLink[1] = 0;
        DenseLink[2] = (ulong)spare;
        Dense.Initialize();
        Spare.Initialize();
    }

    private void FillTokens(ulong regionBase, ITokenSource tokens, int first, int end)
    {
        while (first < end)
        {
            ulong address = regionBase + ((ulong)first << GuestAddress.SegmentShift);
            int run = tokens.RunOf(address, GuestAddress.SegmentShift, end - first, out bool hasSlot);
            SegmentEntry token = hasSlot ? SegmentEntry.Empty : SegmentEntry.Hole(Status.Addressing);
            new Span<ulong>(_entries + first, run).Fill(token.Value);
            first += run;
        }
    }

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

    /// <summary>
    /// The same for pieces of 2^<paramref name="shift"/> bytes from an aligned address on: how many of the first
    /// <paramref name="most"/> have the answer of the first one, at least 1.
    /// </summary>
    int RunOf(ulong address, int shift, int most, out bool hasSlot);
}
