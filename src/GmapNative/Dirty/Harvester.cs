using System.Diagnostics;
using System.Numerics;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>
/// Which pages of a slot were written: look, clear, and harvest (rules 10 to 14). Thread-safe; the managed heap is not touched.
/// </summary>
internal static unsafe class Harvester
{
    /// <summary>What becomes of an epoch after its grace.</summary>
    private enum End
    {
        Deliver,
        DeliverByOr,
        DeliverRuns,
        Drop,
    }

    /// <summary>The caller's buffers, and what was put there.</summary>
    private ref struct Handout(End end)
    {
        public readonly End End = end;

        /// <summary>(count + 63) / 64 words.</summary>
        public ulong* Bitmap;
        public DirtyRuns Runs;

        /// <summary>Pages delivered.</summary>
        public ulong Dirty;

        /// <summary>The first page of the range that found no room in the runs.</summary>
        public ulong Next;
    }

    /// <summary>See <c>gmap_dirty_get</c>; <paramref name="bitmap"/> may be null.</summary>
    public static int Get(AddressSpace space, uint slotId, ulong first, ulong count, ulong* bitmap, out ulong dirty)
    {
        dirty = 0;
        using var stay = new Stay(space);
        int status = DirtyRange.Find(space, slotId, first, count, out DirtyRange range);
        if (status != Status.Ok)
        {
            return status;
        }
        DirtySink sink = range.Sink;
        using (range.Tracking.Gate.Hold())
        {
            var into = new Outlet(null, sink, sink.Log, range.Tracking);
            status = Collector.Pour(ref range, rearm: Probe.LeavesOut(Step.GetTakes), into, out _);
            for (ulong done = 0; status == Status.Ok && done < count; done += 64)
            {
                ulong bits = (sink.Log.Peek(first + done) | sink.Epoch.Peek(first + done)) & range.MaskAt(done);
                dirty += (ulong)BitOperations.PopCount(bits);
                if (Probe.LeavesOut(Step.GetTakes))
                {
                    sink.Log.Clear(first + done, bits);
                    sink.Epoch.Clear(first + done, bits);
                }
                if (bitmap is not null)
                {
                    bitmap[done / 64] = bits; // the caller's buffer of (count + 63) / 64 words
                }
            }
        }
        return status;
    }

    /// <summary>See <c>gmap_dirty_clear</c>.</summary>
    public static int Clear(AddressSpace space, uint slotId, ulong first, ulong count, ulong* bitmap)
    {
        long begin = Stopwatch.GetTimestamp();
        using var stay = new Stay(space);
        int status = DirtyRange.Find(space, slotId, first, count, out DirtyRange range);
        if (status != Status.Ok)
        {
            return status;
        }
        if ((first & 63) != 0 || ((count & 63) != 0 && first + count != range.Slot.Pages))
        {
            return Status.Invalid;
        }
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        WatchTally tally = space.Watches.Begin();
        status = Collector.CollectBits(ref range, bitmap, out bool any, out ulong moves);
        Probe.At(Place.Collected);
        var handout = new Handout(End.Drop) { Bitmap = bitmap };
        status = any && status == Status.Ok ? Finish(ref range, ref handout, moves) : status;
        space.Watches.Settle(range.Start, range.End, tally);
        Count(space, begin);
        return status;
    }

    /// <summary>See <c>gmap_dirty_harvest</c>.</summary>
    public static int Harvest(
        AddressSpace space, uint slotId, ulong first, ulong count, HarvestFlags flags, ulong* bitmap, nuint words, out ulong dirty)
    {
        dirty = 0;
        using var stay = new Stay(space);
        int status = DirtyRange.Find(space, slotId, first, count, out DirtyRange range);
        if (status != Status.Ok)
        {
            return status;
        }
        if (words < (nuint)((count + 63) / 64))
        {
            return Status.NoBuffer;
        }
        var handout = new Handout((flags & HarvestFlags.Or) != 0 ? End.DeliverByOr : End.Deliver) { Bitmap = bitmap };
        status = Harvest(ref range, flags, ref handout);
        dirty = handout.Dirty;
        return status;
    }

    /// <summary>See <c>gmap_dirty_harvest_ranges</c>.</summary>
    public static int HarvestRuns(
        AddressSpace space, uint slotId, ulong first, ulong count, HarvestFlags flags, ref DirtyRuns runs, out ulong next)
    {
        next = first;
        using var stay = new Stay(space);
        int status = DirtyRange.Find(space, slotId, first, count, out DirtyRange range);
        if (status != Status.Ok)
        {
            return status;
        }
        runs.Slot = slotId;
        var handout = new Handout(End.DeliverRuns) { Runs = runs, Next = first + count };
        status = Harvest(ref range, flags, ref handout);
        runs = handout.Runs;
        next = status == Status.Ok ? handout.Next : first;
        return status;
    }

