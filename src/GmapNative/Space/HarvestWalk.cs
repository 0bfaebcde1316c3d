using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// A harvest's take: walks the segments of a slot whose summary word says that something may be dirty, re-arms, and pours into the
/// epoch of a consumer (rule 11). Enters sections of its own. Under the slot's harvest turn and lock; the lock is let go while a freeze
/// waits. Allocates nothing.
/// </summary>
internal ref struct HarvestWalk
{
    private const int Batch = 64;

    /// <summary>Of page tables, brought near for a batch: what the near cache holds beside the rest.</summary>
    private const int MostLines = 256;

    /// <summary>Regions of 2 GB in which nothing was found, in one section.</summary>
    private const int CleanRegions = 64;

    private readonly AddressSpace _space;
    private readonly Slot _slot;
    private readonly EpochOutlet _outlet;
    private readonly SegmentWalk _walk;
    private SegmentFreezer _freezer;

    // Addresses of segments that wait for the freezer; the caller's.
    private readonly Span<ulong> _dense;
    private int _denseCount;
    private long _taken;

    /// <param name="space">The space.</param>
    /// <param name="slot">The slot as it is published now.</param>
    /// <param name="tracking">Whose turn and lock are held.</param>
    /// <param name="sink">The consumer whose epoch gets it; the others' logs get it too.</param>
    /// <param name="dense">Room for <see cref="Room"/> addresses.</param>
    public HarvestWalk(AddressSpace space, Slot slot, SlotTracking tracking, DirtySink sink, Span<ulong> dense)
    {
        _space = space;
        _slot = slot;
        _outlet = new EpochOutlet(tracking, sink);
        _walk = new SegmentWalk(space, slot);
        _freezer = new SegmentFreezer(space, slot, tracking, sink);
        _dense = dense;
    }

    /// <summary>A chunk of the freezer's, and what a batch adds to it.</summary>
    public static int Room => SegmentFreezer.Chunk + Batch;

    /// <summary>
    /// Takes start..end-1 (page aligned, inside the slot). A leaf that is only partly in the range is taken as a whole. Dense segments are
    /// frozen (rule 20). <see cref="Status.TryAgain"/>: the slot was changed meanwhile, some may be left.
    /// </summary>
    public int Take(ulong start, ulong end, out long taken)
    {
        int status = Status.Ok;
        for (ulong at = start; at < end && status == Status.Ok;)
        {
            at = TakeStretch(at, end);
            if (_denseCount != 0 && (at == end || _denseCount >= SegmentFreezer.Chunk))
            {
                status = _freezer.Take(_dense[.._denseCount], ref _taken);
                _denseCount = 0;
            }
        }
        taken = _taken;
        return status;
    }

    /// <summary>
    /// What one section takes: clean regions, and one in which something was found. Returns where to go on: in the middle of a region if
    /// the freezer has enough.
    /// </summary>
    private ulong TakeStretch(ulong start, ulong end)
    {
        ulong at = start;
        long before = _taken + _denseCount;
        int section = LibrarySections.Enter();
        for (int regions = 0; at < end && regions < CleanRegions && _taken + _denseCount == before; regions++)
        {
            ulong stop = GuestAddress.RegionEnd(at, end);
            // The leaf first: if it is split after that, there is a table then (rule 33).
            bool leaf = _space.Tree.HasRegionLeaves && TakeLeaf(at, stop) && Probe.LeavesOut(Step.RegionChildrenLeft);
            SegmentTable table = default;
            bool found = !leaf && _space.Tree.TryFind(at, out table);
            PrefetchNext(stop, end, found && table.Stripes != 0);
            at = found ? TakeRegion(table, at, stop, start, end) : stop;
        }
        LibrarySections.Leave(section);
        return at;
    }

    /// <summary>No processor foresees where the next table is. Where this one has marks, that one may have.</summary>
    private readonly void PrefetchNext(ulong at, ulong end, bool hasMarks)
    {
        if (at < end && _space.Tree.TryFind(at, out SegmentTable next))
        {
            next.PrefetchStripes();
            if (hasMarks)
            {
                next.PrefetchSummaries();
            }
        }
    }

    /// <summary>Takes a 2 GB leaf as a whole, if there is one; what was split meanwhile is for <see cref="TakeRegion"/>.</summary>
    private bool TakeLeaf(ulong at, ulong stop)
    {
        bool found = _space.Tree.TryFindRegionLeaf(at, out RegionCell cell, out RegionEntry leaf);
        if (found && leaf.Bits.IsSoftDirty)
        {
            ulong first = _slot.PageOf(GuestAddress.RegionBase(at));
            Outlet into = _outlet.Of(first, GuestAddress.RegionThirdPages, out bool whole);
            long taken = RegionTake.Leaf(cell, _slot, at, stop, into, _space.Watches, rearm: true);
            _outlet.Count(whole, taken);
            _taken += taken;
        }
        return found;
    }

    /// <summary>Takes at..stop-1, a part of a region; start..end-1 is the range of the harvest.</summary>
    private ulong TakeRegion(SegmentTable table, ulong at, ulong stop, ulong start, ulong end)
    {
        ulong region = GuestAddress.RegionBase(at);
        var flagged = new FlaggedSegments(table, GuestAddress.SegmentIndex(at), GuestAddress.SegmentIndex(stop - 1) + 1);
        Span<int> batch = stackalloc int[Batch];
        while (_denseCount < SegmentFreezer.Chunk)
        {
            int count = flagged.Read(batch);
            if (count == 0)
            {
                flagged.Forget(at - region, stop - region);
                return stop;
            }
            Prefetch(table, region, batch[..count]);
            Outlet into = OutletOf(region, batch[0], batch[count - 1], out bool whole);
            long before = _taken;
            foreach (int index in batch[..count])
            {
                TakeSegment(table.Cell(index), region + ((ulong)index << GuestAddress.SegmentShift), start, end, into);
            }
            _outlet.Count(whole, _taken - before);
        }
        return GuestAddress.SegmentStart(region, flagged.Next, stop);
    }

    private readonly Outlet OutletOf(ulong region, int firstIndex, int lastIndex, out bool whole)
    {
        ulong begin = Math.Max(region + ((ulong)firstIndex << GuestAddress.SegmentShift), _slot.GuestAddress);
        ulong end = region + ((ulong)(lastIndex + 1) << GuestAddress.SegmentShift);
        return _outlet.Of(_slot.PageOf(begin), (end - begin) >> GuestAddress.PageShift, out whole);
    }

    private void TakeSegment(SegmentCell cell, ulong segment, ulong start, ulong end, in Outlet into)
    {
        if (segment < start || end - segment < GuestAddress.SegmentSize)
        {
            _taken += _walk.TakeSegment(cell, segment, start, end, into, rearm: true);
            return;
        }
        SegmentEntry entry = cell.Load();
        bool watched = entry.IsWatched && !Probe.LeavesOut(Step.WatchedTakenFast);
        if (entry.IsLeaf || watched)
        {
            _taken += _walk.TakeSegment(cell, segment, start, end, into, rearm: true); // or its children, if it is split now
        }
        else if (_freezer.Suits(cell))
        {
            _dense[_denseCount++] = segment;
        }
        else if (entry.IsTable)
        {
            _taken += DirtyTake.Table(cell, new PageTable(entry.TableOrigin), _slot.PageOf(segment), into, _space.Watches, segment);
        }
    }

    /// <summary>
    /// Where writes are sparse each segment is a chain of cache misses: entry, page table, epoch. Side by side they cost a third.
    /// </summary>
    private readonly void Prefetch(SegmentTable table, ulong region, ReadOnlySpan<int> batch)
    {
        foreach (int index in batch)
        {
            table.PrefetchEntry(index);
            ulong segment = region + ((ulong)index << GuestAddress.SegmentShift);
            _outlet.Each.Prefetch(segment < _slot.GuestAddress ? 0 : _slot.PageOf(segment));
        }
        Span<nint> lines = stackalloc nint[MostLines];
        int count = 0;
        foreach (int index in batch)
        {
            SegmentCell cell = table.Cell(index);
            SegmentEntry entry = cell.Load();
            if (entry.IsTable && !entry.IsWatched && !_freezer.Suits(cell)) // the freezer brings its own near, later
            {
                count = new PageTable(entry.TableOrigin).AddLines(cell.Summary, lines, count);
            }
        }
        PageTable.BringNear(lines[..count]);
    }
}
