using System;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>
/// One of any number of independent consumers of dirty pages, with a log and an epoch of its own in each slot (rule 25). Thread-safe;
/// begin, read, commit and abort allocate nothing, but for the commit after a slot went.
/// </summary>
/// <param name="space">The space; it cannot end while a consumer is open.</param>
/// <param name="slot">The slot, or <see cref="AllSlots"/>.</param>
/// <param name="kind">How it begins, and what a discard is to it.</param>
internal sealed unsafe partial class Consumer(AddressSpace space, uint slot, ConsumerKind kind) : IDirtyConsumer
{
    /// <summary><c>GMAP_ALL_SLOTS</c>: whatever logs, now or later. No slot has this number.</summary>
    public const uint AllSlots = uint.MaxValue;

    private const int PageBits = 40; // of a resume cursor: the index of the part stands above

    private readonly Lock _gate = new();
    private Part[] _parts = [];
    private State _state;
    private int _inEpoch; // how many of the parts the epoch that is begun looked at: the first ones
    private ulong _epochs;

    private enum State
    {
        Idle,

        /// <summary>A begin is under way, without <see cref="_gate"/>: it waits for readers.</summary>
        Busy,

        /// <summary>An epoch can be read.</summary>
        Begun,
        Closed,
    }

    /// <summary>What the consumer has of one slot, as long as that one logs, and until its last pages are committed.</summary>
    private sealed record Part(Slot Slot, DirtySink Sink)
    {
        public SlotTracking Tracking => Slot.Tracking!;

        public ulong Pages => Slot.Pages;
    }

    public AddressSpace Space => space;

    /// <inheritdoc/>
    public bool CountsDiscards => kind == ConsumerKind.Snapshot;

    /// <inheritdoc/>
    public bool Wants(uint slotId) => slot == AllSlots || slot == slotId;

    /// <inheritdoc/>
    public ulong BytesOfGone
    {
        get
        {
            ulong bytes = 0;
            foreach (Part part in _parts)
            {
                bytes += IsLive(part) ? 0 : DirtySink.BytesFor(part.Pages);
            }
            return bytes;
        }
    }

    /// <inheritdoc/>
    public void Add(Slot added, DirtySink sink)
    {
        using (_gate.Hold())
        {
            _parts = [.. _parts, new Part(added, sink)];
        }
    }

    /// <summary>See <c>gmap_consumer_begin</c>.</summary>
    public int Begin(bool rearm, out ConsumerEpoch epoch)
    {
        WatchTally tally = space.Watches.Begin();
        int status = BeginUntold(rearm ? Rearm.Yes : Rearm.No, out epoch);
        Settle(tally);
        return status;
    }

    /// <summary>Tells what was weakened in its slots (rule 29). In no section, with no lock.</summary>
    public void Settle(in WatchTally tally)
    {
        Part[] parts = space.Watches.IsQuiet ? [] : Volatile.Read(ref _parts);
        foreach (Part part in parts)
        {
            space.Watches.Settle(part.Slot.GuestAddress, part.Slot.End, tally);
        }
    }

    /// <summary>The same for a caller that holds locks, and tells when it has let them go.</summary>
    public int BeginUntold(Rearm rearm, out ConsumerEpoch epoch)
    {
        epoch = default;
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        Part[] parts;
        using (_gate.Hold())
        {
            if (_state != State.Idle)
            {
                return _state == State.Closed ? Status.BadHandle : Status.Busy;
            }
            _state = State.Busy;
            parts = _parts;
        }
        int status = Collect(parts, rearm, out bool any);
        Probe.At(Place.Collected);
        if (any && status == Status.Ok && !Probe.LeavesOut(Step.BeginWithoutGrace))
        {
            status = Harvester.WaitForGrace(space); // younger than every pour into the epoch (rule 10)
        }
        // While nobody else can commit or close: afterwards the epochs of slots that went may be freed, and the space may end.
        for (int i = 0; any && status == Status.Ok && i < parts.Length; i++)
        {
            epoch.DirtyPages += parts[i].Sink.Epoch.Count(0, parts[i].Pages);
        }
        SpaceCounters.Add(ref space.Counters.Mine.Epochs, status == Status.Ok ? 1 : 0);
        SpaceCounters.Add(ref space.Counters.Mine.PagesHarvested, (long)epoch.DirtyPages);
        using (_gate.Hold())
        {
            _state = status == Status.Ok ? State.Begun : State.Idle; // else what was collected waits in the epoch
            _inEpoch = parts.Length;
            _epochs += status == Status.Ok ? 1UL : 0;
            epoch.Number = _epochs;
            epoch.Slots = (ulong)parts.Length;
        }
        Probe.At(Place.EpochBegun);
        return status;
    }

