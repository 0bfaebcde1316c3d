using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Takes soft-dirty bits out of the tables and pours them into a slot's log (rules 10 and 11). In a section; a page table's
/// segment is locked by the caller.
/// </summary>
internal static class DirtyTake
{
    private const ulong LowBits = 0x0101_0101_0101_0101;
    private const ulong Gather = 0x0102_0408_1020_4080;

    /// <summary>
    /// Makes the pages of <paramref name="mask"/> in one group of a locked page table clean and protected. Those that were soft-dirty are
    /// in <paramref name="log"/> first (none: they are dropped). Returns how many.
    /// </summary>
    /// <param name="cell">The segment.</param>
    /// <param name="table">Its page table.</param>
    /// <param name="group">Which 64 pages.</param>
    /// <param name="mask">Which of them.</param>
    /// <param name="slot">The slot whose pages they are.</param>
    /// <param name="segment">The segment's address.</param>
    /// <param name="log">Where the bits go.</param>
    /// <param name="watches">Who is told of pages that are weakened; null: the segment is not watched.</param>
    /// <param name="rearm">False: they stay as they are.</param>
    public static int Pages(
        SegmentCell cell, PageTable table, int group, ulong mask, Slot slot, ulong segment, in Outlet log, Watches? watches, bool rearm)
    {
        uint whole = !rearm ? 0 : Probe.LeavesOut(Step.PartialLineCleared) ? LinesOf(mask) : WholeLinesOf(mask);
        if (whole != 0 && !Probe.LeavesOut(Step.EntriesBeforeSummary))
        {
            cell.ClearSummary(whole << (8 * group)); // before the entries are looked at (rule 11)
        }
        ulong seen = table.SoftDirty(group, LinesOf(mask));
        ulong taken = seen & mask;
        Probe.At(Place.EntriesRead);
        if (taken != 0)
        {
            if (!log.IsNone)
            {
                Pour(log, slot, segment, group, taken);
                Probe.At(Place.Poured);
            }
            if (rearm && watches is not null)
            {
                ArmWatched(cell.Watch, table, group, taken, segment, watches);
            }
            else if (rearm)
            {
                table.Arm(group, Probe.LeavesOut(Step.ClearBeforePour) ? taken | (table.SoftDirty(group, LinesOf(mask)) & mask) : taken);
            }
        }
        if (whole != 0 && Probe.LeavesOut(Step.EntriesBeforeSummary))
        {
            cell.ClearSummary(whole << (8 * group));
        }
        if (whole != 0 && Probe.LeavesOut(Step.PartialLineCleared))
        {
            cell.SetSummary(LinesOf(seen & ~mask) << (8 * group));
        }
        return System.Numerics.BitOperations.PopCount(taken);
    }

    /// <summary>
    /// Makes watched pages clean and protected. What was armed for a weaker mapping is due where there was P = 0 (rule 29); the marker goes
    /// with it, where nothing else needs it. Under the lock of the table.
    /// </summary>
    private static void ArmWatched(WatchSegment watch, PageTable table, int group, ulong pages, ulong segment, Watches watches)
    {
        for (ulong left = pages; left != 0; left &= left - 1)
        {
            int page = (group * PageTable.GroupPages) + System.Numerics.BitOperations.TrailingZeroCount(left);
            bool forgets = Probe.LeavesOut(Step.HarvestForgetsChange);
            PageEntry entry;
            PageEntry next;
            do
            {
                entry = table.Load(page); // an inline writer may be here
                bool marked = (watch.Of(page) & (WatchBits.Restricted | WatchBits.Gate)) != 0;
                next = marked || forgets ? entry.WithArmed : entry.WithoutMarkers.WithArmed;
            }
            while (!table.TryReplace(page, entry, next));
            Probe.At(Place.EntryArmed);
            if (!entry.IsProtected && !forgets)
            {
                watches.TakeWeakened(watch, segment + ((ulong)page << GuestAddress.PageShift));
            }
        }
    }

    /// <summary>
    /// Makes everything that is flagged in a page table clean and protected, bits in the epoch first; how many pages. Without <c>LOCK</c>:
    /// the segment lies wholly in the slot whose harvest turn and lock are held (rule 11). <paramref name="first"/> is its first page.
    /// </summary>
    /// <remarks>
    /// A shadow fault may have set a marker a moment ago, under <c>LOCK</c>: what is armed there is taken, too (rule 35).
    /// </remarks>
    public static long Table(SegmentCell cell, PageTable table, ulong first, in Outlet epoch, Watches watches, ulong segment)
    {
        long taken = 0;
        bool late = Probe.LeavesOut(Step.EntriesBeforeSummary);
        uint flagged = late ? cell.Summary : cell.TakeSummary(); // before the entries are looked at (rule 11)
        for (uint left = flagged; left != 0; left &= left - 1) // few of them: dense tables are frozen
        {
            int line = System.Numerics.BitOperations.TrailingZeroCount(left);
            uint pages = table.SoftDirtyLine(line);
            Probe.At(Place.EntriesRead);
            if (pages != 0)
            {
                epoch.OrAlone(first + ((ulong)line * PageTable.LinePages), pages);
                Probe.At(Place.Poured);
                uint marked = table.ArmLine(line, Probe.LeavesOut(Step.ClearBeforePour) ? pages | table.SoftDirtyLine(line) : pages);
                if (marked != 0 && !Probe.LeavesOut(Step.UnlockedTakeIgnoresMarker) && !Probe.LeavesOut(Step.WatchedTakenFast))
                {
                    TakeMarked(cell.Watch, segment, line, marked, watches);
                }
                taken += System.Numerics.BitOperations.PopCount(pages);
            }
        }
        if (late)
        {
            cell.ClearSummary(flagged);
        }
        return taken;
    }

