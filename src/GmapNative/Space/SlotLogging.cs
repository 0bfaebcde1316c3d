using System;
using System.Threading;

namespace GmapNative.Space;

/// <summary>A slot as it is published, and as it will be.</summary>
internal readonly record struct SlotStep(Slot Old, Slot New)
{
    public bool Begins => Old.Tracking is null && New.Tracking is not null;

    public bool Ends => Old.Tracking is not null && New.Tracking is null;
}

/// <summary>
/// Turns logging on and off, for one slot or for all that do it together (a space's dirty scope). Under the configuration lock.
/// </summary>
internal sealed unsafe class SlotLogging(AddressSpace space)
{
    /// <summary>
    /// What slots need that are to log: for all of them, or an error and nothing changed. Backings are told that they track from now on.
    /// </summary>
    public int TryTrack(ReadOnlySpan<Slot> slots, bool initiallyDirty, out SlotTracking[] trackings)
    {
        trackings = new SlotTracking[slots.Length];
        int status = Status.Ok;
        for (int i = 0; status == Status.Ok && i < slots.Length; i++)
        {
            bool made = TryTrack(slots[i].Id, slots[i].Pages, initiallyDirty, out SlotTracking? tracking);
            trackings[i] = tracking!;
            status = made ? Status.Ok : Status.NoMemory;
        }
        for (int i = 0; status == Status.Ok && i < slots.Length; i++)
        {
            status = slots[i].Backing?.Arm() ?? Status.Ok; // of a slot that does not log it may do so in vain
        }
        if (status != Status.Ok)
        {
            Array.ForEach(trackings, tracking => tracking?.Free());
            trackings = [];
        }
        return status;
    }

    public bool TryTrack(uint id, ulong pages, bool initiallyDirty, out SlotTracking? tracking)
    {
        tracking = SlotTracking.TryCreate(space.Engine.Arena, pages);
        foreach (IDirtyConsumer consumer in space.Consumers)
        {
            DirtySink? sink = tracking is not null && consumer.Wants(id)
                ? DirtySink.TryCreate(space.Engine.Arena, pages, consumer.CountsDiscards)
                : null;
            if (sink is not null)
            {
                tracking!.Add(sink);
            }
            else if (tracking is not null && consumer.Wants(id))
            {
                tracking.Free();
                tracking = null;
            }
        }
        foreach (DirtySink sink in initiallyDirty && tracking is not null ? tracking.Sinks : [])
        {
            sink.Log.SetAll();
        }
        return tracking is not null;
    }

    /// <summary>
    /// Publishes slots that begin or stop logging, or only change otherwise. The first one's last bits go where
    /// <paramref name="request"/> says. <paramref name="waits"/>: rights were taken away before, with <paramref name="status"/>.
    /// </summary>
    public int Apply(ReadOnlySpan<SlotStep> steps, in SlotRequest request, int status, bool waits)
    {
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        // Every page is in the logs: no store can go unseen before the call that takes the page out, and that one arms its entry.
        bool protects = !request.InitiallyDirty;
        SlotMap map = space.Map;
        foreach (SlotStep step in steps)
        {
            map = map.Without(step.Old).With(step.New);
            waits |= step.Ends || (step.Begins && (protects || step.New.Backing is not null));
        }
        Arm(steps, map, protects);
        End(steps, request.FinalBitmap != 0);
        foreach (SlotStep step in steps)
        {
            CountArming(step.New, step.Begins, begin);
        }
        int grace = waits ? space.Limbo.GraceAndReclaim() : Status.Ok;
        status = status != Status.Ok ? status : grace;
        for (int i = 0; i < steps.Length; i++)
        {
            Conclude(steps[i], status, i == 0 ? request : new SlotRequest { Id = steps[i].Old.Id });
        }
        return status;
    }

    /// <summary>Tells the consumers that want it of a slot that logs from now on: its sinks are theirs, in their order.</summary>
    public void Announce(Slot slot)
    {
        int sink = 0;
        foreach (IDirtyConsumer consumer in slot.Tracking is null ? [] : space.Consumers)
        {
            if (consumer.Wants(slot.Id))
            {
                consumer.Add(slot, slot.Tracking!.Sinks[++sink]);
            }
        }
    }

