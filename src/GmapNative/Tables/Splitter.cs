using GmapNative.Bits;
using GmapNative.Memory;

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
    /// <param name="pool">Where the page table comes from.</param>
    /// <param name="wasted">Set if a spare table had to be freed again.</param>
    public static SplitOutcome Split(SegmentCell cell, TablePool pool, out bool wasted)
    {
        wasted = false;
        SegmentEntry leaf = cell.Load();
        if (!leaf.IsLeaf)
        {
            return leaf.IsTable ? SplitOutcome.AlreadyTable : SplitOutcome.Changed;
        }
        nint table = pool.TryAllocate(TableKind.Page);
        if (table == 0)
        {
            return SplitOutcome.NoMemory;
        }
        while (leaf.IsLeaf)
        {
            PageTableBuilder.FillFromLeaf(table, Probe.LeavesOut(Step.SplitForgetsDirty) ? leaf.WithArmed : leaf);
            Probe.At(Place.ChildBuilt);
            if (Probe.LeavesOut(Step.StaleSplit))
            {
                leaf = cell.Load(); // whatever it is
            }
            if (cell.TryReplace(leaf, SegmentEntry.Table((ulong)table, split: true)))
            {
                Probe.At(Place.TableLinked);
                return SplitOutcome.Split;
            }
            leaf = cell.Load(); // lost: act on what is there, its P and soft-dirty may differ
        }
        pool.Free(table, TableKind.Page);
        wasted = true;
        return leaf.IsTable ? SplitOutcome.AlreadyTable : SplitOutcome.Changed;
    }
}
