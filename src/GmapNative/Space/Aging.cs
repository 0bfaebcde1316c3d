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
                ulong young = AgePages(table, GuestAddress.PageIndex(start), (int)count);
                cell.Unlock();
                return young;
            }
            if (frozen)
            {
                return 0;
            }
        }
    }

    private static ulong AgePages(PageTable table, int first, int count)
    {
        ulong young = 0;
        for (int page = first; page < first + count; page++)
        {
            PageEntry entry = table.Load(page);
            while (!entry.IsInvalid && !table.TryReplace(page, entry, entry.WithAge))
            {
                entry = table.Load(page); // an inline writer was here
            }
            young += entry.IsInvalid ? 0UL : 1;
        }
        return young;
    }
}
