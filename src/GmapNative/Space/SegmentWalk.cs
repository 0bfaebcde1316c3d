using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Walks the segments of a slot whose summary word says that something may be dirty, and takes it (rule 11). Enters sections of its
/// own, one for each 2 GB. The caller holds the slot's harvest lock, or the configuration lock while the slot has no log yet.
/// </summary>
internal readonly struct SegmentWalk(AddressSpace space, Slot slot)
{
    private const int Batch = 32;

    /// <summary>
    /// Takes start..end-1 (page aligned, inside the slot); the bits are in <paramref name="log"/> first (none: dropped). A leaf
    /// that is only partly in the range is taken as a whole. Without <paramref name="rearm"/> the bits are poured and stay.
    /// Returns the number of pages found.
    /// </summary>
    public long Take(ulong start, ulong end, in Outlet log, bool rearm = true)
    {
        long taken = 0;
        var freezer = default(SegmentFreezer);
        for (ulong at = start; at < end;)
        {
            ulong stop = RegionEnd(at, end);
            int none = 0;
            taken += TakeRegion(at, stop, log, rearm, freezer, [], ref none);
            at = stop;
        }
        return taken;
    }

    /// <summary>
    /// As <see cref="Take"/> with re-arming, into the epoch of a consumer; dense segments are frozen (rule 20). Under the harvest turn and lock; the
    /// lock is let go meanwhile. <see cref="Status.TryAgain"/>: the slot was changed then, some may be left.
    /// </summary>
    public int TakeFreezing(ulong start, ulong end, SlotTracking tracking, DirtySink sink, ref long taken)
    {
        Span<ushort> dense = stackalloc ushort[GuestAddress.TableEntries];
        var freezer = new SegmentFreezer(space, slot, tracking, sink);
        var into = new Outlet(tracking.Sinks, sink, sink.Epoch, tracking);
        int status = Status.Ok;
        for (ulong at = start; at < end && status == Status.Ok;)
        {
            ulong stop = RegionEnd(at, end);
            int count = 0;
            taken += TakeRegion(at, stop, into, rearm: true, freezer, dense, ref count);
            status = count == 0 ? Status.Ok : freezer.Take(RegionBase(at), dense[..count], ref taken);
            at = stop;
        }
        return status;
    }

    /// <summary>Takes the pages of a bitmap word: bit i is page <paramref name="firstPage"/> + i of the slot.</summary>
    public long TakeMask(ulong firstPage, ulong mask, in Outlet log)
    {
        long taken = 0;
        while (mask != 0)
        {
            int from = System.Numerics.BitOperations.TrailingZeroCount(mask);
            int length = System.Numerics.BitOperations.TrailingZeroCount(~(mask >> from));
            mask &= ~PinnedBitmap.RunMask(from, length);
            ulong start = slot.GuestAddress + ((firstPage + (ulong)from) << GuestAddress.PageShift);
            taken += Take(start, start + ((ulong)length << GuestAddress.PageShift), log);
        }
        return taken;
    }

    private static ulong RegionBase(ulong at) => at & ~(GuestAddress.RegionThirdSize - 1);

    private static ulong RegionEnd(ulong at, ulong end) =>
        end - RegionBase(at) < GuestAddress.RegionThirdSize ? end : RegionBase(at) + GuestAddress.RegionThirdSize;

    /// <summary>The part of a region, in a section; <paramref name="dense"/> (empty: none) gets what is left to the freezer.</summary>
    private long TakeRegion(
        ulong start, ulong end, in Outlet log, bool rearm, in SegmentFreezer freezer, Span<ushort> dense, ref int count)
    {
        int section = LibrarySections.Enter();
        long taken = space.Tree.TryFind(start, out SegmentTable table)
            ? TakeRegion(table, start, end, log, rearm, freezer, dense, ref count) : 0;
        LibrarySections.Leave(section);
        return taken;
    }

    private long TakeRegion(
        SegmentTable table, ulong start, ulong end, in Outlet log, bool rearm, in SegmentFreezer freezer, Span<ushort> dense,
        ref int left)
    {
        long taken = 0;
        ulong region = RegionBase(start);
        int last = GuestAddress.SegmentIndex(end - 1) + 1;
        int next = GuestAddress.SegmentIndex(start);
        Span<int> batch = stackalloc int[Batch];
        for (int count = Flagged(table, ref next, last, batch); count != 0; count = Flagged(table, ref next, last, batch))
        {
            Prefetch(table, region, batch[..count], log);
            foreach (int index in batch[..count])
            {
                ulong segment = region + ((ulong)index << GuestAddress.SegmentShift);
                if (dense.Length != 0 && segment >= start && end - segment >= GuestAddress.SegmentSize && freezer.Suits(table.Cell(index)))
                {
                    dense[left++] = (ushort)index;
                    continue;
                }
                taken += TakeSegment(table.Cell(index), segment, start, end, log, rearm);
            }
        }
        return taken;
    }

    private static int Flagged(SegmentTable table, ref int next, int last, Span<int> batch)
    {
        int count = 0;
        while (count < batch.Length && (next = table.NextFlagged(next, last)) < last)
        {
            batch[count++] = next++;
        }
        return count;
    }

    /// <summary>
    /// Where writes are sparse each segment is a chain of cache misses: entry, page table, log. Side by side they cost a third.
    /// </summary>
    private void Prefetch(SegmentTable table, ulong region, ReadOnlySpan<int> batch, in Outlet log)
    {
        foreach (int index in batch)
        {
            table.PrefetchEntry(index);
            ulong segment = region + ((ulong)index << GuestAddress.SegmentShift);
            log.Prefetch(segment < slot.GuestAddress ? 0 : slot.PageOf(segment));
        }
        foreach (int index in batch)
        {
            table.PrefetchLines(index);
        }
    }

    private long TakeSegment(SegmentCell cell, ulong segment, ulong start, ulong end, in Outlet log, bool rearm)
    {
        if (cell.Load().IsLeaf && DirtyTake.Leaf(cell, slot, segment, log, rearm))
        {
            return GuestAddress.PageTableEntries;
        }
        long taken = 0;
        // Who only looks, in a section and without the harvest turn, may meet a frozen table. Its harvest needs the harvest lock for the
        // edit and the thaw: until we let that go nobody but inline writers changes the table.
        SegmentEntry entry = cell.Load();
        bool looks = !rearm && entry.IsFrozen;
        PageTable table = new(entry.TableOrigin);
        Probe.At(Place.EntryLoaded);
        if (looks || cell.TryLock(out table))
        {
            uint lines = cell.Summary;
            for (int group = 0; group < PageTable.Groups; group++)
            {
                byte flagged = (byte)(lines >> (8 * group));
                ulong mask = flagged == 0 ? 0 : DirtyTake.MaskOf(segment, group, start, end) & DirtyTake.PagesOf(flagged);
                taken += mask == 0 ? 0 : DirtyTake.Pages(cell, table, group, mask, slot, segment, log, rearm);
            }
            if (!looks)
            {
                cell.Unlock();
            }
        }
        return taken;
    }
}
