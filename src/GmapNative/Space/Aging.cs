using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Makes mappings tell when they are used again (rule 24). In a section.</summary>
internal static class Aging
{
    /// <summary>Ages start..end-1, which lies in one segment; how many of its pages were young. A leaf is aged as a whole.
    /// <paramref name="frozen"/>: nothing was done (rule 20).</summary>
    public static ulong Age(SegmentCell cell, ulong start, ulong end, out bool frozen)
    {
        frozen = false;
        ulong count = (end - start) >> GuestAddress.PageShift;
        for (; ; )
        {
            SegmentEntry entry = cell.Load();
            if (entry.IsLeaf)
            {
                if (entry.IsMarked && !entry.IsAged && cell.Watch.Any(WatchBits.Weakened))
                {
                    return count; // who is told of a weaker mapping uses it (rule 29)
                }
                if (entry.IsAged || cell.TryReplace(entry, entry.WithAge))
                {
                    return entry.IsAged ? 0 : count;
                }
                continue; // split, armed, granted meanwhile
            }
            if (!entry.IsTable)
            {
                return 0;
            }
            if (cell.TryLock(out PageTable table, out frozen))
            {
                // Under the lock: it may have become watched while we waited, by a call that has returned since.
                ulong young = AgePages(table, cell.Load().IsWatched ? cell.Watch : default, GuestAddress.PageIndex(start), (int)count);
                cell.Unlock();
                return young;
            }
            if (frozen)
            {
                return 0;
            }
        }
    }

    /// <summary>Ages the 2 GB leaf, if there is one, in which start..end-1 lies; how many of the pages were young.</summary>
    public static ulong AgeRegion(TableTree tree, ulong start, ulong end)
    {
        while (tree.TryFindRegionLeaf(start, out RegionCell cell, out RegionEntry leaf))
        {
            bool spared = leaf.Bits.IsMarked && !leaf.IsAged && cell.Watch.Any(WatchBits.Weakened); // as above
            if (leaf.IsAged || spared || cell.TryReplace(leaf, leaf.Bits.WithAge))
            {
                return leaf.IsAged ? 0 : (end - start) >> GuestAddress.PageShift;
            }
        }
        return 0;
    }

    private static ulong AgePages(PageTable table, WatchSegment watch, int first, int count)
    {
        ulong young = 0;
        for (int page = first; page < first + count; page++)
        {
            PageEntry entry = table.Load(page);
            bool spared = (watch.Of(page) & WatchBits.Weakened) != 0;
            while (!spared && !entry.IsInvalid && !table.TryReplace(page, entry, entry.WithAge))
            {
                entry = table.Load(page); // an inline writer was here
            }
            young += entry.IsInvalid ? 0UL : 1;
        }
        return young;
    }
}
