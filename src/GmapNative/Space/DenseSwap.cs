using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>
/// Takes the dense bits of a slot where many are set: other dense bits take the place of those that writers set, then a grace, then the
/// old ones are read and cleared by plain loads and stores (rule 27). Under the slot's harvest turn and lock, in no section; the lock is
/// let go while it waits. Allocates nothing.
/// </summary>
internal readonly struct DenseSwap(AddressSpace space, Slot slot, SlotTracking tracking, DirtySink sink)
{
    private const int Bulk = 64;
    private const int WordShift = GuestAddress.PageShift + 6; // of the bytes that a word of bits stands for

    private readonly EpochOutlet _outlet = new(tracking, sink);
    private readonly Freezing _freezing = space.Engine.Options.Freezing;

    private DenseTake Taker => new(space, slot, _outlet.Each, rearm: true, isEpoch: true);

    /// <summary>
    /// Takes start..end-1 into the epoch. <see cref="Status.TryAgain"/>: the slot was changed meanwhile, some may be left.
    /// </summary>
    public int Take(ulong start, ulong end, ref long taken)
    {
        bool swapped = false;
        for (ulong at = start, stop; at < end; at = stop)
        {
            stop = GuestAddress.RegionEnd(at, end);
            bool goes = IsAlone(at, stop) && TrySwap(at, stop, ref taken);
            taken += goes ? 0 : Taker.Take(at, stop);
            swapped |= goes;
        }
        int grace = swapped ? WaitForGrace(taken) : Status.Ok;
        if (swapped && space.Map.ById(slot.Id)?.Tracking != tracking)
        {
            return Status.TryAgain; // who took the slot away takes what is in both
        }
        for (ulong at = start, stop; swapped && at < end; at = stop)
        {
            stop = GuestAddress.RegionEnd(at, end);
            // A neighbour may have come: then what retired is taken as it is while it may still be set, and stays.
            taken += grace == Status.Ok && IsAlone(at, stop) ? Collect(at, stop) : Taker.Take(at, stop);
        }
        return Status.Ok;
    }

    /// <summary>Whether the range is all that any slot has in its 2 GB.</summary>
    private bool IsAlone(ulong start, ulong end)
    {
        ulong region = GuestAddress.RegionBase(start);
        bool alone = start == Math.Max(region, slot.GuestAddress) && (end == slot.End || end - region == GuestAddress.RegionThirdSize);
        foreach (Slot other in space.Map.Slots)
        {
            alone &= other.Id == slot.Id || other.End <= region || other.GuestAddress - region >= GuestAddress.RegionThirdSize;
        }
        return alone;
    }

    /// <summary>
    /// Flags first: what is set by a writer between is in the old bits, all of which are looked at; what is set in the new ones is
    /// flagged after that. True: a grace is due.
    /// </summary>
    private bool TrySwap(ulong start, ulong end, ref long taken)
    {
        int section = LibrarySections.Enter();
        bool found = space.Tree.TryFind(start, out SegmentTable table);
        bool held = found && table.Retiring.Origin != 0; // a grace timed out
        int first = GuestAddress.SegmentIndex(start);
        int last = GuestAddress.SegmentIndex(end - 1) + 1;
        bool goes = held || (found && table.CountFlagged(first, last) >= _freezing.LeastFlagged);
        if (goes && !held)
        {
            if (Probe.LeavesOut(Step.SwapBeforeFlags))
            {
                table.SwapDense();
            }
            table.ClearFlags(first, last);
            if (!Probe.LeavesOut(Step.SwapBeforeFlags))
            {
                table.SwapDense();
            }
        }
        LibrarySections.Leave(section);
        taken += held ? Taker.Take(start, end) : 0;
        return goes;
    }

    /// <summary>
    /// Without the harvest lock, which a look may want in a section; what was taken so far counts as moved (rules 12 and 20).
    /// </summary>
    private int WaitForGrace(long taken)
    {
        sink.Moves += taken != 0 ? 1UL : 0;
        tracking.Gate.Exit();
        int status = Probe.LeavesOut(Step.NoSwapGrace) ? Status.Ok : space.Epochs.WaitForGrace(_freezing.LongestNanoseconds);
        tracking.Gate.Take();
        return status;
    }

    private long Move(Span<ulong> words, ulong address, in Outlet into)
    {
        long moved = 0;
        foreach (ulong word in words)
        {
            moved += System.Numerics.BitOperations.PopCount(word);
        }
        if (address < slot.GuestAddress)
        {
            new DenseTake(space, slot, into, rearm: true, isEpoch: true).Pour(address, words[0]);
        }
        else
        {
            into.OrAlone(slot.PageOf(address), words);
        }
        Probe.At(Place.Poured);
        words.Clear();
        return moved;
    }

    /// <summary>Nobody sets the old bits any more.</summary>
    private long Collect(ulong start, ulong end)
    {
        long taken = 0;
        int section = LibrarySections.Enter();
        if (space.Tree.TryFind(start, out SegmentTable table) && table.Retiring.Origin != 0)
        {
            ulong region = GuestAddress.RegionBase(start);
            DenseBits old = table.Retiring;
            Outlet into = _outlet.Of(slot.PageOf(start), (end - start) >> GuestAddress.PageShift, out bool whole);
            int stop = (GuestAddress.SegmentIndex(end - 1) + 1) * DenseBits.SegmentWords;
            int word = old.Next(GuestAddress.SegmentIndex(start) * DenseBits.SegmentWords, stop);
            while (word < stop)
            {
                ulong address = region + ((ulong)word << WordShift);
                // Words that lie in the slot; one in which it begins, by itself.
                ulong left = address < slot.GuestAddress ? 1 : (slot.End - address + (1UL << WordShift) - 1) >> WordShift;
                Span<ulong> words = old.Words(word, (int)Math.Min(left, (ulong)Math.Min(Bulk, stop - word)));
                taken += Move(words, address, into);
                word = old.Next(word + words.Length, stop);
            }
            table.EndRetiring();
            _outlet.Count(whole, taken);
        }
        LibrarySections.Leave(section);
        return taken;
    }
}