    public void CountArming(Slot slot, bool armed, long begin)
    {
        if (armed)
        {
            SpaceCounters.Add(ref space.Counters.Mine.Armings);
            Tell.Arm(space.Number, slot.Id, slot.Pages, begin);
        }
    }

    /// <summary>Writes the last bits out and lets the logs go. A harvest that still waits finds the slot retired.</summary>
    public static void HandOut(Slot old, in SlotRequest request)
    {
        SlotTracking? tracking = old.Tracking;
        if (tracking is null)
        {
            return;
        }
        DirtySink last = tracking.BuiltIn;
        using (tracking.Hold()) // the turn too: no segment is frozen by its harvests afterwards
        {
            for (ulong page = 0; request.FinalBitmap != 0 && page < old.Pages; page += 64)
            {
                // The caller's buffer, checked to have (pages + 63) / 64 words.
                ((ulong*)request.FinalBitmap)[page / 64] = last.Log.Peek(page) | last.Epoch.Peek(page);
            }
            tracking.Retire(); // no call has it: the slot was withdrawn, the calls of before have ended, harvests look it up here
        }
    }

    /// <summary>
    /// Brings what is dirty into the log before it is handed out. Every page where the kernel cannot tell any more: the memory was
    /// unmapped, or its registration ended behind our back.
    /// </summary>
    public void LastTake(Slot old)
    {
        if (old.Backing is not null)
        {
            if (old.Backing.Collect(0, old.Pages, rearm: false, old.Tracking!.Everyone, out _) != Status.Ok)
            {
                old.Tracking.Everyone.OrRange(0, old.Pages);
            }
        }
        else if (old.Tracking is null)
        {
            _ = new SegmentWalk(space, old).Take(old.GuestAddress, old.End, Outlet.None); // only the dense bits of a slot that goes
        }
        else
        {
            using (old.Tracking.Turn.Hold())
            {
                _ = new SegmentWalk(space, old).Take(old.GuestAddress, old.End, old.Tracking.Everyone);
            }
        }
    }

    /// <summary>
    /// Publishes. No harvest before the walk: what is written after such a harvest would look stale to the walk. Nor one before the calls
    /// in flight have ended, where there is no walk: what they install is dirty, since the slot did not log when they looked.
    /// </summary>
    private void Arm(ReadOnlySpan<SlotStep> steps, SlotMap map, bool protects)
    {
        foreach (SlotStep step in steps)
        {
            GateOf(step)?.Take(); // nobody else can hold one yet: in any order
        }
        space.Publish(map);
        space.Epochs.WaitForCalls();
        foreach (SlotStep step in steps)
        {
            if (step.Begins && protects && step.New.Backing is null && !Probe.LeavesOut(Step.StaleSoftDirtyKept))
            {
                // Stale soft-dirty is dropped, what is mapped is protected: from here on each first write is seen.
                _ = new SegmentWalk(space, step.New).Take(step.New.GuestAddress, step.New.End, Outlet.None);
            }
        }
        Probe.At(Place.Walked);
        foreach (SlotStep step in steps)
        {
            GateOf(step)?.Exit();
        }
    }

    private static Lock? GateOf(in SlotStep step) => step.Begins ? step.New.Tracking!.Gate : null;

    private void End(ReadOnlySpan<SlotStep> steps, bool wantsFinal)
    {
        for (int i = 0; i < steps.Length; i++)
        {
            (Slot old, Slot slot) = (steps[i].Old, steps[i].New);
            if (steps[i].Ends && ((wantsFinal && i == 0) || old.Tracking!.Sinks.Length > 1))
            {
                LastTake(old); // for the caller's buffer, and for consumers (rule 25)
            }
            if (steps[i].Ends && space.Options.Huge)
            {
                // Under the old slot's harvest lock: harvests that began before it was unpublished may still take from it.
                ulong collapsed = 0;
                _ = new RangeCollapser(space, slot, old.Tracking).Collapse(slot.GuestAddress, slot.End, ref collapsed);
            }
        }
    }

    private void Conclude(in SlotStep step, int status, in SlotRequest request)
    {
        if (step.Begins && step.New.Backing is null && status != Status.Ok)
        {
            // Readers go on storing by old rights: the next harvest waits for them.
            step.New.Tracking!.Everyone.OrRange(0, step.New.Pages);
        }
        if (step.Begins)
        {
            Announce(step.New);
        }
        if (step.Ends)
        {
            HandOut(step.Old, request);
        }
    }
}
