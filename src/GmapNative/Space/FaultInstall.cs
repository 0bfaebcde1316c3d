using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>What a fault installs where nothing is mapped, and what it does to entries under their table's lock.</summary>
internal sealed partial class FaultResolver
{
    /// <summary>Nothing is mapped in the segment: a leaf if it fits, else a page table of tokens.</summary>
    private int Install(SegmentCell cell, SegmentEntry seen, in Request request, ref FaultOutcome outcome)
    {
        WatchSegment watch = cell.Watch; // as it is in this call: who watches pages waits for it (rule 28)
        if (IsForbidden(watch.Of(request.Page), request))
        {
            return Forbid(request, ref outcome);
        }
        if (space.Options.Huge && request.Slot.FitsLeaf(request.Segment) && AllowsLeaf(watch))
        {
            // A write to a tracked slot maps the leaf clean, and splits it in the next round.
            bool dirty = request.InstallsDirty && !(request.Slot.TracksEntries && space.Options.Policy != SplitPolicy.Never)
                && !watch.Any(WatchBits.Gate);
            SegmentEntry leaf = SegmentEntry.Leaf(request.Slot.HostOf(request.Segment), !request.Slot.IsReadOnly, dirty);
            bool marked = watch.Any(WatchBits.All) && !Probe.LeavesOut(Step.InstallDropsMarkers);
            Probe.At(Place.BytesRead);
            if (cell.TryReplace(seen, marked ? leaf.WithMarkers(watch.Any(WatchBits.Shadowed)) : leaf))
            {
                SpaceCounters.Add(ref _counters.Of(request.Thread).SegmentsMapped);
                outcome.Done |= FaultDone.Mapped;
                outcome.Dirtied += dirty ? request.DirtiedLeaf : 0;
                Probe.At(Place.EntryGrants);
                SummarizeDirtyLeaf(cell, request, dirty);
            }
            return Status.TryAgain;
        }
        return InstallTable(cell, seen, request.Segment, request.Map) ? Status.TryAgain : Status.NoMemory;
    }

    /// <summary>
    /// Links a page table of tokens where nothing is mapped, unless another thread is first; false: no memory. In a section, with the
    /// map that was read in it.
    /// </summary>
    public bool InstallTable(SegmentCell cell, SegmentEntry seen, ulong segment, SlotMap map)
    {
        nint table = _tree.PageTables.TryAllocate();
        if (table == 0)
        {
            return false;
        }
        PageTableBuilder.FillFromTokens(table, segment, map);
        if (!cell.TryReplace(seen, SegmentEntry.Table((ulong)table, split: false, watched: cell.Watch.Any(WatchBits.All))))
        {
            _tree.PageTables.Free(table); // another thread was first
        }
        Probe.At(Place.TableLinked);
        return true;
    }

    /// <summary>A leaf is one restriction for all its pages, and by the policy eager none of them is armed.</summary>
    private bool AllowsLeaf<T>(T watch)
        where T : struct, IWatches =>
        watch.IsNone
        || (watch.Agree(WatchBits.Restricted) && !(space.Options.Policy == SplitPolicy.Eager && watch.Any(WatchBits.Armed)));

    /// <summary>
    /// Maps one page of a page table, makes an aged one young, grants a marked one, or renews an entry that is older than the slot's right
    /// to write (rules 17 and 28).
    /// </summary>
    private int InstallPage(SegmentCell cell, in Request request, ref FaultOutcome outcome)
    {
        if (!cell.TryLock(out PageTable table, out bool frozen))
        {
            return frozen ? Frozen : Status.TryAgain;
        }
        PageEntry seen = table.Load(request.Page);
        WatchBits watch = cell.Watch.Of(request.Page);
        int status = Status.TryAgain;
        if (IsForbidden(watch, request))
        {
            status = Forbid(request, ref outcome);
        }
        else if (request.IsWrite && (seen.IsProtected || !seen.IsPresent)
            && space.Watches.AsksBeforeWrite(watch, request.Address, byHost: false))
        {
            status = Watched;
        }
        else if (seen.IsAged)
        {
            _ = table.TryReplace(request.Page, seen, seen.WithUse);
        }
        else if (seen.IsInvalid)
        {
            InstallPage(cell, table, seen, watch, request, ref outcome);
        }
        else if (!seen.IsWritable && !request.Slot.IsReadOnly)
        {
            _ = table.TryReplace(request.Page, seen, seen.WithWritable);
        }
        else if (request.IsWrite && seen.IsProtected && seen.IsMarked)
        {
            GrantMarked(cell, table, seen, watch, request, ref outcome);
        }
        cell.Unlock();
        return status;
    }