    private static int Harvest(ref DirtyRange range, HarvestFlags flags, ref Handout handout)
    {
        AddressSpace space = range.Space;
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        long begin = Stopwatch.GetTimestamp();
        Tell.HarvestBegin(space.Number, range.Slot.Id, range.First, range.Count, (uint)flags);
        WatchTally tally = space.Watches.Begin();
        Rearm rearm = (flags & HarvestFlags.NoRearm) == 0 ? Rearm.Yes : Rearm.No;
        int status = Collector.Collect(ref range, rearm, out bool any, out ulong moves);
        Probe.At(Place.Collected);
        if (Probe.LeavesOut(Step.ToldBeforeGrace))
        {
            space.Watches.Settle(range.Start, range.End, tally);
        }
        if (status == Status.Ok && !any && handout.End == End.Deliver)
        {
            Zero(handout.Bitmap, range.Count); // nothing found: no barrier, nobody waited for (rule 13)
        }
        status = any && status == Status.Ok ? Finish(ref range, ref handout, moves) : status;
        space.Watches.Settle(range.Start, range.End, tally);
        Count(space, begin);
        SpaceCounters.Add(ref space.Counters.Mine.PagesHarvested, (long)handout.Dirty);
        Tell.HarvestEnd(space.Number, range.Slot.Id, handout.Dirty, begin, status);
        return status;
    }

    /// <summary>
    /// Waits for grace, then ends the epoch of the range: only if nothing was moved into it since the grace began, else it waits
    /// again (rule 12).
    /// </summary>
    private static int Finish(ref DirtyRange range, ref Handout handout, ulong moves)
    {
        for (; ; )
        {
            int status = WaitForGrace(range.Space);
            if (status != Status.Ok)
            {
                return status;
            }
            using (range.Tracking.Gate.Hold())
            {
                status = range.Refresh();
                if (status != Status.Ok)
                {
                    return status;
                }
                if (range.Sink.Moves == moves || Probe.LeavesOut(Step.LogMovesIgnored))
                {
                    EndEpoch(range, ref handout);
                    return Status.Ok;
                }
                moves = range.Sink.Moves;
                Collector.Bump(range, any: true); // a harvest that waits for a freeze has moved, and bumps only when it is done
            }
        }
    }

    /// <summary>The grace of a harvest that has bumped; a status.</summary>
    internal static int WaitForGrace(AddressSpace space)
    {
        int status = Probe.LeavesOut(Step.NoGrace) ? Status.Ok : space.Epochs.WaitForGrace(bumped: true);
        if (Probe.LeavesOut(Step.BumpAfterGrace))
        {
            space.Tree.BumpGeneration();
        }
        return status;
    }

    private static void EndEpoch(in DirtyRange range, ref Handout handout)
    {
        switch (handout.End)
        {
            case End.Drop:
                Drop(range, handout.Bitmap);
                break;
            case End.DeliverRuns:
                DeliverRuns(range, ref handout);
                break;
            default:
                // The caller's buffer, checked to have (count + 63) / 64 words; only holders of the harvest lock change an epoch.
                bool or = handout.End == End.DeliverByOr;
                handout.Dirty += range.Sink.Epoch.DeliverAlone(range.First, range.Count, handout.Bitmap, or);
                break;
        }
    }

    /// <summary>Forgets the set bits of the caller's bitmap.</summary>
    private static void Drop(in DirtyRange range, ulong* bitmap)
    {
        for (ulong done = 0; done < range.Count; done += 64)
        {
            ulong bits = bitmap[done / 64] & range.MaskAt(done); // the caller's buffer of (count + 63) / 64 words
            if (bits != 0)
            {
                range.Sink.Epoch.Clear(range.First + done, bits);
            }
        }
    }

    /// <summary>Moves the epoch into the caller's runs, as far as there is room: the rest stays for the next harvest.</summary>
    private static void DeliverRuns(in DirtyRange range, ref Handout handout)
    {
        handout.Next = handout.Runs.Take(range.Sink.Epoch, range.First, range.First + range.Count);
        handout.Dirty += handout.Runs.Pages;
    }

    private static void Zero(ulong* bitmap, ulong count) =>
        new System.Span<ulong>(bitmap, (int)((count + 63) / 64)).Clear(); // the caller's buffer, as above

    /// <summary>See <c>gmap_dirty_rate</c>. No entry is looked at, nothing is taken.</summary>
    public static int Rate(AddressSpace space, uint slotId, out RateReading reading)
    {
        reading = default;
        using var stay = new Stay(space);
        SlotTracking? tracking = space.Map.ById(slotId)?.Tracking;
        if (tracking is null || space.IsDead)
        {
            return space.IsDead ? Status.BadHandle : Status.NoEntry;
        }
        using (tracking.Gate.Hold())
        {
            reading = tracking.Rate.Read();
        }
        return Status.Ok;
    }

    private static void Count(AddressSpace space, long begin)
    {
        SpaceCounters.Add(ref space.Counters.Mine.Harvests);
        SpaceCounters.Add(ref space.Counters.Mine.HarvestNanoseconds, Clock.Since(begin));
    }
}

/// <summary><c>GMAP_HARVEST_*</c>.</summary>
[System.Flags]
internal enum HarvestFlags : uint
{
    None = 0,

    /// <summary>OR into the caller's bitmap.</summary>
    Or = 1,

    /// <summary>What is dirty in the tables or the kernel stays marked there.</summary>
    NoRearm = 2,
}