    /// <summary>See <c>gmap_consumer_read_bitmap</c>.</summary>
    public int ReadBitmap(uint slotId, ulong first, ulong count, bool or, ulong* bitmap, nuint words, out ulong dirty)
    {
        dirty = 0;
        using (_gate.Hold())
        {
            int status = FindPart(slotId, first, count, State.Begun, out Part? part);
            if (status != Status.Ok || words < (nuint)((count + 63) / 64))
            {
                return status != Status.Ok ? status : Status.NoBuffer;
            }
            for (ulong done = 0; done < count; done += 64)
            {
                ulong bits = part!.Sink.Epoch.Peek(first + done) & PinnedBitmap.RunMask(0, (int)ulong.Min(64, count - done));
                bitmap[done / 64] = or ? bitmap[done / 64] | bits : bits; // the caller's buffer, checked above
                dirty += ulong.PopCount(bits);
            }
            return Status.Ok;
        }
    }

    /// <summary>See <c>gmap_consumer_read_ranges</c>. <paramref name="resume"/>: 0 at first, all ones at the end.</summary>
    public int ReadRuns(ref DirtyRuns runs, ref ulong resume)
    {
        using (_gate.Hold())
        {
            if (_state != State.Begun)
            {
                return NotBegun();
            }
            ulong index = resume >> PageBits;
            ulong page = resume & ((1UL << PageBits) - 1);
            for (; index < (ulong)_inEpoch; index++, page = 0)
            {
                Part part = _parts[index];
                runs.Slot = part.Slot.Id;
                runs.Flags = IsLive(part) ? 0 : DirtyRun.Gone;
                page = page < part.Pages ? runs.Append(part.Sink.Epoch, page, part.Pages) : part.Pages;
                if (page != part.Pages)
                {
                    resume = (index << PageBits) | page;
                    return Status.Ok;
                }
            }
            resume = ulong.MaxValue;
            return Status.Ok;
        }
    }

    /// <summary>What it has of a slot; null: nothing.</summary>
    public DirtySink? SinkOf(SlotTracking tracking)
    {
        using (_gate.Hold())
        {
            DirtySink? sink = null;
            foreach (Part part in _parts) // no closure: nothing is allocated here
            {
                sink = part.Tracking == tracking ? part.Sink : sink;
            }
            return sink;
        }
    }

    /// <summary>See <c>gmap_consumer_commit</c>.</summary>
    public int Commit()
    {
        using (_gate.Hold())
        {
            int status = EndEpoch();
            bool retired = false;
            for (int i = 0; status == Status.Ok && i < _parts.Length; i++)
            {
                Part part = _parts[i];
                using (part.Tracking.Gate.Hold())
                {
                    part.Sink.Epoch.ClearAlone();
                    retired |= IsFinished(part);
                }
            }
            if (retired)
            {
                LetGo();
            }
            return status;
        }
    }

    /// <summary>See <c>gmap_consumer_abort</c>: the pages wait in the epoch, and come again with the next.</summary>
    public int Abort()
    {
        using (_gate.Hold())
        {
            return EndEpoch();
        }
    }

    /// <summary>See <c>gmap_consumer_redirty</c>.</summary>
    public int Redirty(uint slotId, ulong first, ulong count, ulong* bitmap)
    {
        using (_gate.Hold())
        {
            int status = FindPart(slotId, first, count, _state, out Part? part);
            for (ulong done = 0; status == Status.Ok && done < count; done += 64)
            {
                // The caller's bitmap: (count + 63) / 64 words.
                ulong bits = bitmap[done / 64] & PinnedBitmap.RunMask(0, (int)ulong.Min(64, count - done));
                if (bits != 0)
                {
                    _ = part!.Sink.Log.Or(first + done, bits);
                }
            }
            return status;
        }
    }

