using System.Numerics;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>What a take does to the marks of what it takes.</summary>
internal enum Rearm
{
    /// <summary>They stay.</summary>
    No,
    Yes,

    /// <summary>Those of the kernel stay until <see cref="ISlotBacking.Settle"/>: what a restore copies would be marked again.</summary>
    KernelLater,
}

/// <summary>
/// Take and pour: brings what is dirty in the tables, or the kernel, and in a consumer's log into its epoch, and into the logs of the
/// others (rules 10 to 12 and 25). What is in an epoch cannot be lost by a later failure.
/// </summary>
internal static unsafe class Collector
{
    /// <summary>
    /// Everything of the range. <paramref name="any"/>: the epoch has something, and a grace is due; <paramref name="moves"/> tells
    /// whether something came since. The generation is bumped if there was anything.
    /// </summary>
    public static int Collect(ref DirtyRange range, Rearm rearm, out bool any, out ulong moves)
    {
        any = false;
        moves = 0;
        DirtySink sink = range.Sink;
        using (range.Tracking.Hold())
        {
            // Straight into the epoch: what a leaf holds outside the range waits there for a harvest of its pages.
            int status = rearm != Rearm.No ? PourFreezing(ref range, rearm, out ulong found)
                : Pour(ref range, rearm: false, new Outlet(null, sink, sink.Epoch), out found);
            sink.Moves += found != 0 ? 1UL : 0;
            if (status == Status.Ok)
            {
                _ = sink.MoveOut(range.First, range.Count);
                any = sink.Epoch.Any(range.First, range.Count);
                moves = sink.Moves;
                Bump(range, any && (found != 0 || !Probe.LeavesOut(Step.BumpForOwnTakeOnly)));
                if (rearm != Rearm.No)
                {
                    range.Tracking.Rate.EndTake(range.First);
                }
            }
            return status;
        }
    }

    /// <summary>As <see cref="Collect"/>, for the set bits of the caller's bitmap.</summary>
    public static int CollectBits(ref DirtyRange range, ulong* bitmap, out bool any, out ulong moves)
    {
        any = false;
        DirtySink sink = range.Sink;
        using (range.Tracking.Hold())
        {
            int status = range.Refresh();
            for (ulong done = 0; done < range.Count && status == Status.Ok; done += 64)
            {
                ulong bits = bitmap[done / 64] & range.MaskAt(done); // the caller's buffer of (count + 63) / 64 words
                if (bits != 0)
                {
                    status = CollectWord(range, range.First + done, bits);
                    any |= (sink.Epoch.Peek(range.First + done) & bits) != 0;
                }
            }
            moves = sink.Moves;
            Bump(range, any);
            range.Tracking.Rate.EndTake(range.First);
            return status;
        }
    }

    /// <summary>
    /// Ends cached rights (rule 4) before the grace. Under the harvest lock: the space cannot end before its slots' logs are let go.
    /// </summary>
    public static void Bump(in DirtyRange range, bool any)
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
    public static int Pour(ref DirtyRange range, bool rearm, in Outlet into, out ulong found)
    {
        found = 0;
        int status = range.Refresh();
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
    private static int PourFreezing(ref DirtyRange range, Rearm rearm, out ulong found)
    {
        found = 0;
        DirtySink sink = range.Sink;
        System.Span<ulong> dense = stackalloc ulong[HarvestWalk.Room];
        int status = Status.TryAgain;
        while (status == Status.TryAgain)
        {
            status = range.Refresh();
            if (status == Status.Ok && range.Slot.Backing is not null)
            {
                bool now = rearm != Rearm.KernelLater;
                status = Pour(ref range, now, Taken(range, sink.Epoch), out ulong collected);
                SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, now ? 0 : (long)collected);
                found += collected;
            }
            else if (status == Status.Ok && range.Slot.ByGeneration)
            {
                long swapped = 0;
                status = new DenseSwap(range.Space, range.Slot, range.Tracking, sink).Take(range.Start, range.End, ref swapped);
                SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, swapped);
                found += (ulong)swapped;
            }
            else if (status == Status.Ok)
            {
                var walk = new HarvestWalk(range.Space, range.Slot, range.Tracking, sink, dense);
                status = walk.Take(range.Start, range.End, out long taken);
                SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, taken);
                found += (ulong)taken;
            }
        }
        return status;
    }

    private static Outlet Taken(in DirtyRange range, PinnedBitmap bitmap) =>
        new(range.Tracking.Sinks, range.Sink, bitmap, range.Tracking);

    /// <summary>Takes the dirty ones of <paramref name="bits"/> and moves them into the epoch, where a failure cannot lose them.</summary>
    private static int CollectWord(in DirtyRange range, ulong page, ulong bits)
    {
        DirtySink sink = range.Sink;
        var into = Taken(range, sink.Log);
        int status = Status.Ok;
        ulong taken;
        if (range.Slot.Backing is not null)
        {
            status = CollectMask(range.Slot.Backing, page, bits, into, out taken);
        }
        else
        {
            taken = (ulong)new SegmentWalk(range.Space, range.Slot).TakeMask(page, bits, into);
        }
        SpaceCounters.Add(ref range.Space.Counters.Mine.PagesTaken, (long)taken);
        ulong found = sink.Log.Peek(page) & bits;
        if (found != 0)
        {
            _ = sink.Epoch.Or(page, found);
            sink.Log.Clear(page, found);
            sink.Moves++;
        }
        return status;
    }

    private static int CollectMask(ISlotBacking backing, ulong page, ulong bits, in Outlet into, out ulong taken)
    {
        int status = Status.Ok;
        taken = 0;
        while (bits != 0 && status == Status.Ok)
        {
            int from = BitOperations.TrailingZeroCount(bits);
            int length = BitOperations.TrailingZeroCount(~(bits >> from));
            bits &= ~PinnedBitmap.RunMask(from, length);
            status = backing.Collect(page + (ulong)from, (ulong)length, rearm: true, into, out ulong found);
            taken += found;
        }
        return status;
    }
}
