using System;
using System.Numerics;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// What <see cref="SegmentWalk"/> does, where the space tracks by generation: takes dense bits and pours them (rule 26). Enters sections
/// of its own, one for each 2 GB. The caller holds the slot's harvest lock, or the configuration lock while the slot has no log; it ends
/// cached rights (bump and grace) before it hands out what was taken.
/// </summary>
/// <param name="space">The space.</param>
/// <param name="slot">The slot whose pages they are.</param>
/// <param name="log">Receives the bits before they are cleared; none: they are dropped.</param>
/// <param name="rearm">False: the bits are poured and stay.</param>
/// <param name="isEpoch">The log is an epoch, which nobody else changes.</param>
internal readonly struct DenseTake(AddressSpace space, Slot slot, Outlet log, bool rearm = true, bool isEpoch = false)
{
    private const int WordPages = DenseBits.WordPages;
    private const int Batch = 64;

    /// <summary>Takes start..end-1 (page aligned, inside the slot). Returns the number of pages found.</summary>
    public long Take(ulong start, ulong end)
    {
        long taken = 0;
        for (ulong at = start; at < end;)
        {
            ulong region = GuestAddress.RegionBase(at);
            ulong stop = GuestAddress.RegionEnd(at, end);
            int section = LibrarySections.Enter();
            taken += space.Tree.TryFind(at, out SegmentTable table) ? TakeRegion(table, region, at, stop) : 0;
            LibrarySections.Leave(section);
            at = stop;
        }
        return taken;
    }

    /// <summary>Pours pages of the word of dense bits that begins at an address.</summary>
    public void Pour(ulong address, ulong pages)
    {
        if (log.IsNone)
        {
            return;
        }
        long first = (long)(address - slot.GuestAddress) >> GuestAddress.PageShift;
        int before = first < 0 ? (int)-first : 0; // the slot begins inside the word; there are no bits before it
        ulong at = (ulong)(first + before);
        if (isEpoch)
        {
            log.OrAlone(at, pages >> before);
        }
        else
        {
            log.Or(at, pages >> before);
        }
    }

    /// <summary>Takes the pages of a bitmap word: bit i is page <paramref name="firstPage"/> + i of the slot.</summary>
    public long TakeMask(ulong firstPage, ulong mask)
    {
        ulong first = (slot.GuestAddress >> GuestAddress.PageShift) + firstPage;
        int shift = (int)(first % WordPages);
        long taken = TakeMaskedWord(first - (ulong)shift, mask << shift);
        ulong high = shift == 0 ? 0 : mask >> (WordPages - shift);
        return high == 0 ? taken : taken + TakeMaskedWord(first - (ulong)shift + WordPages, high);
    }

    /// <summary>Pages of one aligned word of dense bits, by the guest's number of its first page.</summary>
    private long TakeMaskedWord(ulong first, ulong mask)
    {
        ulong address = first << GuestAddress.PageShift;
        int section = LibrarySections.Enter();
        long taken = 0;
        if (mask != 0 && space.Tree.TryFind(address, out SegmentTable table))
        {
            int index = GuestAddress.SegmentIndex(address);
            int word = GuestAddress.PageIndex(address) / WordPages;
            taken = TakeWord(table.Cell(index), table.Dense.Segment(index), word, mask, GuestAddress.SegmentBase(address));
            if (table.Retiring.Origin != 0)
            {
                taken += TakeBits(table.Retiring.Segment(index), word, mask, GuestAddress.SegmentBase(address));
            }
        }
        LibrarySections.Leave(section);
        return taken;
    }

    private long TakeRegion(SegmentTable table, ulong region, ulong start, ulong end)
    {
        long taken = 0;
        DenseBits dense = table.Dense;
        var flagged = new FlaggedSegments(table, GuestAddress.SegmentIndex(start), GuestAddress.SegmentIndex(end - 1) + 1);
        Span<int> batch = stackalloc int[Batch];
        for (int count = flagged.Read(batch); count != 0; count = flagged.Read(batch))
        {
            foreach (int index in batch[..count])
            {
                dense.Segment(index).Prefetch(); // each is a cache miss of its own: side by side they cost a third
            }
            foreach (int index in batch[..count])
            {
                ulong segment = region + ((ulong)index << GuestAddress.SegmentShift);
                bool whole = segment >= start && end - segment >= GuestAddress.SegmentSize;
                taken += whole
                    ? TakeSegment(table.Cell(index), dense.Segment(index), segment)
                    : TakePart(table.Cell(index), dense.Segment(index), segment, start, end);
            }
        }
        if (rearm)
        {
            flagged.Forget(start - region, end - region);
        }
        return table.Retiring.Origin != 0 ? taken + TakeRetiring(table.Retiring, region, start, end) : taken;
    }

    /// <summary>Nothing flags them: all of them are looked at. They may still be set (rule 27).</summary>
    private long TakeRetiring(DenseBits retiring, ulong region, ulong start, ulong end)
    {
        long taken = 0;
        int last = (GuestAddress.SegmentIndex(end - 1) + 1) * DenseBits.SegmentWords;
        int next = retiring.Next(GuestAddress.SegmentIndex(start) * DenseBits.SegmentWords, last);
        for (; next < last; next = retiring.Next(next + 1, last))
        {
            int index = next / DenseBits.SegmentWords;
            int word = next % DenseBits.SegmentWords;
            ulong segment = region + ((ulong)index << GuestAddress.SegmentShift);
            taken += TakeBits(retiring.Segment(index), word, DirtyTake.MaskOf(segment, word, start, end), segment);
        }
        return taken;
    }

    /// <summary>All pages of a segment belong to the slot and are asked for: its summary word goes in one step.</summary>
    private long TakeSegment(SegmentCell cell, DenseSegment dense, ulong segment)
    {
        if (rearm && !Probe.LeavesOut(Step.EntriesBeforeSummary))
        {
            cell.ClearSummary(SegmentCell.AllLines); // before the bits are looked at: who sets one after the look sets it again
        }
        long taken = 0;
        for (int word = 0; word < DenseBits.SegmentWords; word++)
        {
            taken += TakeBits(dense, word, ulong.MaxValue, segment);
        }
        if (rearm && Probe.LeavesOut(Step.EntriesBeforeSummary))
        {
            cell.ClearSummary(SegmentCell.AllLines);
        }
        return taken;
    }

    private long TakePart(SegmentCell cell, DenseSegment dense, ulong segment, ulong start, ulong end)
    {
        long taken = 0;
        for (int word = 0; word < DenseBits.SegmentWords; word++)
        {
            ulong mask = DirtyTake.MaskOf(segment, word, start, end);
            taken += mask == 0 ? 0 : TakeWord(cell, dense, word, mask, segment);
        }
        return taken;
    }

    /// <summary>Summary bits of lines that are only partly asked for stay: they may be another slot's (rule 11).</summary>
    private long TakeWord(SegmentCell cell, DenseSegment dense, int word, ulong mask, ulong segment)
    {
        uint whole = !rearm ? 0 : Probe.LeavesOut(Step.PartialLineCleared) ? DirtyTake.LinesOf(mask) : DirtyTake.WholeLinesOf(mask);
        int shift = word * WordPages / PageTable.LinePages;
        if (whole != 0 && (cell.Summary & (whole << shift)) != 0)
        {
            cell.ClearSummary(whole << shift);
        }
        long taken = TakeBits(dense, word, mask, segment);
        if (whole != 0 && Probe.LeavesOut(Step.PartialLineCleared))
        {
            cell.SetSummary(DirtyTake.LinesOf(dense.Load(word) & ~mask) << shift);
        }
        return taken;
    }

    private long TakeBits(DenseSegment dense, int word, ulong mask, ulong segment)
    {
        ulong taken = dense.Load(word) & mask;
        if (taken == 0)
        {
            return 0;
        }
        Probe.At(Place.EntriesRead);
        Pour(segment + ((ulong)(word * WordPages) << GuestAddress.PageShift), taken);
        Probe.At(Place.Poured);
        if (rearm)
        {
            dense.Clear(word, Probe.LeavesOut(Step.ClearBeforePour) ? mask : taken);
            Probe.At(Place.EntryArmed);
        }
        return BitOperations.PopCount(taken);
    }
}
