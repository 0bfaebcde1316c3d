using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>Explicit control over ranges: unmap, discard, collapse, split, age, populate.</summary>
internal static class RangeCalls
{
    /// <summary>A harvest waits as long as 16 tables are filled; beginning a section for each costs as much as a quarter of that.</summary>
    private const int SplitsInSection = 16;

    /// <summary>See <c>gmap_unmap</c>.</summary>
    public static int Unmap(AddressSpace space, ulong address, ulong size, out ulong next) =>
        TakeAway(space, address, size, forget: false, out next);

    /// <summary>See <c>gmap_discard</c>.</summary>
    public static int Discard(AddressSpace space, ulong address, ulong size, out ulong next) =>
        TakeAway(space, address, size, forget: true, out next);

    /// <summary>See <c>gmap_collapse</c>.</summary>
    public static int Collapse(AddressSpace space, ulong address, ulong size, out ulong collapsed)
    {
        collapsed = 0;
        int status = CheckWaiting(space, address, size);
        if (status != Status.Ok || !space.Options.Huge)
        {
            return status != Status.Ok ? status : Status.NotSupported;
        }
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            foreach (Slot slot in space.Map.Slots)
            {
                if (status == Status.Ok && slot.Clips(address, address + size, out ulong from, out ulong to))
                {
                    status = new RangeCollapser(space, slot, slot.Tracking).Collapse(from, to, ref collapsed);
                }
            }
            int grace = collapsed != 0 ? space.Limbo.Reclaim() : Status.Ok; // no right was taken away
            return status != Status.Ok ? status : grace;
        }
    }

    /// <summary>See <c>gmap_split</c>.</summary>
    public static int Split(AddressSpace space, ulong address, ulong size, out ulong next)
    {
        next = address;
        if (!IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        if (space.Options.Policy == SplitPolicy.Never)
        {
            return Status.NotSupported;
        }
        ulong end = address + size;
        int status = Status.Ok;
        while (next < end && status == Status.Ok)
        {
            int section = LibrarySections.Enter();
            for (int segments = 0; segments < SplitsInSection && next < end && status == Status.Ok; segments++)
            {
                _ = !space.IsDead && space.SplitRegion(next);
                bool found = TryFindAlive(space, next, out SegmentCell cell, out bool dead);
                status = dead ? Status.BadHandle : found ? SplitCell(space, cell, next) : Status.Ok;
                next = status == Status.Ok ? NextBorder(space, next, found, end) : next;
            }
            LibrarySections.Leave(section);
        }
        return status;
    }

    /// <summary>See <c>gmap_age</c>.</summary>
    public static int Age(AddressSpace space, ulong address, ulong size, out ulong young)
    {
        young = 0;
        if (!IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        ulong end = address + size;
        bool dead = false;
        for (ulong at = address; at < end && !dead;)
        {
            int thaws = space.Thaws.Now; // before the look at the segment
            int section = LibrarySections.Enter();
            bool found = TryFindAlive(space, at, out SegmentCell cell, out dead);
            ulong border = dead ? end : NextBorder(space, at, found, end);
            bool frozen = false;
            ulong used = found ? Aging.Age(cell, at, border, out frozen) : dead ? 0 : Aging.AgeRegion(space.Tree, at, border);
            border = !found && !dead && used == 0 && space.Tree.TryFindCell(at, out _) ? at : border; // split between the two looks
            if (used != 0 && !Probe.LeavesOut(Step.AgeWithoutBump))
            {
                space.Tree.BumpGeneration(); // cached translations would hide the next use (rule 24)
                SpaceCounters.Add(ref space.Counters.Mine.PagesAged, (long)used);
            }
            LibrarySections.Leave(section);
            young += used;
            at = frozen ? at : border;
            WaitIf(space, frozen, thaws);
        }
        return dead ? Status.BadHandle : Status.Ok;
    }

    /// <summary>See <c>gmap_populate</c>.</summary>
    public static int Populate(AddressSpace space, ulong address, ulong size, Access access, out ulong next)
    {
        next = address;
        if (!IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        for (ulong end = address + size; next < end;)
        {
            int thaws = space.Thaws.Now; // before the look at the segment
            int section = LibrarySections.Enter();
            int status = space.IsDead ? Status.BadHandle : new Populator(space, access).Advance(end, ref next);
            LibrarySections.Leave(section);
            status = status is FaultResolver.Frozen or FaultResolver.Watched ? space.Faults.Wait(status, next, thaws) : status;
            if (status != Status.Ok)
            {
                return status;
            }
        }
        return Status.Ok;
    }

    /// <summary>Between two sections; a host that is inside with a view of its own costs the freeze its grace (rule 20).</summary>
    private static void WaitIf(AddressSpace space, bool frozen, int thaws)
    {
        if (frozen)
        {
            space.Thaws.WaitPast(thaws);
        }
    }

    private static int TakeAway(AddressSpace space, ulong address, ulong size, bool forget, out ulong next)
    {
        next = address;
        int status = CheckWaiting(space, address, size);
        if (status != Status.Ok || size == 0)
        {
            return status;
        }
        WatchTally tally = space.Watches.Begin();
        ulong end = address + size;
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            status = TakeAwayLocked(space, address, end, forget, tally, out next);
            space.Stays.Enter(); // the space cannot end before its notifiers are told
        }
        space.Watches.Settle(address, end, tally);
        space.Stays.Leave();
        return status;
    }

    private static int TakeAwayLocked(
        AddressSpace space, ulong address, ulong end, bool forget, in WatchTally tally, out ulong next)
    {
        next = address;
        int status = Status.Ok;
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        SlotMap map = space.Map;
        foreach (Slot slot in map.Slots)
        {
            if (status == Status.Ok && slot.Clips(address, end, out ulong from, out ulong to))
            {
                status = new RangeUnmapper(space, slot, map, insist: false).Unmap(from, to, out next);
            }
        }
        Probe.At(Place.Walked);
        next = status == Status.Ok ? end : next;
        if (forget && space.Options.ByGeneration && !Probe.LeavesOut(Step.DiscardAfterGrace))
        {
            PourDenseBits(space, address, next); // before the bump and the grace, which end the rights that they gave (rule 26)
        }
        if (Probe.LeavesOut(Step.ToldBeforeGrace))
        {
            space.Watches.Settle(address, end, tally);
        }
        int grace = space.Limbo.GraceAndReclaim();
        bool timedOut = grace != Status.Ok || status is not (Status.Ok or Status.NoMemory); // now, or halfway
        if (forget && !timedOut)
        {
            if (Probe.LeavesOut(Step.DiscardAfterGrace))
            {
                PourDenseBits(space, address, next);
            }
            ForgetDirty(space, address, next); // after the grace: what was stored by old rights is in the logs, too
        }
        status = status != Status.Ok ? status : grace;
        Tell.Unmap(space.Number, address, end - address, begin, status);
        return status;
    }

    private static int CheckWaiting(AddressSpace space, ulong address, ulong size) =>
        !IsRange(space, address, size) ? Status.Invalid : space.Epochs.IsCallerInside() ? Status.Deadlock : Status.Ok;

    /// <summary>A segment's place, in a section. A space that ended is not looked into: its tables may be gone.</summary>
    private static bool TryFindAlive(AddressSpace space, ulong address, out SegmentCell cell, out bool dead)
    {
        dead = space.IsDead;
        cell = default;
        return !dead && space.Tree.TryFindCell(address, out cell);
    }

    /// <summary>Where the segment ends, or what has no segment table, at most <paramref name="end"/>.</summary>
    private static ulong NextBorder(AddressSpace space, ulong address, bool hasSegment, ulong end)
    {
        ulong last = hasSegment ? address | (GuestAddress.SegmentSize - 1) : space.Tree.LastOnTheWay(address);
        return Math.Min(last, end - 1) + 1;
    }

    private static int SplitCell(AddressSpace space, SegmentCell cell, ulong address)
    {
        SplitOutcome outcome = SplitOutcome.Changed;
        while (outcome == SplitOutcome.Changed && cell.Load().IsLeaf)
        {
            outcome = space.Split(cell, address);
        }
        return outcome == SplitOutcome.NoMemory ? Status.NoMemory : Status.Ok;
    }

    /// <summary>Moves dense bits of start..end-1 into the logs, where they are forgotten or kept. Under the configuration lock.</summary>
    private static void PourDenseBits(AddressSpace space, ulong start, ulong end)
    {
        foreach (Slot slot in space.Map.Slots)
        {
            if (slot.Tracking is not null && slot.Clips(start, end, out ulong from, out ulong to))
            {
                using (slot.Tracking.Hold())
                {
                    _ = new SegmentWalk(space, slot).Take(from, to, slot.Tracking.Everyone);
                }
            }
        }
    }

    /// <summary>
    /// Drops what the logs of slots whose truth is the tables hold of start..end-1; those to whom a discard is a change are told in every
    /// slot. Under the configuration lock.
    /// </summary>
    private static void ForgetDirty(AddressSpace space, ulong start, ulong end)
    {
        foreach (Slot slot in space.Map.Slots)
        {
            if (slot.Tracking is not null && slot.Clips(start, end, out ulong from, out ulong to))
            {
                ulong count = (to - from) >> GuestAddress.PageShift;
                ulong dropped = slot.Tracking.Drop(slot.PageOf(from), count, onlyTell: slot.Backing is not null);
                SpaceCounters.Add(ref space.Counters.Mine.PagesDiscarded, (long)dropped);
                _ = slot.Backing?.Rearm(slot.PageOf(from), count); // where that fails, so does the next harvest
            }
        }
    }

    public static bool IsRange(AddressSpace space, ulong address, ulong size) =>
        GuestAddress.IsPageAligned(address | size) && address + size >= address && (size == 0 || address + size - 1 <= space.Limit);
}
