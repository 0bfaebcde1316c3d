using System;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// A live segment table: 2048 entries (16 KB aligned), 2048 summary words behind them, a word that says where those are not zero, and
/// where the space tracks by generation the addresses of its dense bits, or that of its watch tables.
/// </summary>
internal readonly unsafe struct SegmentTable(ulong origin)
{
    private const int EntriesAhead = 256; // 2 KB, inside the table: the summary words are behind the entries

    public const int SummaryOffset = GuestAddress.TableEntries * sizeof(ulong);
    public const int DenseOffset = SummaryOffset + (GuestAddress.TableEntries * sizeof(uint));
    private const int WatchOffset = DenseOffset + (3 * sizeof(ulong));

    /// <summary>Of the word of stripes: a cache line of its own.</summary>
    public const int StripesOffset = DenseOffset + 64;

    /// <summary>Segments of a stripe, 64 MB: bit i of the word is segments 64 i to 64 i + 63.</summary>
    public const int StripeSegments = GuestAddress.TableEntries / 32;

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

    /// <summary>Where the watch halfwords of its segments are; none: nothing here was ever watched (rule 28).</summary>
    public WatchDirectory Watch => new(Volatile.Read(ref *WatchLink));

    /// <summary>Its first watch directory: 2 KB of zeroes. Under the configuration lock.</summary>
    public void LinkWatch(nint directory) => Volatile.Write(ref *WatchLink, (ulong)directory);

    /// <summary>How many segments of first..end-1 have a summary word that is not zero.</summary>
    public int CountFlagged(int first, int end)
    {
        return end - first - new ReadOnlySpan<uint>(Summaries + first, end - first).Count(0u);
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

    /// <summary>Bit i: stripe i may have a summary word that is not zero.</summary>
    public uint Stripes => Volatile.Read(ref *StripesWord);

    /// <summary>Sets a stripe's bit, unless it is set; after a summary word of it (rule 39).</summary>
    public void FlagStripe(int segment)
    {
        uint bit = 1u << (segment / StripeSegments);
        if ((Stripes & bit) == 0)
        {
            Probe.At(Place.StripeTested);
            FlagStripes(bit);
            Probe.At(Place.StripeSet);
        }
    }

    public SegmentCell Cell(int index) => new(_entries + index, Summaries + index);

    /// <summary>Clears the bits of stripes; the caller looks at their words again (rule 39).</summary>
    public void ClearStripes(uint stripes) => Interlocked.And(ref *StripesWord, ~stripes);

    public void FlagStripes(uint stripes) => Interlocked.Or(ref *StripesWord, stripes);

    /// <summary>Brings near what a look for marks begins with.</summary>
    public void PrefetchStripes()
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(StripesWord);
        }
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
        InitializeLinks(dense, spare);
        FillTokens(regionBase, tokens, 0, GuestAddress.TableEntries);
        FillSummaries(0);
    }

    /// <summary>A deposit (rule 33): of its contents only the links are looked at until it is filled.</summary>
    public void InitializeDeposit() => InitializeLinks(0, 0);

    /// <summary>Fills a deposit with tokens; its links stay. Under the deposit's lock.</summary>
    public void FillDeposit(ulong regionBase, ITokenSource tokens)
    {
        FillTokens(regionBase, tokens, 0, GuestAddress.TableEntries);
        FillSummaries(0);
    }

    /// <summary>The same with the leaves that a 2 GB leaf is: all flagged, if it is soft-dirty (rule 33).</summary>
    public void FillDeposit(RegionEntry leaf)
    {
        EntryRuns.Fill(_entries, GuestAddress.TableEntries, leaf.FirstSegment.Value, GuestAddress.SegmentSize, _entries + EntriesAhead);
        bool flags = leaf.Bits.IsSoftDirty && !Probe.LeavesOut(Step.RegionSplitUnflagged);
        FillSummaries(flags ? SegmentCell.AllLines : 0);
    }

    /// <summary>
    /// Fills an unlinked table with leaves from <paramref name="first"/> to <paramref name="end"/> - 1, of consecutive frames, and tokens
    /// around them. The summary of dirty ones is set.
    /// </summary>
    public void InitializeLeaves(ulong regionBase, ITokenSource tokens, int first, int end, SegmentEntry leaf, bool dirty)
    {
        InitializeLinks(0, 0); // whoever tracks by generation maps by faults
        FillTokens(regionBase, tokens, 0, first);
        EntryRuns.Fill(_entries + first, end - first, leaf.Value, GuestAddress.SegmentSize, _entries + first + EntriesAhead);
        FillTokens(regionBase, tokens, end, GuestAddress.TableEntries);
        FillSummaries(0);
        if (dirty)
        {
            new Span<uint>(Summaries + first, end - first).Fill(SegmentCell.AllLines);
            *StripesWord = uint.MaxValue; // of some of them it is not true: the next harvest sees
        }
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

    /// <summary>Of an unlinked table.</summary>
    private void FillSummaries(uint lines)
    {
        new Span<uint>(Summaries, GuestAddress.TableEntries).Fill(lines);
        *StripesWord = lines == 0 ? 0 : uint.MaxValue;
    }

    private uint* StripesWord => (uint*)((byte*)_entries + StripesOffset);

    private ulong* DenseLink => (ulong*)((byte*)_entries + DenseOffset);

    private ulong* WatchLink => (ulong*)((byte*)_entries + WatchOffset);

    private void InitializeLinks(nint dense, nint spare)
    {
        *WatchLink = 0;
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

    public uint* Summaries => (uint*)((byte*)_entries + SummaryOffset);
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

    /// <summary>Whether 2 GB (aligned) may be one leaf (rule 33).</summary>
    bool FitsRegion(ulong region);
}