    private int Collect(Part[] parts, Rearm rearm, out bool any)
    {
        any = false;
        int status = Status.Ok;
        for (int i = 0; i < parts.Length && status == Status.Ok; i++)
        {
            Part part = parts[i];
            var range = new DirtyRange(space, part.Slot, part.Tracking, part.Sink, 0, part.Pages);
            status = Collector.Collect(ref range, rearm, out bool found, out _);
            if (status == Status.NoEntry)
            {
                found = CollectWithdrawn(range);
                status = Status.Ok;
            }
            any |= found;
        }
        return status;
    }

    /// <summary>
    /// The last pages of a slot that was withdrawn. Where that is under way its end is waited for: what the tables know of pages that
    /// were written before this epoch began is poured by then.
    /// </summary>
    private bool CollectWithdrawn(in DirtyRange range)
    {
        if (!IsRetired(range.Tracking) && !Probe.LeavesOut(Step.WithdrawalNotWaitedFor))
        {
            space.Configuration.Take();
            space.Configuration.Exit();
        }
        using (range.Tracking.Gate.Hold())
        {
            _ = range.Sink.MoveOut(0, range.Count);
            bool any = range.Sink.Epoch.Any(0, range.Count);
            Collector.Bump(range, any);
            return any;
        }
    }

    private static bool IsRetired(SlotTracking tracking)
    {
        using (tracking.Gate.Hold())
        {
            return tracking.IsRetired;
        }
    }

    private int EndEpoch()
    {
        if (_state != State.Begun)
        {
            return NotBegun();
        }
        _state = State.Idle;
        return Status.Ok;
    }

    private int NotBegun() =>
        _state == State.Closed ? Status.BadHandle : _state == State.Busy ? Status.Busy : Status.Invalid;

    /// <summary>The part of a slot: the one that logs now, else the one that went last; in an epoch, of those that it looked at.</summary>
    private int FindPart(uint slotId, ulong first, ulong count, State needed, out Part? part)
    {
        part = null;
        if (_state == State.Closed || _state != needed)
        {
            return NotBegun();
        }
        foreach (Part one in _state == State.Begun ? _parts.AsSpan(0, _inEpoch) : _parts)
        {
            part = one.Slot.Id == slotId ? one : part; // the order is the one in which they came
        }
        return part is null ? Status.NoEntry : first > part.Pages || count > part.Pages - first ? Status.Invalid : Status.Ok;
    }

    private bool IsLive(Part part) => space.Map.ById(part.Slot.Id)?.Tracking == part.Tracking;

    /// <summary>Whether nothing can come from a slot any more. Under its harvest lock.</summary>
    private static bool IsFinished(Part part) => part.Tracking.IsRetired && !part.Sink.Log.Any(0, part.Pages);

    /// <summary>Of each part it is looked once whether it is finished: a slot may be retired meanwhile.</summary>
    private void LetGo()
    {
        List<Part> left = new(_parts.Length);
        foreach (Part part in _parts)
        {
            bool finished;
            using (part.Tracking.Gate.Hold())
            {
                finished = IsFinished(part);
            }
            Probe.At(Place.PartLooked);
            if (finished)
            {
                part.Sink.Free();
            }
            else
            {
                left.Add(part);
            }
        }
        _parts = [.. left];
    }
}

internal enum ConsumerKind
{
    /// <summary>Sees what is written after it was opened.</summary>
    Plain = 0,

    /// <summary><c>GMAP_CONSUMER_INITIALLY_DIRTY</c>.</summary>
    InitiallyDirty = 1,

    /// <summary>Puts memory back: a discarded page has changed, too.</summary>
    Snapshot = 2,
}

/// <summary>What began: <c>gmap_epoch_info</c>.</summary>
internal struct ConsumerEpoch
{
    public ulong Number;
    public ulong DirtyPages;
    public ulong Slots;
}
