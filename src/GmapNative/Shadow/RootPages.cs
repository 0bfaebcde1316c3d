using GmapNative.Bits;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>What an attempt to arm storage of the root came to.</summary>
internal enum Arming
{
    /// <summary>It is armed, and was so before.</summary>
    Armed,

    /// <summary>It is armed now: who had the right to write there may still be writing.</summary>
    New,

    /// <summary>Not mapped for this access: the root has to resolve it first, page by page where a leaf is in the way.</summary>
    NeedsFault,

    /// <summary>There are no watch halfwords for it yet.</summary>
    NeedsWatch,

    /// <summary>Somebody is being told of the page, or waits to be (rule 30): it is not armed once more before that is over.</summary>
    Due,

    /// <summary>The segment is frozen: to be looked at again after the thaw (rule 20).</summary>
    Frozen,
}

/// <summary>
/// Arms storage of the root that shadows hang on (rule 35): halfwords and markers as <see cref="RangeProtector"/> sets them (rule 28), but
/// by faults, of single pages under <c>LOCK</c>. In a section of the root, under the family lock.
/// </summary>
internal readonly ref struct RootPages(AddressSpace root, RootHangs hangs)
{
    /// <summary>A page that holds a piece of a guest's table: nobody writes there from the grace on without telling.</summary>
    public Arming ArmTable(ulong page, bool known)
    {
        Arming found = TryLock(page, out SegmentCell cell, out PageTable table, out PageEntry entry);
        if (found != Arming.Armed)
        {
            return found;
        }
        int index = GuestAddress.PageIndex(page);
        WatchSegment watch = cell.Watch;
        if ((watch.Of(index) & WatchBits.BeforeWriteDue) != 0)
        {
            cell.Unlock();
            return Arming.Due;
        }
        WatchBits before = watch.Change(index, WatchBits.None, WatchBits.Table);
        cell.SetWatched();
        PageEntry armed;
        do
        {
            entry = table.Load(index); // an inline writer may be here
            armed = WatchMarks.Apply(entry, watch.Of(index));
        }
        while (!table.TryReplace(index, entry, armed));
        Probe.At(Place.MarkerSet);
        if (!entry.IsProtected)
        {
            // The inner guest's memory, too: those who may write there by a shadow are told (rule 29).
            root.Watches.TakeWeakened(watch, page, before & (WatchBits.Change | WatchBits.Inner));
        }
        cell.Unlock();
        return known && entry.IsProtected && (before & WatchBits.Table) != 0 ? Arming.Armed : Arming.New;
    }

    /// <summary>
    /// A page that a shadow maps: told when its mapping is weakened. For a store it is dirty by now, with its summary bit.
    /// </summary>
    public Arming ArmPage(ulong page, bool write, out ulong host, out bool writable)
    {
        host = 0;
        writable = false;
        Arming found = TryLock(page, out SegmentCell cell, out PageTable table, out PageEntry entry);
        if (found != Arming.Armed)
        {
            return found;
        }
        if (write && entry.IsProtected)
        {
            cell.Unlock();
            return Arming.NeedsFault;
        }
        int index = GuestAddress.PageIndex(page);
        WatchSegment watch = cell.Watch;
        _ = watch.Change(index, WatchBits.None, WatchBits.Inner);
        cell.SetWatched();
        do
        {
            entry = table.Load(index);
        }
        while (!table.TryReplace(index, entry, entry.WithMarkers((watch.Of(index) & WatchBits.Shadowed) != 0)));
        Probe.At(Place.MarkerSet);
        writable = !entry.IsProtected;
        if (writable && !Probe.LeavesOut(Step.ShadowWithoutSummary))
        {
            cell.SetSummary(1u << (index / PageTable.LinePages)); // rule 1: who cleared P may not have come so far
        }
        cell.Unlock();
        host = entry.Frame;
        return Done(page, GuestAddress.PageShift, write && !writable);
    }

    /// <summary>
    /// The same of a 1 MB leaf. Its halfwords first, all of them, because it may be split; whoever weakens the leaf, after this
    /// compare-and-swap, looks at the halfwords after its own. Markers of leaves are taken off by nobody but under the family lock.
    /// </summary>
    public Arming ArmLeaf(ulong segment, bool write, out ulong host, out bool writable)
    {
        host = 0;
        writable = false;
        if (!root.Tree.TryFindCell(segment, out SegmentCell cell) || !cell.Load().IsLeaf)
        {
            return Arming.NeedsFault;
        }
        WatchSegment watch = cell.Watch;
        if (watch.IsNone)
        {
            return Arming.NeedsWatch;
        }
        watch.SetAll(WatchBits.Inner);
        SegmentEntry entry;
        do
        {
            entry = cell.Load();
            if (!entry.IsLeaf || entry.IsInvalid)
            {
                return Done(segment, GuestAddress.SegmentShift, failed: true);
            }
        }
        while (!cell.TryReplace(entry, entry.WithMarkers(watch.Any(WatchBits.Shadowed))));
        Probe.At(Place.MarkerSet);
        writable = !entry.IsProtected;
        if (writable && !Probe.LeavesOut(Step.ShadowWithoutSummary))
        {
            cell.SetSummary(SegmentCell.AllLines); // who granted it may not have come so far
        }
        host = entry.Frame;
        return Done(segment, GuestAddress.SegmentShift, write && !writable);
    }

    /// <summary>The same of a 2 GB leaf, its halfwords beside the deposit. P = 0 says all of it: it has no summary (rule 33).</summary>
    public Arming ArmRegion(ulong region, bool write, out ulong host, out bool writable)
    {
        host = 0;
        writable = false;
        if (!root.Tree.TryFindRegionLeaf(region, out RegionCell cell, out RegionEntry entry) || entry.IsInvalid
            || (write && entry.IsProtected))
        {
            return Arming.NeedsFault;
        }
        WatchDirectory watch = cell.Watch;
        if (watch.CountWatched() != GuestAddress.TableEntries)
        {
            return Arming.NeedsWatch;
        }
        for (int i = 0; i < GuestAddress.TableEntries; i++)
        {
            watch.Segment(i).SetAll(WatchBits.Inner);
        }
        do
        {
            if (!root.Tree.TryFindRegionLeaf(region, out cell, out entry) || entry.IsInvalid)
            {
                return Done(region, GuestAddress.RegionThirdShift, failed: true);
            }
        }
        while (!cell.TryReplace(entry, entry.Bits.WithMarkers(watch.Any(WatchBits.Shadowed))));
        Probe.At(Place.MarkerSet);
        host = entry.Frame;
        writable = !entry.IsProtected;
        return Done(region, GuestAddress.RegionThirdShift, write && !writable);
    }

    /// <summary>What was armed in vain, a harvest took the right meanwhile, is armed no longer unless something else needs it.</summary>
    private Arming Done(ulong address, byte shift, bool failed)
    {
        if (failed)
        {
            hangs.Disarm(address, shift, WatchBits.Inner);
        }
        return failed ? Arming.NeedsFault : Arming.Armed;
    }

    private Arming TryLock(ulong page, out SegmentCell cell, out PageTable table, out PageEntry entry)
    {
        table = default;
        entry = default;
        if (!root.Tree.TryFindCell(page, out cell) || !cell.Load().IsTable)
        {
            return Arming.NeedsFault;
        }
        if (cell.Watch.IsNone)
        {
            return Arming.NeedsWatch;
        }
        if (!cell.TryLock(out table, out bool frozen))
        {
            return frozen ? Arming.Frozen : Arming.NeedsFault;
        }
        entry = table.Load(GuestAddress.PageIndex(page));
        if (entry.IsInvalid || !entry.IsPresent)
        {
            cell.Unlock();
            return Arming.NeedsFault;
        }
        return Arming.Armed;
    }
}
