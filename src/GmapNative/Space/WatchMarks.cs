using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>The markers of entries, which say only "look at the halfword" (rule 28).</summary>
internal static class WatchMarks
{
    /// <summary>What a page's halfword wants its entry to carry.</summary>
    public static bool Wants(WatchBits seen) => (seen & (WatchBits.Restricted | WatchBits.Armed | WatchBits.Gate)) != 0;

    /// <summary>An entry as its halfword says: marked or not, P = 1 where the next write asks, I = 1 where nothing is allowed.</summary>
    public static PageEntry Apply(PageEntry entry, WatchBits seen)
    {
        if (!Wants(seen))
        {
            return entry.IsMarked ? entry.WithoutMarkers : entry;
        }
        PageEntry marked = entry.WithMarkers((seen & WatchBits.Shadowed) != 0);
        marked = (seen & WatchBits.Gate) != 0 ? marked.WithProtect : marked;
        return (seen & WatchBits.NoRead) != 0 ? marked.WithAge : marked;
    }

    /// <summary>
    /// Where no page of a segment is watched any more, its table's entries lose their markers, and the table is one like others; whether
    /// that is so. Under the lock of the table: who publishes a halfword meanwhile sets markers after this.
    /// </summary>
    public static bool Drop(SegmentCell cell, PageTable table)
    {
        if (cell.Watch.Any(WatchBits.All))
        {
            return false;
        }
        for (int page = 0; cell.Load().IsWatched && page < GuestAddress.PageTableEntries; page++)
        {
            PageEntry entry = table.Load(page);
            while (entry.IsMarked && !table.TryReplace(page, entry, entry.WithoutMarkers))
            {
                entry = table.Load(page); // an inline writer was here
            }
        }
        if (cell.Load().IsWatched)
        {
            cell.ClearWatched();
        }
        return true;
    }
}
