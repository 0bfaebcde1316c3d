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
        if (slot.ByGeneration)
        {
            return new DenseTake(space, slot, log, rearm).Take(start, end);
        }
        long taken = 0;
        for (ulong at = start; at < end;)
        {
            ulong stop = GuestAddress.RegionEnd(at, end);
            int section = LibrarySections.Enter();
            taken += TakeRegion(at, stop, log, rearm);
            LibrarySections.Leave(section);
            at = stop;
        }
        return taken;
    }

    /// <summary>Takes the pages of a bitmap word: bit i is page <paramref name="firstPage"/> + i of the slot.</summary>
    public long TakeMask(ulong firstPage, ulong mask, in Outlet log)
    {
        if (slot.ByGeneration)
        {
            return new DenseTake(space, slot, log).TakeMask(firstPage, mask);
        }
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

    /// <summary>A segment table's, or those of a 2 GB leaf: if it is split now, its children's (rule 33).</summary>
    private long TakeRegion(ulong at, ulong stop, in Outlet log, bool rearm)
    {
        long taken = 0;
        if (space.Tree.TryFindRegionLeaf(at, out RegionCell cell, out _))
        {
            taken = RegionTake.Leaf(cell, slot, at, stop, log, space.Watches, rearm);
        }
        return taken == 0 && space.Tree.TryFind(at, out SegmentTable table) ? TakeRegion(table, at, stop, log, rearm) : taken;
    }

    private long TakeRegion(SegmentTable table, ulong start, ulong end, in Outlet log, bool rearm)
    {
        long taken = 0;
        ulong region = GuestAddress.RegionBase(start);
        var flagged = new FlaggedSegments(table, GuestAddress.SegmentIndex(start), GuestAddress.SegmentIndex(end - 1) + 1);
        Span<int> batch = stackalloc int[Batch];
        for (int count = flagged.Read(batch); count != 0; count = flagged.Read(batch))
        {
            foreach (int index in batch[..count])
            {
                taken += TakeSegment(table.Cell(index), region + ((ulong)index << GuestAddress.SegmentShift), start, end, log, rearm);
            }
        }
        if (rearm)
        {
            flagged.Forget(start - region, end - region);
        }
        return taken;
    }

    /// <summary>Takes what of one segment lies in start..end-1. In a section.</summary>
    public long TakeSegment(SegmentCell cell, ulong segment, ulong start, ulong end, in Outlet log, bool rearm)
    {
        if (cell.Load().IsLeaf && DirtyTake.Leaf(cell, slot, segment, log, space.Watches, rearm))
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
            // Of entry by entry: who arms pages sets the bit under the lock, or holds the harvest turn as we do.
            Watches? watches = rearm && cell.Load().IsWatched ? space.Watches : null;
            for (int group = 0; group < PageTable.Groups; group++)
            {
                byte flagged = (byte)(lines >> (8 * group));
                ulong mask = flagged == 0 ? 0 : DirtyTake.MaskOf(segment, group, start, end) & DirtyTake.PagesOf(flagged);
                taken += mask == 0 ? 0 : DirtyTake.Pages(cell, table, group, mask, slot, segment, log, watches, rearm);
            }
            if (watches is not null)
            {
                WatchMarks.Drop(cell, table);
            }
            if (!looks)
            {
                cell.Unlock();
            }
        }
        return taken;
    }
}
