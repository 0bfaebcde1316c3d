using System;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>How a consumer joins the slots that it wants, and leaves them (rule 25).</summary>
internal sealed unsafe partial class Consumer
{
    /// <summary>See <c>gmap_consumer_open</c>.</summary>
    public static int TryOpen(AddressSpace space, uint slot, ConsumerKind kind, out Consumer? consumer)
    {
        consumer = null;
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        WatchTally tally = space.Watches.Begin();
        int status;
        using (space.Configuration.Hold())
        {
            if (space.IsDead || (slot != AllSlots && space.Map.ById(slot)?.Tracking is null))
            {
                return space.IsDead ? Status.BadHandle : Status.NoEntry;
            }
            var opened = new Consumer(space, slot, kind);
            status = opened.Enlist();
            if (status != Status.Ok)
            {
                opened.Discharge();
            }
            consumer = status == Status.Ok ? opened : null;
            space.Stays.Enter(); // the space cannot end before its notifiers are told
        }
        if (!space.Watches.IsQuiet)
        {
            SettleAll(space, slot, tally);
        }
        space.Stays.Leave();
        if (status == Status.Ok)
        {
            space.Engine.ReportLockRefusal(); // the space cannot end: it has a consumer
        }
        return status;
    }

    /// <summary>Tells what was weakened in the slots of a consumer that opens, or failed to (rule 29).</summary>
    private static void SettleAll(AddressSpace space, uint wanted, in WatchTally tally)
    {
        foreach (Slot one in space.Map.Slots)
        {
            if (wanted == AllSlots || wanted == one.Id)
            {
                space.Watches.Settle(one.GuestAddress, one.End, tally);
            }
        }
    }

    /// <summary>See <c>gmap_consumer_close</c>.</summary>
    public int Close()
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using (space.Configuration.Hold())
        {
            using (_gate.Hold())
            {
                if (_state is State.Busy or State.Closed)
                {
                    return _state == State.Busy ? Status.Busy : Status.BadHandle;
                }
                _state = State.Closed;
            }
            Discharge();
            return Status.Ok;
        }
    }

    /// <summary>
    /// Joins the consumers of every slot that it wants. What is marked in the tables goes to the others first: from the return on it sees
    /// its own history and nothing else. Under the configuration lock; after a failure <see cref="Discharge"/> undoes what was done.
    /// </summary>
    private int Enlist()
    {
        bool initiallyDirty = kind == ConsumerKind.InitiallyDirty;
        foreach (Slot logging in space.Map.Slots)
        {
            if (logging.Tracking is not null && Wants(logging.Id))
            {
                DirtySink? sink = DirtySink.TryCreate(space.Engine.Arena, logging.Pages, CountsDiscards);
                if (sink is null)
                {
                    return Status.NoMemory;
                }
                Add(logging, sink);
            }
        }
        int status = Status.Ok;
        foreach (Part part in _parts)
        {
            if (initiallyDirty)
            {
                part.Sink.Log.OrRange(0, part.Pages);
            }
            else if (status == Status.Ok && !Probe.LeavesOut(Step.OpenTakesNothing))
            {
                var range = new DirtyRange(space, part.Slot, part.Tracking, part.Tracking.BuiltIn, 0, part.Pages);
                status = Collector.Collect(ref range, Rearm.Yes, out _, out _);
            }
            Probe.At(Place.TakenForOthers);
            if (Probe.LeavesOut(Step.OpenJoinsLate))
            {
                _ = space.Limbo.GraceAndReclaim();
            }
            using (part.Tracking.Hold())
            {
                part.Tracking.Add(part.Sink);
            }
        }
        space.Consumers = [.. space.Consumers, this];
        // Who stores by a right from before the take is not seen any more: wait for them, and for marks that know the old consumers.
        bool waits = !initiallyDirty && !Probe.LeavesOut(Step.OpenWithoutGrace) && !Probe.LeavesOut(Step.OpenJoinsLate);
        return waits && status == Status.Ok ? space.Limbo.GraceAndReclaim() : status;
    }

    /// <summary>Leaves all slots and gives the logs back. Under the configuration lock; nobody else uses the consumer.</summary>
    private void Discharge()
    {
        space.Consumers = Array.FindAll(space.Consumers, one => one != this);
        foreach (Part part in _parts)
        {
            using (part.Tracking.Hold())
            {
                part.Tracking.Remove(part.Sink);
            }
        }
        if (!Probe.LeavesOut(Step.FreedWhileMarked))
        {
            space.Epochs.WaitForCalls(); // marks that are under way
        }
        foreach (Part part in _parts)
        {
            part.Sink.Free();
        }
        _parts = [];
    }
}
