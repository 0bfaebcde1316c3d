using System.Runtime.CompilerServices;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Faults on 2 GB leaves (rule 33).</summary>
internal sealed partial class FaultResolver
{
    /// <summary>Never leaves the resolver: a segment table serves the address, or has to.</summary>
    private const int Below = int.MinValue + 2;

    /// <summary>Answers by a 2 GB leaf, installs one where it fits, or splits it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private int ResolveRegion(in Request request, ref FaultOutcome outcome)
    {
        if (!_tree.TryMakeRegion(request.Address, request.Map, out RegionCell cell, out bool noMemory))
        {
            return noMemory ? Status.NoMemory : Below;
        }
        int status;
        do
        {
            RegionEntry entry = cell.Load();
            Probe.At(Place.EntryLoaded);
            status = entry.IsTable ? Below
                : entry.IsLeaf ? ResolveRegionLeaf(cell, entry, request, ref outcome)
                : request.Slot.FitsRegion(request.Region) ? InstallRegion(cell, entry, request, ref outcome)
                : Below;
        }
        while (status == Status.TryAgain);
        return status;
    }

    /// <summary>Nothing is mapped in the 2 GB, which one leaf may map.</summary>
    private int InstallRegion(RegionCell cell, RegionEntry seen, in Request request, ref FaultOutcome outcome)
    {
        WatchDirectory watch = cell.Watch; // as it is in this call: who watches pages waits for it (rule 28)
        if (IsForbidden(watch.Segment(GuestAddress.SegmentIndex(request.Address)).Of(request.Page), request))
        {
            return Forbid(request, ref outcome);
        }
        if (!AllowsLeaf(watch))
        {
            return Below;
        }
        // A write to a tracked slot maps the leaf clean, and splits it in the next round.
        bool dirty = request.InstallsDirty && !(request.Slot.TracksEntries && space.Options.Policy != SplitPolicy.Never)
            && !watch.Any(WatchBits.Gate);
        RegionEntry leaf = RegionEntry.Leaf(request.Slot.HostOf(request.Region), !request.Slot.IsReadOnly, dirty);
        bool marked = watch.Any(WatchBits.All) && !Probe.LeavesOut(Step.InstallDropsMarkers);
        leaf = marked ? new(leaf.Bits.WithMarkers(watch.Any(WatchBits.Shadowed)).Value) : leaf;
        Probe.At(Place.BytesRead);
        int status = _tree.TryInstallLeaf(cell, seen, leaf, out bool installed);
        if (installed)
        {
            SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsMapped, GuestAddress.TableEntries);
            outcome.Done |= FaultDone.Mapped;
            outcome.Dirtied += dirty ? request.DirtiedRegion : 0;
            Probe.At(Place.EntryGrants);
        }
        return status;
    }

    private int ResolveRegionLeaf(RegionCell cell, RegionEntry entry, in Request request, ref FaultOutcome outcome)
    {
        SegmentEntry leaf = entry.Bits;
        WatchBits watch = leaf.IsMarked
            ? cell.Watch.Segment(GuestAddress.SegmentIndex(request.Address)).Of(request.Page) : WatchBits.None;
        if (leaf.IsAged && (watch & WatchBits.NoRead) == 0)
        {
            _ = cell.TryReplace(entry, leaf.WithUse);
            return Status.TryAgain;
        }
        if (IsForbidden(watch, request))
        {
            return Forbid(request, ref outcome);
        }
        if (!request.IsWrite || !leaf.IsProtected)
        {
            outcome.HostAddress = entry.Frame | (request.Address & (GuestAddress.RegionThirdSize - 1)); // a store needs no mark (rule 33)
            outcome.LeafSize = GuestAddress.RegionThirdSize;
            outcome.Rights = leaf.IsProtected ? Access.Read : Access.Read | Access.Write;
            return Status.Ok;
        }
        bool asks = leaf.IsMarked && cell.Watch.Any(WatchBits.Gate);
        if (leaf.IsWritable && space.Options.Policy != SplitPolicy.Never && (request.Slot.TracksEntries || asks))
        {
            outcome.Done |= space.SplitRegion(request.Address) ? FaultDone.Split : FaultDone.None;
            return Status.TryAgain;
        }
        if (asks && leaf.IsWritable && AsksBeforeWrite(cell.Watch, request))
        {
            return Watched;
        }
        GrantRegion(cell, entry, request, ref outcome);
        return Status.TryAgain;
    }

    /// <summary>Grants a leaf as a whole; one from before the slot became writable gets the right first.</summary>
    private void GrantRegion(RegionCell cell, RegionEntry entry, in Request request, ref FaultOutcome outcome)
    {
        SegmentEntry leaf = entry.Bits;
        SegmentEntry next = leaf.IsWritable ? leaf.WithGrant : leaf.WithWritable; // markers go under the family lock only (rule 35)
        Probe.At(Place.BytesRead);
        if (cell.TryReplace(entry, next) && next.IsDirty)
        {
            bool clean = !leaf.IsSoftDirty;
            SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsGranted, clean ? GuestAddress.TableEntries : 0);
            outcome.Done |= clean ? FaultDone.Granted : FaultDone.None;
            outcome.Dirtied += clean ? request.DirtiedRegion : 0;
            Probe.At(Place.EntryGrants);
        }
    }
}
