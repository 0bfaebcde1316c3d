using System.Threading;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>Makes the kernel the truth of a slot, and the tables again (rules 19 and 21).</summary>
internal static class BackingCalls
{
    /// <summary>See <c>gmap_backing_attach</c>.</summary>
    public static int Attach(AddressSpace space, uint slotId, out AsyncBacking? backing)
    {
        backing = null;
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        int status;
        string? complaint;
        using (space.Configuration.Hold())
        {
            status = AttachLocked(space, slotId, out backing, out complaint);
        }
        if (complaint is not null)
        {
            Tell.BackingTrouble(complaint);
            space.Engine.Log(LogLevel.Error, complaint); // no lock held (rule 8)
        }
        return status;
    }

    private static int AttachLocked(AddressSpace space, uint slotId, out AsyncBacking? backing, out string? complaint)
    {
        backing = null;
        complaint = null;
        Slot? old = space.IsDead ? null : space.Map.ById(slotId);
        if (old is null || old.Backing is not null)
        {
            return space.IsDead ? Status.BadHandle : old is null ? Status.NoEntry : Status.Busy;
        }
        if (space.Options.ByGeneration)
        {
            return Status.NotSupported; // a slot has one truth (rule 21)
        }
        int status = AsyncBacking.TryCreate(space, old, out AsyncBacking? created, out complaint);
        status = status == Status.Ok && old.Tracking is not null ? created!.Arm() : status;
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
        SlotMap map = space.Map.Without(old).With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        status = new RangeUnmapper(space, slot, map, insist: true).Unmap(slot.GuestAddress, slot.End, out _);
        int grace = space.Limbo.GraceAndReclaim();
        backing = created;
        return status != Status.Ok ? status : grace;
    }

    /// <summary>See <c>gmap_backing_detach</c>.</summary>
    public static int Detach(AddressSpace space, AsyncBacking backing)
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
    }

    /// <summary>The slot that a backing serves, or null.</summary>
    public static Slot? SlotOf(AddressSpace space, AsyncBacking backing)
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
