using System;
using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>What comes to a slot is made under the configuration lock; a status, and what to say when the lock is let go.</summary>
internal delegate int Attach(Slot slot, out string? complaint);

/// <summary>
/// How anything that changes what a slot's entries mean comes to it: a backing, or pages that are to come (rules 19 and 28).
/// </summary>
internal static class Attachment
{
    /// <summary>
    /// Looks the slot up, has it attached to, and tells notifiers and the log afterwards, with no lock. See <c>gmap_backing_attach</c>.
    /// </summary>
    public static int Run(AddressSpace space, uint slotId, Attach attach)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        int status;
        string? complaint = null;
        WatchTally tally = space.Watches.Begin();
        Slot? slot;
        using (space.Configuration.Hold())
        {
            slot = space.IsDead ? null : space.Map.ById(slotId);
            status = space.IsDead ? Status.BadHandle : slot is null ? Status.NoEntry
                : Kernel.IsHere ? attach(slot, out complaint) : Refuse(out complaint);
            space.Stays.Enter(); // the space cannot end before its notifiers are told
        }
        if (slot is not null)
        {
            space.Watches.Settle(slot.GuestAddress, slot.End, tally);
        }
        space.Stays.Leave();
        if (complaint is not null)
        {
            Tell.BackingTrouble(complaint);
            space.Engine.Log(LogLevel.Error, complaint); // no lock held (rule 8)
        }
        return status;
    }

    private static int Refuse(out string? complaint)
    {
        complaint = "Backings need Linux: leave them out, and use the inline header or gmap_mark_dirty.";
        return Status.NotSupported;
    }

    /// <summary>Whether something else is attached, or a page is watched: nothing of a slot whose entries are not plain is armed.</summary>
    public static bool IsBusy(AddressSpace space, Slot slot) =>
        !slot.IsPlain || space.Watches.Knows(slot.GuestAddress, slot.End);

    /// <summary>
    /// Publishes the slot as it is from now on, and takes away what was mapped before. Busy: it was watched meanwhile, and
    /// <paramref name="withdraw"/> has ended it; timed out: it is there. Under the configuration lock.
    /// </summary>
    public static int Publish(AddressSpace space, Slot old, Slot slot, Action withdraw)
    {
        SlotMap map = space.Map.Without(old).With(slot);
        space.Publish(map);
        space.Epochs.WaitForCalls();
        if (space.Watches.Knows(slot.GuestAddress, slot.End))
        {
            withdraw(); // a call that was in flight armed it by the slot that it had read; from here on none does (rule 28)
            return Status.Busy;
        }
        int status = new RangeUnmapper(space, slot, map, insist: true).Unmap(slot.GuestAddress, slot.End, out _);
        int grace = space.Limbo.GraceAndReclaim();
        return status != Status.Ok ? status : grace;
    }
}
