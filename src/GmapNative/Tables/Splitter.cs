using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>What became of an attempt to split a leaf.</summary>
internal enum SplitOutcome
{
    /// <summary>This call linked the table.</summary>
    Split,

    /// <summary>The segment has a table: another thread was first.</summary>
    AlreadyTable,

    /// <summary>The entry became something else: start over.</summary>
    Changed,

    /// <summary>No memory for a table; the entry is as it was.</summary>
    NoMemory,
}

/// <summary>Splits a 1 MB leaf while others use it (rule 16).</summary>
internal static class Splitter
{
    /// <param name="cell">The segment.</param>
    /// <param name="pages">Where the page table comes from.</param>
    /// <param name="wasted">Set if a spare table had to be freed again.</param>
    public static SplitOutcome Split(SegmentCell cell, PageTablePool pages, out bool wasted)
    {
        wasted = false;
        SegmentEntry leaf = cell.Load();
        if (!leaf.IsLeaf)
        {
            return leaf.IsTable ? SplitOutcome.AlreadyTable : SplitOutcome.Changed;
        }
        nint table = pages.TryAllocate();
        return table == 0 ? SplitOutcome.NoMemory : Split(cell, pages, table, out wasted);
    }

    /// <summary>The same with a table that was allocated before; it is linked or given back.</summary>
    public static SplitOutcome Split(SegmentCell cell, PageTablePool pages, nint table, out bool wasted)
    {
        wasted = false;
        SegmentEntry leaf = cell.Load();
        while (leaf.IsLeaf)
        {
            PageTableBuilder.FillFromLeaf(table, Parent(leaf));
            Probe.At(Place.ChildBuilt);
            if (Probe.LeavesOut(Step.StaleSplit))
            {
                leaf = cell.Load(); // whatever it is
            }
            if (cell.TryReplace(leaf, SegmentEntry.Table((ulong)table, split: true, watched: leaf.IsMarked)))
            {
                Probe.At(Place.TableLinked);
                return SplitOutcome.Split;
            }
            leaf = cell.Load(); // lost: act on what is there, its P and soft-dirty may differ
        }
        pages.Free(table);
        wasted = true;
        return leaf.IsTable ? SplitOutcome.AlreadyTable : SplitOutcome.Changed;
    }

    /// <summary>What the children inherit from.</summary>
    private static SegmentEntry Parent(SegmentEntry leaf) =>
        Probe.LeavesOut(Step.SplitForgetsDirty) ? leaf.WithArmed
        : Probe.LeavesOut(Step.SplitDropsMarkers) ? leaf.WithoutMarkers
        : leaf;
}
