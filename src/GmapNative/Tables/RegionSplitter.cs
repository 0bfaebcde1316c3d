using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>Splits a 2 GB leaf into the 1 MB leaves that its deposit has room for, while others use it (rule 33).</summary>
internal static class RegionSplitter
{
    /// <summary>Never for want of memory. In a section.</summary>
    public static SplitOutcome Split(RegionCell cell)
    {
        ulong deposit = cell.LockDeposit();
        RegionEntry leaf = cell.Load();
        while (leaf.IsLeaf)
        {
            new SegmentTable(deposit).FillDeposit(Parent(leaf));
            Probe.At(Place.ChildBuilt);
            if (Probe.LeavesOut(Step.StaleSplit))
            {
                leaf = cell.Load(); // whatever it is
            }
            if (cell.TryReplace(leaf, RegionEntry.Table(TableType.RegionThird, deposit)))
            {
                Probe.At(Place.TableLinked);
                cell.UnlockDeposit(0);
                return SplitOutcome.Split;
            }
            leaf = cell.Load(); // its P and soft-dirty may differ, or it is gone
        }
        cell.UnlockDeposit(deposit);
        return leaf.IsTable ? SplitOutcome.AlreadyTable : SplitOutcome.Changed;
    }

    /// <summary>What the children inherit from.</summary>
    private static RegionEntry Parent(RegionEntry leaf) =>
        Probe.LeavesOut(Step.SplitForgetsDirty) ? new(leaf.Bits.WithArmed.Value)
        : Probe.LeavesOut(Step.SplitDropsMarkers) ? new(leaf.Bits.WithoutMarkers.Value)
        : leaf;
}
