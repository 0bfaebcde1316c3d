using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Maps ranges ahead of use, with the same outcome as faults one after the other. Where nothing is mapped, tables are built unlinked and
/// linked by one compare-and-swap (rule 16); everything else is done by <see cref="FaultResolver"/>. In a section, which is short: a
/// change of configuration waits for it (rule 19).
/// </summary>
internal readonly ref struct Populator(AddressSpace space, Access access)
{
    private const int TablesAtOnce = 64; // 128 KB (with PGSTEs 256 KB), about 15 microseconds
    private const int TablesAhead = 2;   // for which the cache is asked

    private readonly bool _isWrite = (access & Access.Write) != 0;
    private readonly int _thread = View.CurrentThread;

    /// <summary>
    /// Maps from <paramref name="next"/> on, at least one page and not beyond <paramref name="end"/>, and sets it to where to go on. A
    /// status as of a fault, or <see cref="FaultResolver.Frozen"/> or <see cref="FaultResolver.Watched"/>: what was mapped before stays.
    /// </summary>
    public int Advance(ulong end, ref ulong next)
    {
        SlotMap map = space.Map;
        Slot? slot = map.Find(next);
        bool told = Tell.Hears(GmapEvents.Keywords.Faults | GmapEvents.Keywords.Splits); // of each fault: so there must be each
        if (slot is null || told || slot.ByGeneration || slot.Missing is not null || (_isWrite && slot.IsReadOnly))
        {
            return ByFaults(end, ref next);
        }
        if (slot.FitsRegion(GuestAddress.RegionBase(next)) && space.Tree.HasRegionLeaves && !space.Tree.TryFind(next, out _))
        {
            return ByFaults(end, ref next); // 2 GB by one
        }
        ulong before = next;
        ulong stop = Unwatched(next, Math.Min(end, slot.End));
        if (stop <= next)
        {
            return ByFaults(end, ref next);
        }
        ulong segment = GuestAddress.SegmentBase(next);
        int status;
        if (!space.Options.Huge || !slot.FitsLeaf(segment))
        {
            status = Tables(slot, map, stop, splits: false, ref next);
        }
        else if (_isWrite && slot.TracksEntries && space.Options.Policy != SplitPolicy.Never)
        {
            status = Tables(slot, map, stop, splits: true, ref next);
        }
        else
        {
            status = Leaves(slot, map, stop, ref next);
        }
        return status == Status.Ok && next == before ? ByFaults(end, ref next) : status;
    }

    /// <summary>Where the first segment from <paramref name="at"/> on begins that has watch halfwords: faults map it (rule 28).</summary>
    private ulong Unwatched(ulong at, ulong stop)
    {
        if (!space.Tree.TryFind(at, out SegmentTable table) || table.Watch.IsNone)
        {
            return stop; // nothing goes beyond these 2 GB in one step
        }
        int first = GuestAddress.SegmentIndex(at);
        int count = table.Watch.CountUnwatched(first, GuestAddress.TableEntries);
        return GuestAddress.SegmentStart(GuestAddress.RegionBase(at), first + count, stop);
    }

    /// <summary>Entry by entry, to the end of the segment.</summary>
    private int ByFaults(ulong end, ref ulong next)
    {
        ulong stop = Math.Min(end - 1, next | (GuestAddress.SegmentSize - 1));
        int status = Status.Ok;
        while (status == Status.Ok && next <= stop)
        {
            status = space.Faults.Resolve(next, access, _thread, out FaultOutcome outcome);
            if (status == Status.Ok)
            {
                // By generation a leaf is written page by page.
                bool byPage = _isWrite && space.Map.Find(next) is { ByGeneration: true, Tracking: not null };
                ulong size = byPage ? GuestAddress.PageSize : outcome.LeafSize;
                next = Math.Min(end, (next & ~(size - 1)) + size);
            }
        }
        return status;
    }

    /// <summary>Leaves as far as one segment table reaches, and nothing else is mapped.</summary>
    private int Leaves(Slot slot, SlotMap map, ulong stop, ref ulong next)
    {
        int first = GuestAddress.SegmentIndex(next);
        ulong region = GuestAddress.RegionBase(next);
        ulong last = Math.Min(stop - 1, region + GuestAddress.RegionThirdSize - 1);
        ulong whole = GuestAddress.SegmentBase(slot.End); // of the slot's last, ragged segment no leaf is possible
        int end = last < whole ? GuestAddress.SegmentIndex(last) + 1 : GuestAddress.SegmentIndex(whole - 1) + 1;
        bool dirty = IsDirty(slot);
        SegmentEntry leaf = SegmentEntry.Leaf(slot.HostOf(GuestAddress.SegmentBase(next)), !slot.IsReadOnly, dirty);
        int done = 0;
        if (space.Tree.TryFind(next, out SegmentTable table))
        {
            done = table.InstallLeaves(first, end, leaf, dirty);
        }
        else if (space.Tree.TryLinkLeaves(region, map, first, end, leaf, dirty, out bool noMemory))
        {
            done = end - first;
        }
        else if (noMemory)
        {
            return Status.NoMemory;
        }
        if (done != 0)
        {
            ref CounterWords counted = ref space.Counters.Of(_thread);
            SpaceCounters.Add(ref counted.SegmentsMapped, done);
            SpaceCounters.Add(ref _isWrite ? ref counted.WriteFaults : ref counted.ReadFaults, done);
            next = GuestAddress.SegmentStart(region, first + done, stop);
        }
        return Status.Ok;
    }

    /// <summary>
    /// Page tables for segments in which nothing is mapped; <paramref name="splits"/>: such as faults leave that map a clean leaf, split
    /// it, and grant page by page.
    /// </summary>
    private int Tables(Slot slot, SlotMap map, ulong stop, bool splits, ref ulong next)
    {
        if (!space.Tree.TryMakeCell(next, map, out _) || !space.Tree.TryFind(next, out SegmentTable table))
        {
            return Status.NoMemory;
        }
        Span<nint> spare = stackalloc nint[TablesAtOnce];
        int first = GuestAddress.SegmentIndex(next);
        int wanted = Math.Min(TablesAtOnce, table.CountUnmapped(first, LastOf(slot, stop, splits, next) + 1));
        int got = wanted == 0 ? 0 : space.Tree.PageTables.TryAllocate(spare[..wanted]);
        // All are filled before the first is linked: a locked instruction waits until every store before it has reached the cache.
        ulong at = next;
        for (int i = 0; i < got; i++)
        {
            at = Fill(slot, map, spare[i], spare[Math.Min(i + TablesAhead, got - 1)], at, stop, splits);
        }
        ulong before = next;
        int used = 0;
        while (used < got && TryLink(table, spare[used], stop, splits, IsDirty(slot), ref next))
        {
            used++;
        }
        Count((long)((next - before) >> GuestAddress.PageShift), splits ? used : 0);
        for (int i = used; i < got; i++)
        {
            space.Tree.PageTables.Free(spare[i]); // somebody else mapped what it was for
        }
        return got < wanted ? Status.NoMemory : Status.Ok;
    }

    /// <summary>The last segment of the run that <see cref="Tables"/> may fill, by its index.</summary>
    private int LastOf(Slot slot, ulong stop, bool splits, ulong at)
    {
        ulong last = Math.Min(stop - 1, at | (GuestAddress.RegionThirdSize - 1));
        // Of a slot in which leaves fit, those at its ragged ends are a run of their own.
        bool leaves = space.Options.Huge && (splits || slot.FitsLeaf(GuestAddress.SegmentBase(at) + GuestAddress.SegmentSize));
        ulong border = splits ? GuestAddress.SegmentBase(slot.End) - 1 : leaves ? at | (GuestAddress.SegmentSize - 1) : last;
        return GuestAddress.SegmentIndex(Math.Min(last, border));
    }

    /// <summary>Whether new entries begin dirty: by a write, and where the tables are not the truth, for nothing is armed there.</summary>
    private bool IsDirty(Slot slot) => !slot.IsReadOnly && (_isWrite || !slot.TracksEntries);

    private static int CountOf(ulong at, ulong stop) =>
        (int)Math.Min((stop - at) >> GuestAddress.PageShift, (ulong)(GuestAddress.PageTableEntries - GuestAddress.PageIndex(at)));

    /// <summary>Builds the table of a segment: the pages from <paramref name="at"/> to the end of the segment or of the range.</summary>
    private ulong Fill(Slot slot, SlotMap map, nint table, nint ahead, ulong at, ulong stop, bool splits)
    {
        int count = CountOf(at, stop);
        if (count != GuestAddress.PageTableEntries)
        {
            Surround(slot, map, table, GuestAddress.SegmentBase(at), splits);
        }
        PageEntry page = PageEntry.Leaf(slot.HostOf(at), !slot.IsReadOnly, IsDirty(slot));
        PageTableBuilder.FillPages(table, GuestAddress.PageIndex(at), count, page, ahead);
        return at + ((ulong)count << GuestAddress.PageShift);
    }

    /// <summary>Links one of them; false: something is mapped in the segment.</summary>
    private static bool TryLink(SegmentTable segments, nint table, ulong stop, bool splits, bool dirty, ref ulong next)
    {
        SegmentCell cell = segments.Cell(GuestAddress.SegmentIndex(next));
        SegmentEntry seen = cell.Load();
        Probe.At(Place.EntryLoaded);
        if (seen.IsLeaf || seen.IsTable)
        {
            return false;
        }
        int count = CountOf(next, stop);
        Probe.At(Place.ChildBuilt);
        seen = Probe.LeavesOut(Step.LinkOverwrites) ? cell.Load() : seen;
        if (!cell.TryReplace(seen, SegmentEntry.Table((ulong)table, splits)))
        {
            return false;
        }
        Probe.At(Place.TableLinked);
        cell.SetSummary(dirty ? PageTable.LinesOf(GuestAddress.PageIndex(next), count) : 0); // the entry first, as everywhere (rule 1)
        next += (ulong)count << GuestAddress.PageShift;
        return true;
    }

    /// <summary>What the other pages of the table hold: of a split leaf clean ones, else tokens.</summary>
    private static void Surround(Slot slot, SlotMap map, nint table, ulong segment, bool splits)
    {
        if (splits)
        {
            PageTableBuilder.FillPages(table, 0, GuestAddress.PageTableEntries, PageEntry.Leaf(slot.HostOf(segment), true, dirty: false));
        }
        else
        {
            PageTableBuilder.FillFromTokens(table, segment, map);
        }
    }

    private void Count(long pages, int splits)
    {
        if (pages == 0)
        {
            return;
        }
        ref CounterWords counted = ref space.Counters.Of(_thread);
        SpaceCounters.Add(ref _isWrite ? ref counted.WriteFaults : ref counted.ReadFaults, pages);
        SpaceCounters.Add(ref splits != 0 ? ref counted.PagesGranted : ref counted.PagesMapped, pages);
        if (splits != 0)
        {
            SpaceCounters.Add(ref counted.SegmentsMapped, splits);
            SpaceCounters.Add(ref counted.Splits, splits);
        }
    }
}
