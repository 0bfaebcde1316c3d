using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Takes the mappings of one slot away. Under the configuration lock; enters sections of its own, one a segment. What it unlinks
/// waits in <see cref="Limbo"/>; the caller takes the grace.
/// </summary>
/// <param name="space">The space.</param>
/// <param name="slot">The slot whose pages they are; its log gets the dirty bits.</param>
/// <param name="tokens">What to leave behind: a map with the slot (empty entries) or without it (holes).</param>
/// <param name="insist">Go on when readers hold a full limbo; the status tells.</param>
internal sealed class RangeUnmapper(AddressSpace space, Slot slot, SlotMap tokens, bool insist)
{
    // Where the kernel is the truth the entries' marks say nothing (rule 21).
    private readonly Outlet _log = slot.TracksEntries ? slot.Tracking!.EveryoneCounted : Outlet.None;

    /// <summary>
    /// Unmaps start..end-1 of the slot (page aligned). No memory (a split) and timed out (limbo full of tables that
    /// readers hold): everything below <paramref name="next"/> is unmapped.
    /// </summary>
    public int Unmap(ulong start, ulong end, out ulong next)
    {
        int held = Status.Ok;
        next = start;
        while (next < end)
        {
            ulong segment = GuestAddress.SegmentBase(next);
            ulong stop = end - segment < GuestAddress.SegmentSize ? end : segment + GuestAddress.SegmentSize;
            if (space.Limbo.IsFull && held == Status.Ok)
            {
                held = space.Limbo.GraceAndReclaim();
            }
            space.Limbo.EnsureRoom();
            int status = held != Status.Ok && !insist ? held : UnmapSegment(segment, next, stop);
            if (status != Status.Ok)
            {
                return status;
            }
            next = stop;
        }
        return held;
    }

    /// <summary>
    /// Under the slot's harvest lock: between the pour of a bit and the end of its entry no harvest may take the entry, or a writer
    /// could mark it again unseen (rule 18).
    /// </summary>
    private int UnmapSegment(ulong segment, ulong start, ulong end)
    {
        SlotTracking? harvests = slot.Tracking;
        harvests = Probe.LeavesOut(Step.NoHarvestLockInUnmap) || Probe.LeavesOut(Step.UnlinkBeforeEmpty) ? null : harvests;
        harvests?.Take();
        int section = LibrarySections.Enter();
        int status = Status.TryAgain;
        while (status == Status.TryAgain)
        {
            if (!space.Tree.TryFindCell(segment, out SegmentCell cell))
            {
                space.Tree.RefreshRegionToken(segment, tokens);
                status = Status.Ok;
                break;
            }
            SegmentEntry entry = cell.Load();
            status = entry.IsLeaf ? UnmapLeaf(cell, entry, segment, start, end)
                : entry.IsTable ? UnmapTable(cell, segment, start, end)
                : cell.TryReplace(entry, SegmentToken(segment)) ? Status.Ok : Status.TryAgain;
        }
        LibrarySections.Leave(section);
        harvests?.Exit();
        return status;
    }

    private SegmentEntry SegmentToken(ulong segment) =>
        tokens.HasSlot(segment, GuestAddress.SegmentSize) ? SegmentEntry.Empty : SegmentEntry.Hole(Status.Addressing);

    private int UnmapLeaf(SegmentCell cell, SegmentEntry entry, ulong segment, ulong start, ulong end)
    {
        bool whole = end - start == GuestAddress.SegmentSize;
        if (!whole && space.Options.Policy != SplitPolicy.Never)
        {
            SplitOutcome split = space.Split(cell, segment);
            return split == SplitOutcome.NoMemory ? Status.NoMemory : Status.TryAgain;
        }
        if (entry.IsSoftDirty && !Probe.LeavesOut(Step.NoPourOnUnmap))
        {
            _log.OrRange(slot.PageOf(segment), GuestAddress.PageTableEntries); // before the source is gone (rule 10)
        }
        Probe.At(Place.Poured);
        if (!cell.TryReplace(entry, SegmentToken(segment)))
        {
            return Status.TryAgain;
        }
        Probe.At(Place.EntryEmptied);
        SpaceCounters.Add(ref space.Counters.Mine.PagesUnmapped, GuestAddress.PageTableEntries);
        return Status.Ok;
    }

    private int UnmapTable(SegmentCell cell, ulong segment, ulong start, ulong end)
    {
        if (!cell.TryLock(out PageTable table))
        {
            return Status.TryAgain;
        }
        int first = GuestAddress.PageIndex(start);
        int count = (int)((end - start) >> GuestAddress.PageShift);
        int mapped = 0;
        // The table goes if the range is all of it, or if no slot is left in the segment. No entry of it can be marked any more.
        bool goes = count == GuestAddress.PageTableEntries || !tokens.HasSlot(segment, GuestAddress.SegmentSize);
        if (goes && Probe.LeavesOut(Step.UnlinkBeforeEmpty))
        {
            cell.Unlink(SegmentToken(segment));
        }
        for (int page = first; page < first + count; page++)
        {
            mapped += ClearPage(table, page, segment);
        }
        SpaceCounters.Add(ref space.Counters.Mine.PagesUnmapped, mapped);
        if (goes)
        {
            cell.Unlink(SegmentToken(segment));
            space.Limbo.Add((nint)table.Origin, TableKind.Page);
            return Status.Ok;
        }
        cell.Unlock();
        return Status.Ok;
    }

    /// <summary>
    /// An inline writer may make the page dirty until the entry is invalid: its mark is poured first (rule 10). 1 if it was mapped.
    /// </summary>
    private int ClearPage(PageTable table, int page, ulong segment)
    {
        ulong address = segment + ((ulong)page << GuestAddress.PageShift);
        PageEntry token = PageTableBuilder.TokenOf(address, tokens);
        for (; ; )
        {
            PageEntry entry = table.Load(page);
            if (entry.IsSoftDirty && !Probe.LeavesOut(Step.NoPourOnUnmap))
            {
                _log.OrRange(slot.PageOf(address), 1);
            }
            if (entry.IsPresent)
            {
                Probe.At(Place.Poured);
            }
            if (table.TryReplace(page, entry, token))
            {
                return entry.IsPresent ? 1 : 0;
            }
        }
    }
}