    private static void TakeMarked(WatchSegment watch, ulong segment, int line, uint pages, Watches watches)
    {
        for (; pages != 0; pages &= pages - 1)
        {
            int page = (line * PageTable.LinePages) + System.Numerics.BitOperations.TrailingZeroCount(pages);
            watches.TakeWeakened(watch, segment + ((ulong)page << GuestAddress.PageShift));
        }
    }

    /// <summary>
    /// Makes a leaf clean and protected; its 256 pages are in <paramref name="log"/> first. False if it was clean, or is split now.
    /// </summary>
    public static bool Leaf(SegmentCell cell, Slot slot, ulong segment, in Outlet log, Watches watches, bool rearm)
    {
        SegmentEntry entry = cell.Load();
        if (!entry.IsSoftDirty)
        {
            return false;
        }
        log.OrRange(slot.PageOf(segment), GuestAddress.PageTableEntries);
        Probe.At(Place.Poured);
        if (rearm)
        {
            cell.ClearSummary(SegmentCell.AllLines);
        }
        while (rearm && entry.IsSoftDirty && !cell.TryReplace(entry, entry.WithArmed))
        {
            entry = cell.Load(); // aged, used, or split
        }
        if (rearm && !entry.IsLeaf)
        {
            // Split: its children are dirty like it, and the caller takes them by their lines. Left marked with no summary bit, they
            // would be passed over until somebody writes beside them.
            cell.SetSummary(SegmentCell.AllLines);
        }
        Probe.At(Place.EntryArmed);
        if (rearm && entry.IsMarked && !entry.IsProtected && !Probe.LeavesOut(Step.HarvestForgetsChange))
        {
            watches.TakeWeakenedLeaf(cell.Watch, segment); // rule 29
        }
        return entry.IsSoftDirty;
    }

    /// <summary>Sets bits of one group of a segment in logs of a slot; all of them lie inside the slot.</summary>
    public static void Pour(in Outlet log, Slot slot, ulong segment, int group, ulong pages)
    {
        long first = ((long)(segment - slot.GuestAddress) >> GuestAddress.PageShift) + (group * PageTable.GroupPages);
        if (first < 0)
        {
            log.Or(0, pages >> (int)-first); // the slot begins inside the group; there are no bits before it
        }
        else
        {
            log.Or((ulong)first, pages);
        }
    }

    /// <summary>The pages of a group (of a segment) that lie in start..end-1, as a mask.</summary>
    public static ulong MaskOf(ulong segment, int group, ulong start, ulong end)
    {
        ulong at = segment + ((ulong)(group * PageTable.GroupPages) << GuestAddress.PageShift);
        ulong last = at + ((ulong)PageTable.GroupPages << GuestAddress.PageShift) - 1; // behind it there is no address in the last of all
        ulong from = start > at ? start : at;
        ulong to = end - 1 < last ? end - 1 : last;
        if (from > to)
        {
            return 0;
        }
        int offset = (int)((from - at) >> GuestAddress.PageShift);
        int length = (int)((to - from) >> GuestAddress.PageShift) + 1;
        return PinnedBitmap.RunMask(offset, length);
    }

    /// <summary>One bit for each cache line (8 pages) of a group that has a page in <paramref name="mask"/>.</summary>
    public static uint LinesOf(ulong mask)
    {
        mask |= mask >> 4;
        mask |= mask >> 2;
        mask |= mask >> 1;
        return (uint)(((mask & LowBits) * Gather) >> 56); // the low bit of each byte is the OR of it: gathered
    }

    /// <summary>The eight pages of each line.</summary>
    public static ulong PagesOf(byte lines)
    {
        ulong spread = (lines * LowBits) & 0x8040_2010_0804_0201; // byte k keeps bit k
        ulong set = (spread + 0x7F7F_7F7F_7F7F_7F7F) & 0x8080_8080_8080_8080;
        return (set >> 7) * 0xFF;
    }

    /// <summary>
    /// The lines of which all pages are in the mask. The others may belong to two slots: were a bit cleared, if only until it is set
    /// back, a harvest of the other slot could pass its dirty page over.
    /// </summary>
    public static uint WholeLinesOf(ulong mask) => LinesOf(mask) & ~LinesOf(~mask);
}
