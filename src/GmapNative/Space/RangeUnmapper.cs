using System;
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
    /// <summary>Whether the PGSTEs of the pages go too: the slot does (rule 32).</summary>
    public bool DropsPgstes { get; init; }

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
            if (UnmapsRegion(ref next, end) || IsBeyondTables(ref next, end))
            {
                continue;
            }
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
    /// Takes a 2 GB leaf away, which is split first if some of it stays: what it is split into is unmapped then. False: there is none.
    /// </summary>
    private bool UnmapsRegion(ref ulong next, ulong end)
    {
        if (!space.Tree.TryFindRegionLeaf(next, out RegionCell cell, out _)) // no section, as below
        {
            return false;
        }
        ulong region = GuestAddress.RegionBase(next);
        bool whole = next == region && end - region >= GuestAddress.RegionThirdSize;
        if (!whole && space.Options.Policy != SplitPolicy.Never)
        {
            _ = space.SplitRegion(next);
            return false;
        }
        SlotTracking? harvests = Probe.LeavesOut(Step.NoHarvestLockInUnmap) ? null : slot.Tracking;
        harvests?.Take();
        int section = LibrarySections.Enter();
        bool done = UnmapRegion(cell, region);
        LibrarySections.Leave(section);
        harvests?.Exit();
        next = done ? GuestAddress.RegionEnd(next, end) : next;
        return done;
    }

    /// <summary>Under the slot's harvest lock, as <see cref="UnmapSegment"/>. The deposit stays as long as a segment table would.</summary>
    private bool UnmapRegion(RegionCell cell, ulong region)
    {
        for (RegionEntry leaf = cell.Load(); leaf.IsLeaf; leaf = cell.Load())
        {
            if (leaf.Bits.IsSoftDirty && !Probe.LeavesOut(Step.NoPourOnUnmap))
            {
                _log.OrRange(slot.PageOf(region), GuestAddress.RegionThirdPages); // before the source is gone (rule 10)
            }
            Probe.At(Place.Poured);
            RegionEntry token = tokens.HasSlot(region, GuestAddress.RegionThirdSize)
                ? RegionEntry.Empty(TableType.RegionThird) : RegionEntry.Hole(TableType.RegionThird, Status.Addressing);
            if (cell.TryReplace(leaf, token))
            {
                Probe.At(Place.EntryEmptied);
                if (leaf.Bits.IsMarked && !Probe.LeavesOut(Step.UnmapForgetsChange))
                {
                    space.Watches.TakeWeakenedRegion(cell.Watch, region);
                }
                SpaceCounters.Add(ref space.Counters.Mine.PagesUnmapped, GuestAddress.RegionThirdPages);
                return true;
            }
        }
        return false; // split meanwhile
    }

    /// <summary>Passes over what of 2 GB has no segment table. One that comes now is of a fault that comes after this.</summary>
    private bool IsBeyondTables(ref ulong next, ulong end)
    {
        if (space.Tree.TryFind(next, out _)) // no section: only holders of the configuration lock free tables
        {
            return false;
        }
        space.Tree.RefreshRegionToken(next, tokens);
        next = Math.Min(end - 1, space.Tree.LastOnTheWay(next)) + 1;
        return true;
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
        if (entry.IsMarked && !Probe.LeavesOut(Step.UnmapForgetsChange))
        {
            space.Watches.TakeWeakenedLeaf(cell.Watch, segment);
        }
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
        WatchSegment watch = cell.Load().IsWatched && !Probe.LeavesOut(Step.UnmapForgetsChange) ? cell.Watch : default;
        // The table goes if the range is all of it, or if no slot is left in the segment. No entry of it can be marked any more.
        bool goes = count == GuestAddress.PageTableEntries || !tokens.HasSlot(segment, GuestAddress.SegmentSize);
        goes &= !KeepsPgstes(table, first, count);
        if (goes && Probe.LeavesOut(Step.UnlinkBeforeEmpty))
        {
            cell.Unlink(SegmentToken(segment));
        }
        for (int page = first; page < first + count; page++)
        {
            mapped += ClearPage(table, watch, page, segment);
        }
        SpaceCounters.Add(ref space.Counters.Mine.PagesUnmapped, mapped);
        if (goes)
        {
            cell.Unlink(SegmentToken(segment));
            space.Limbo.Add((nint)table.Origin, space.Tree.PageTables.Kind);
            return Status.Ok;
        }
        cell.Unlock();
        return Status.Ok;
    }

    /// <summary>
    /// Whether the table has a PGSTE that is not zero, when those of the range were dropped where the slot goes. It stays so: we hold
    /// <c>LOCK</c>.
    /// </summary>
    private bool KeepsPgstes(PageTable table, int first, int count)
    {
        if (!space.Tree.PageTables.HasPgstes)
        {
            return false;
        }
        if (DropsPgstes)
        {
            table.DropPgstes(first, count);
        }
        return table.AnyPgste;
    }

    /// <summary>
    /// An inline writer may make the page dirty until the entry is invalid: its mark is poured first (rule 10). 1 if it was mapped.
    /// </summary>
    private int ClearPage(PageTable table, WatchSegment watch, int page, ulong segment)
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
            if (entry.IsPresent && Probe.LeavesOut(Step.DueBeforeChange))
            {
                space.Watches.TakeWeakened(watch, address);
            }
            if (!table.TryReplace(page, entry, token))
            {
                continue;
            }
            if (entry.IsPresent)
            {
                space.Watches.TakeWeakened(watch, address); // rule 29
            }
            return entry.IsPresent ? 1 : 0;
        }
    }
}