    private void InstallPage(
        SegmentCell cell, PageTable table, PageEntry seen, WatchBits watch, in Request request, ref FaultOutcome outcome)
    {
        ulong frame = request.Slot.HostOf(request.Address & ~(GuestAddress.PageSize - 1));
        bool asks = (watch & WatchBits.Gate) != 0 && !request.IsWrite;
        PageEntry page = PageEntry.Leaf(frame, !request.Slot.IsReadOnly, request.InstallsDirty && !asks);
        if (WatchMarks.Wants(watch) && !Probe.LeavesOut(Step.InstallDropsMarkers))
        {
            page = page.WithMarkers((watch & WatchBits.Shadowed) != 0);
        }
        if (table.TryReplace(request.Page, seen, page))
        {
            SpaceCounters.Add(ref _counters.Of(request.Thread).PagesMapped);
            bool marks = page.IsDirty && !request.Slot.ByGeneration;
            outcome.Done |= marks ? FaultDone.Mapped | FaultDone.Granted : FaultDone.Mapped;
            outcome.Dirtied += marks ? request.DirtiedPage : 0;
            Probe.At(Place.EntryGrants);
            cell.SetSummary(marks ? request.Line : 0);
        }
    }

    /// <summary>
    /// Grants a page that the header and <see cref="MappedAccess"/> leave to us. The marker stays while a weaker mapping is to be told;
    /// what was dirty already becomes it no more. Under the lock of the table.
    /// </summary>
    private void GrantMarked(
        SegmentCell cell, PageTable table, PageEntry seen, WatchBits watch, in Request request, ref FaultOutcome outcome)
    {
        PageEntry next = WatchMarks.Wants(watch) ? seen.WithGrant : seen.WithoutMarkers.WithGrant;
        if (!table.TryReplace(request.Page, seen, next))
        {
            return;
        }
        Probe.At(Place.EntryGrants);
        if (!seen.IsSoftDirty)
        {
            SpaceCounters.Add(ref _counters.Of(request.Thread).PagesGranted);
            outcome.Done |= FaultDone.Granted;
            outcome.Dirtied++;
        }
        cell.SetSummary(request.Line); // rule 1
    }

    private static bool IsForbidden(WatchBits watch, in Request request) =>
        (watch & (request.IsWrite ? WatchBits.Restricted : WatchBits.NoRead)) != 0;

    private int Forbid(in Request request, ref FaultOutcome outcome)
    {
        SpaceCounters.Add(ref _counters.Of(request.Thread).GuestConditions);
        return Refuse(FaultReason.Protected, Status.Protection, ref outcome);
    }

    /// <summary>Whether the first write to some page of a leaf is to be told, or waits: then it is written page by page.</summary>
    private static bool AsksAnywhere(SegmentCell cell) => cell.Watch.Any(WatchBits.Gate);

    /// <summary>Of a leaf that is written as a whole: by the policy never, all its pages.</summary>
    private bool AsksBeforeWrite<T>(T watch, in Request request)
        where T : struct, IWatches
    {
        WatchBits seen = (watch.Any(WatchBits.BeforeWrite) ? WatchBits.Write : WatchBits.None)
            | (watch.Any(WatchBits.BeforeWriteDue) ? WatchBits.WriteDue : WatchBits.None);
        return space.Watches.AsksBeforeWrite(seen, request.Address, byHost: false);
    }
}
