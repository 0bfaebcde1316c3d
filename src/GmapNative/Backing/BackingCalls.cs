using System.Threading;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>Makes the kernel the truth of a slot, and the tables again (rules 19 and 21).</summary>
internal static class BackingCalls
{
    /// <summary>See <c>gmap_backing_attach</c>.</summary>
    public static int Attach(AddressSpace space, uint slotId, BackingRequest request, out ISlotBacking? backing)
    {
        ISlotBacking? attached = null;
        int status = Attachment.Run(
            space, slotId, (slot, out complaint) => AttachLocked(space, slot, request, out attached, out complaint));
        backing = attached;
        return status;
    }

    private static int AttachLocked(
        AddressSpace space, Slot old, in BackingRequest request, out ISlotBacking? backing, out string? complaint)
    {
        backing = null;
        complaint = null;
        if (space.Options.ByGeneration && old.Backing is null)
        {
            return Status.NotSupported; // a slot has one truth (rule 21)
        }
        if (Attachment.IsBusy(space, old))
        {
            return Status.Busy;
        }
        int status = request.Synchronous
            ? SyncBacking.TryCreate(space, old, request, out ISlotBacking? created, out complaint)
            : AsyncBacking.TryCreate(space, old, out created, out complaint);
        // Where stores stop, nobody answers them before the caller has the handle: all counts as written until it is first taken.
        status = status == Status.Ok && old.Tracking is not null && !request.Synchronous ? created!.Arm() : status;
        if (status != Status.Ok)
        {
            created?.Close();
            return status;
        }
        // The kernel tracks already. What the tables know from before goes to the log; then they map anew without being armed,
        // and their marks count no longer.
        if (old.Tracking is not null)
        {
            using (old.Tracking.Hold())
            {
                _ = new SegmentWalk(space, old).Take(old.GuestAddress, old.End, old.Tracking.EveryoneCounted);
            }
        }
        Slot slot = old with { Backing = created };
        status = Attachment.Publish(space, old, slot, () => Withdraw(space, slot, created!));
        backing = status == Status.Busy ? null : created;
        return status;
    }

    /// <summary>See <c>gmap_backing_detach</c>.</summary>
    public static int Detach(AddressSpace space, ISlotBacking backing)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using (space.Configuration.Hold())
        {
            Slot? old = SlotOf(space, backing);
            if (old is null)
            {
                return Status.BadHandle; // its slot or its space is gone, and took it along
            }
            return Withdraw(space, old, backing);
        }
    }

    /// <summary>
    /// The tables are the truth again: what was mapped meanwhile is armed, what the kernel saw goes to the logs. Under the configuration
    /// lock.
    /// </summary>
    private static int Withdraw(AddressSpace space, Slot old, ISlotBacking backing)
    {
        Lock? gate = old.Tracking?.Gate;
        gate?.Take(); // not over the grace (rule 12): a harvest then may report a page twice, by tables and kernel
        Slot slot = old with { Backing = null };
        SlotMap map = space.Map.Without(old).With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        int status = Status.Ok;
        if (slot.Tracking is not null)
        {
            _ = new SegmentWalk(space, slot).Take(slot.GuestAddress, slot.End, Outlet.None);
            gate!.Exit();
            status = space.Limbo.GraceAndReclaim();
            gate.Take();
            int collected = backing.Collect(0, slot.Pages, rearm: false, slot.Tracking.EveryoneCounted, out _);
            if (status != Status.Ok || collected != Status.Ok)
            {
                // Readers go on storing by old rights: the next harvest waits for them. Or the kernel cannot tell any more.
                slot.Tracking.Everyone.OrRange(0, slot.Pages);
            }
            status = status != Status.Ok ? status : collected;
        }
        backing.Close();
        gate?.Exit();
        return status;
    }

    /// <summary>The slot that a backing serves, or null.</summary>
    public static Slot? SlotOf(AddressSpace space, ISlotBacking backing)
    {
        foreach (Slot slot in space.Map.Slots)
        {
            if (slot.Backing == backing)
            {
                return slot;
            }
        }
        return null;
    }
}
