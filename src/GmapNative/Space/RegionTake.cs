using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Takes the soft-dirty bit of a 2 GB leaf, which stands for all its pages (rule 33). In a section.</summary>
internal static class RegionTake
{
    /// <summary>
    /// Makes a leaf clean and protected; its pages are in <paramref name="log"/> first. 0: it was clean, or is split now and its children
    /// are to be taken in its place.
    /// </summary>
    /// <param name="cell">The 2 GB.</param>
    /// <param name="slot">The slot in which all of it lies.</param>
    /// <param name="start">What is asked for, in the 2 GB.</param>
    /// <param name="end">The address behind it.</param>
    /// <param name="log">Where the bits go.</param>
    /// <param name="watches">Who is told of pages that are weakened.</param>
    /// <param name="rearm">False: the leaf stays as it is, and only what is asked for is poured.</param>
    public static long Leaf(
        RegionCell cell, Slot slot, ulong start, ulong end, in Outlet log, Watches watches, bool rearm)
    {
        RegionEntry entry = cell.Load();
        if (!entry.Bits.IsSoftDirty)
        {
            return 0;
        }
        if (!rearm)
        {
            log.OrRange(slot.PageOf(start), (end - start) >> GuestAddress.PageShift);
            return (long)((end - start) >> GuestAddress.PageShift);
        }
        ulong region = GuestAddress.RegionBase(start);
        if (!Probe.LeavesOut(Step.RegionTakenUnpoured))
        {
            log.OrRange(slot.PageOf(region), GuestAddress.RegionThirdPages);
        }
        Probe.At(Place.Poured);
        while (entry.Bits.IsSoftDirty && !cell.TryReplace(entry, entry.Bits.WithArmed))
        {
            entry = cell.Load(); // aged, used, or split
        }
        Probe.At(Place.EntryArmed);
        if (!entry.Bits.IsSoftDirty)
        {
            return 0;
        }
        if (entry.Bits.IsMarked && !entry.IsProtected && !Probe.LeavesOut(Step.HarvestForgetsChange))
        {
            watches.TakeWeakenedRegion(cell.Watch, region); // rule 29
        }
        return GuestAddress.RegionThirdPages;
    }
}
