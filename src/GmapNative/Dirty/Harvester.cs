using System.Diagnostics;
using System.Numerics;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>
/// Which pages of a slot were written: look, clear, and harvest (rules 10 to 14). Thread-safe; the managed heap is not touched.
/// </summary>
internal static unsafe class Harvester
{
    /// <summary>A range of pages of a slot that logs.</summary>
    private readonly record struct Range(AddressSpace Space, Slot Slot, SlotTracking Tracking, ulong First, ulong Count)
    {
        public ulong Start => Slot.GuestAddress + (First << Bits.GuestAddress.PageShift);

        public ulong End => Start + (Count << Bits.GuestAddress.PageShift);

        /// <summary>The pages of the range among 64 from an offset into it, as a mask.</summary>
        public ulong MaskAt(ulong offset) => PinnedBitmap.RunMask(0, (int)System.Math.Min(64, Count - offset));
    }

    /// <summary>What becomes of an epoch after its grace.</summary>
    private enum End
    {
        Deliver,
        DeliverByOr,
        Drop,
    }

    /// <summary>See <c>gmap_dirty_get</c>; <paramref name="bitmap"/> may be null.</summary>
    public static int Get(AddressSpace space, uint slotId, ulong first, ulong count, ulong* bitmap, out ulong dirty)
    {
        dirty = 0;
        using var stay = new Stay(space);
        int status = Find(space, slotId, first, count, out Range range);
        if (status != Status.Ok)
        {
            return status;
        }
        SlotTracking tracking = range.Tracking;
        using (tracking.Gate.Hold())
        {
            status = Pour(ref range, rearm: Probe.LeavesOut(Step.GetTakes), tracking.Log, out _);
            for (ulong done = 0; status == Status.Ok && done < count; done += 64)
            {
                ulong bits = (tracking.Log.Peek(first + done) | tracking.Epoch.Peek(first + done)) & range.MaskAt(done);
                dirty += (ulong)BitOperations.PopCount(bits);
                if (Probe.LeavesOut(Step.GetTakes))
                {
                    tracking.Log.Clear(first + done, bits);
                    tracking.Epoch.Clear(first + done, bits);
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
        int status = Find(space, slotId, first, count, out Range range);
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
        status = CollectBits(ref range, bitmap, out bool any, out ulong moves);
        Probe.At(Place.Collected);
        ulong dropped = 0;
        status = any && status == Status.Ok ? Finish(ref range, End.Drop, bitmap, moves, ref dropped) : status;
        Count(space, begin);
        return status;
    }

    /// <summary>See <c>gmap_dirty_harvest</c>.</summary>
    public static int Harvest(
        AddressSpace space, uint slotId, ulong first, ulong count, HarvestFlags flags, ulong* bitmap, nuint words, out ulong dirty)
    {
        dirty = 0;
        long begin = Stopwatch.GetTimestamp();
        using var stay = new Stay(space);
        int status = Find(space, slotId, first, count, out Range range);
        if (status != Status.Ok)
        {
            return status;
        }
        if (words < (nuint)((count + 63) / 64))
        {
            return Status.NoBuffer;
        }
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        Tell.HarvestBegin(space.Number, slotId, first, count, (uint)flags);
        status = Collect(ref range, flags, out bool any, out ulong moves);
        Probe.At(Place.Collected);
        if (status == Status.Ok && !any && (flags & HarvestFlags.Or) == 0)
        {
            Zero(bitmap, count); // nothing found: no barrier, nobody waited for (rule 13)
        }
        End end = (flags & HarvestFlags.Or) != 0 ? End.DeliverByOr : End.Deliver;
        status = any && status == Status.Ok ? Finish(ref range, end, bitmap, moves, ref dirty) : status;
        Count(space, begin);
        SpaceCounters.Add(ref space.Counters.Mine.PagesHarvested, (long)dirty);
        Tell.HarvestEnd(space.Number, slotId, dirty, begin, status);
        return status;
    }

    /// <summary>Take, pour, move: everything that a later failure cannot lose again (rules 10 to 12).</summary>
    private static int Collect(ref Range range, HarvestFlags flags, out bool any, out ulong moves)
    {
        any = false;
        moves = 0;
        SlotTracking tracking = range.Tracking;
        using (tracking.Hold())
        {
            // Straight into the epoch: what a leaf holds outside the range waits there for a harvest of its pages.
            int status = (flags & HarvestFlags.NoRearm) == 0
                ? PourFreezing(ref range, out ulong found)
                : Pour(ref range, rearm: false, tracking.Epoch, out found);
            tracking.Moves += found != 0 ? 1UL : 0;
            if (status == Status.Ok)
            {
                tracking.Moves += tracking.Log.MoveTo(tracking.Epoch, range.First, range.Count) ? 1UL : 0;
                any = tracking.Epoch.Any(range.First, range.Count);
                moves = tracking.Moves;
                Bump(range, any);
            }
            return status;
        }
    }

    /// <summary>As <see cref="Collect"/>, for the set bits of the caller's bitmap.</summary>
    private static int CollectBits(ref Range range, ulong* bitmap, out bool any, out ulong moves)
    {
        any = false;
        SlotTracking tracking = range.Tracking;
        using (tracking.Hold())
        {
            int status = Refresh(ref range);
            for (ulong done = 0; done < range.Count && status == Status.Ok; done += 64)
            {
                ulong bits = bitmap[done / 64] & range.MaskAt(done); // the caller's buffer of (count + 63) / 64 words
                if (bits != 0)
                {
                    status = CollectWord(range, range.First + done, bits);
                    any |= (tracking.Epoch.Peek(range.First + done) & bits) != 0;
                }
            }
            moves = tracking.Moves;
            Bump(range, any);
            return status;
        }
    }

    /// <summary>
    /// Ends cached rights (rule 4) before the grace. Under the harvest lock: the space cannot end before its slots' logs are let go.
    /// </summary>
    private static void Bump(in Range range, bool any)
    {
        if (any && !Probe.LeavesOut(Step.NoBump) && !Probe.LeavesOut(Step.BumpAfterGrace))
        {
            range.Space.Tree.BumpGeneration();
        }
    }

    /// <summary>
    /// Brings everything that is dirty in the range into the log or the epoch. Without <paramref name="rearm"/> its source stays marked
    /// too, which changes nothing for a later harvest: the bits fall together. Under the slot's harvest lock.
    /// </summary>
    private static int Pour(ref Range range, bool rearm, PinnedBitmap into, out ulong found)
    {
        found = 0;
        int status = Refresh(ref range);
        if (status != Status.Ok)
        {
            return status;
        }
        if (range.Slot.Backing is null)
        {
            found = (ulong)new SegmentWalk(range.Space, range.Slot).Take(range.Start, range.End, into, rearm);
        }
        else
        {
            status = range.Slot.Backing.Collect(range.First, range.Count, rearm, into, out found);
        }
        SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, rearm ? (long)found : 0);
        return status;
    }

    /// <summary>As <see cref="Pour"/>, re-arming, into the epoch. Dense segments are frozen (rule 20).</summary>
    private static int PourFreezing(ref Range range, out ulong found)
    {
        found = 0;
        int status = Status.TryAgain;
        while (status == Status.TryAgain)
        {
            status = Refresh(ref range);
            if (status == Status.Ok && range.Slot.Backing is not null)
            {
                status = Pour(ref range, rearm: true, range.Tracking.Epoch, out ulong collected);
                found += collected;
            }
            else if (status == Status.Ok)
            {
                long taken = 0;
                status = new SegmentWalk(range.Space, range.Slot).TakeFreezing(range.Start, range.End, range.Tracking, ref taken);
                SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, taken);
                found += (ulong)taken;
            }
        }
        return status;
    }

    /// <summary>The slot as it is published now, a backing may have come or gone; no entry if it was withdrawn.</summary>
    private static int Refresh(ref Range range)
    {
        Slot? now = range.Space.Map.ById(range.Slot.Id);
        if (now?.Tracking != range.Tracking)
        {
            return Status.NoEntry;
        }
        range = range with { Slot = now! };
        return Status.Ok;
    }

    /// <summary>
    /// Waits for grace, then ends the epoch of the range: only if nothing was moved into it since the grace began, else it waits
    /// again (rule 12).
    /// </summary>
    private static int Finish(ref Range range, End end, ulong* bitmap, ulong moves, ref ulong dirty)
    {
        SlotTracking tracking = range.Tracking;
        for (; ; )
        {
            int status = Probe.LeavesOut(Step.NoGrace) ? Status.Ok : range.Space.Epochs.WaitForGrace();
            if (Probe.LeavesOut(Step.BumpAfterGrace))
            {
                range.Space.Tree.BumpGeneration();
            }
            if (status != Status.Ok)
            {
                return status;
            }
            using (tracking.Gate.Hold())
            {
                status = Refresh(ref range);
                if (status != Status.Ok)
                {
                    return status;
                }
                if (tracking.Moves == moves || Probe.LeavesOut(Step.LogMovesIgnored))
                {
                    EndEpoch(range, end, bitmap, ref dirty);
                    return Status.Ok;
                }
                moves = tracking.Moves;
                Bump(range, any: true); // a harvest that waits for a freeze has moved, and bumps only when it is done
            }
        }
    }

    private static void EndEpoch(in Range range, End end, ulong* bitmap, ref ulong dirty)
    {
        if (end == End.Drop)
        {
            Drop(range, bitmap);
            return;
        }
        if (end == End.Deliver)
        {
            Zero(bitmap, range.Count);
        }
        Deliver(range, bitmap, ref dirty);
    }

    /// <summary>Forgets the set bits of the caller's bitmap.</summary>
    private static void Drop(in Range range, ulong* bitmap)
    {
        for (ulong done = 0; done < range.Count; done += 64)
        {
            ulong bits = bitmap[done / 64] & range.MaskAt(done); // the caller's buffer of (count + 63) / 64 words
            if (bits != 0)
            {
                range.Tracking.Epoch.Clear(range.First + done, bits);
            }
        }
    }

    /// <summary>Moves the epoch into the caller's bitmap by OR.</summary>
    private static void Deliver(in Range range, ulong* bitmap, ref ulong dirty)
    {
        PinnedBitmap epoch = range.Tracking.Epoch;
        ulong end = range.First + range.Count;
        for (ulong at = epoch.Skip(range.First, end); at < end; at = epoch.Skip(at, end))
        {
            ulong offset = (at - range.First) & ~63UL;
            ulong bits = epoch.Peek(range.First + offset) & range.MaskAt(offset);
            bitmap[offset / 64] |= bits; // the caller's buffer, checked to have (count + 63) / 64 words
            epoch.ClearAlone(range.First + offset, bits); // only holders of the harvest lock change an epoch
            dirty += (ulong)BitOperations.PopCount(bits);
            at = range.First + offset + 64;
        }
        epoch.Forget(range.First, range.Count);
    }

    private static void Zero(ulong* bitmap, ulong count) =>
        new System.Span<ulong>(bitmap, (int)((count + 63) / 64)).Clear(); // the caller's buffer, as above

    /// <summary>Takes the dirty ones of <paramref name="bits"/> and moves them into the epoch, where a failure cannot lose them.</summary>
    private static int CollectWord(in Range range, ulong page, ulong bits)
    {
        SlotTracking tracking = range.Tracking;
        int status = Status.Ok;
        ulong taken;
        if (range.Slot.Backing is not null)
        {
            status = CollectMask(range.Slot.Backing, page, bits, tracking.Log, out taken);
        }
        else
        {
            taken = (ulong)new SegmentWalk(range.Space, range.Slot).TakeMask(page, bits, tracking.Log);
        }
        SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, (long)taken);
        ulong found = tracking.Log.Peek(page) & bits;
        if (found != 0)
        {
            _ = tracking.Epoch.Or(page, found);
            tracking.Log.Clear(page, found);
            tracking.Moves++;
        }
        return status;
    }

    private static int CollectMask(ISlotBacking backing, ulong page, ulong bits, PinnedBitmap log, out ulong taken)
    {
        int status = Status.Ok;
        taken = 0;
        while (bits != 0 && status == Status.Ok)
        {
            int from = BitOperations.TrailingZeroCount(bits);
            int length = BitOperations.TrailingZeroCount(~(bits >> from));
            bits &= ~PinnedBitmap.RunMask(from, length);
            status = backing.Collect(page + (ulong)from, (ulong)length, rearm: true, log, out ulong found);
            taken += found;
        }
        return status;
    }

    private static int Find(AddressSpace space, uint slotId, ulong first, ulong count, out Range range)
    {
        range = default;
        Slot? slot = space.Map.ById(slotId);
        if (space.IsDead || slot?.Tracking is null)
        {
            return space.IsDead ? Status.BadHandle : Status.NoEntry;
        }
        range = new Range(space, slot, slot.Tracking, first, count);
        return first > slot.Pages || count > slot.Pages - first ? Status.Invalid : Status.Ok;
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
