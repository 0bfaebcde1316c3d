using System;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What a restriction or an armed page does to 2 GB leaves (rules 28 and 33).</summary>
internal sealed partial class RangeProtector
{
    /// <summary>
    /// Where the range has a part of what may be a 2 GB leaf, and such a leaf could not stay, there is a segment table from now on. A
    /// status.
    /// </summary>
    private int SplitRegions()
    {
        for (ulong at = _start; at < _end && _space.Tree.HasRegionLeaves; at = GuestAddress.RegionEnd(at, _end))
        {
            if (!CutsRegion(at))
            {
                continue;
            }
            if (_space.Options.Policy == SplitPolicy.Never && _space.Tree.TryFindRegionLeaf(at, out _, out _))
            {
                return Status.NotSupported;
            }
            _ = _space.SplitRegion(at);
            if (!_space.Tree.TryMakeCell(at, _map, out _))
            {
                return Status.NoMemory;
            }
        }
        return Status.Ok;
    }

    /// <summary>As <see cref="CutsLeaf"/>, of the 2 GB of an address.</summary>
    private bool CutsRegion(ulong at)
    {
        ulong region = GuestAddress.RegionBase(at);
        bool whole = _start <= region && _end - region >= GuestAddress.RegionThirdSize;
        if (whole || !_space.Tree.MayBeRegionLeaf(at, _map))
        {
            return false;
        }
        bool cuts = _space.Options.Policy == SplitPolicy.Eager && _arms != 0;
        ulong stop = GuestAddress.RegionEnd(at, _end);
        for (ulong page = at; !cuts && page < stop; page += GuestAddress.PageSize)
        {
            cuts = (WatchOf(page).Of(GuestAddress.PageIndex(page)) & WatchBits.Restricted) != _restriction;
        }
        return cuts;
    }

    /// <summary>The halfwords of a segment, whose table is linked or deposited.</summary>
    private WatchSegment WatchOf(ulong segment) => _space.Tree.TryFindLinks(segment, out SegmentTable table)
        ? table.Watch.Segment(GuestAddress.SegmentIndex(segment)) : default;

    /// <summary>
    /// Makes a 2 GB leaf as the halfwords say, so far; false: the segment is in none, or not any more. <paramref name="old"/> is what the
    /// pages of the segments from <paramref name="start"/> on were before this step.
    /// </summary>
    private bool WalkRegion(ulong segment, ulong start, ReadOnlySpan<WatchBits> old)
    {
        ulong region = GuestAddress.RegionBase(segment);
        while (_space.Tree.TryFindRegionLeaf(segment, out RegionCell cell, out RegionEntry entry))
        {
            Probe.At(Place.EntryLoaded);
            WatchDirectory watch = cell.Watch;
            WatchBits late = Probe.LeavesOut(Step.ArmAfterWalk) ? _restriction | _arms : WatchBits.None;
            WatchBits any = watch.Union() | late;
            SegmentEntry leaf = entry.Bits;
            SegmentEntry next = any != 0 ? leaf.WithMarkers((any & WatchBits.Shadowed) != 0) : leaf.WithoutMarkers;
            next = (any & WatchBits.Gate) != 0 ? next.WithProtect : next;
            next = (any & WatchBits.NoRead) != 0 ? next.WithAge : _wantsMapped && leaf.IsAged ? next.WithUse : next;
            if (!cell.TryReplace(entry, next))
            {
                continue;
            }
            Probe.At(Place.MarkerSet);
            if ((!leaf.IsProtected && next.IsProtected) || (!leaf.IsInvalid && next.IsInvalid))
            {
                TakeWeakenedRegion(watch, region, start, old);
            }
            return true;
        }
        return false;
    }

    /// <summary>What a page was armed for is due for all; not what this call arms.</summary>
    private void TakeWeakenedRegion(WatchDirectory watch, ulong region, ulong start, ReadOnlySpan<WatchBits> old)
    {
        WatchBits kinds = WatchBits.None;
        for (int page = 0; page < GuestAddress.RegionThirdPages; page++)
        {
            ulong address = region + ((ulong)page << GuestAddress.PageShift);
            ulong step = (address - start) >> GuestAddress.PageShift;
            bool stepped = address >= start && address < _end && step < (ulong)old.Length;
            kinds |= stepped ? old[(int)step] : watch.Segment(GuestAddress.SegmentIndex(address)).Of(GuestAddress.PageIndex(address));
        }
        kinds &= WatchBits.Weakened;
        for (int page = 0; kinds != 0 && page < GuestAddress.RegionThirdPages; page++)
        {
            ulong address = region + ((ulong)page << GuestAddress.PageShift);
            WatchBits keep = address >= _start && address < _end ? _arms : WatchBits.None;
            _space.Watches.Take(watch.Segment(GuestAddress.SegmentIndex(address)), address, kinds, keep);
        }
    }
}
