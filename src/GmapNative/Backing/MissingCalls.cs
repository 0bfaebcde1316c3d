using GmapNative.Space;

namespace GmapNative.Backing;

/// <summary>Makes pages of a slot missing, and ends that (rules 19 and 38).</summary>
internal static unsafe class MissingCalls
{
    /// <summary>See <c>gmap_backing_attach</c>. <paramref name="bitmap"/>: of <paramref name="words"/> words; null: every page.</summary>
    public static int Attach(AddressSpace space, uint slotId, bool stops, ulong* bitmap, ulong words, out MissingPages? missing)
    {
        MissingPages? attached = null;
        int status = Attachment.Run(space, slotId, (slot, out complaint) =>
        {
            complaint = null;
            int made = bitmap is not null && words < (slot.Pages + 63) / 64 ? Status.NoBuffer
                : Attachment.IsBusy(space, slot) ? Status.Busy
                : MissingPages.TryCreate(space.Engine.Arena, slot, stops, bitmap, out attached, out complaint);
            return attached is null ? made : Publish(space, slot, ref attached);
        });
        missing = attached;
        return status;
    }

    /// <summary>What was mapped is mapped no longer: from here on nothing is that has not come. A status.</summary>
    private static int Publish(AddressSpace space, Slot old, ref MissingPages? missing)
    {
        Slot slot = old with { Missing = missing };
        int status = Attachment.Publish(space, old, slot, () => Withdraw(space, slot));
        missing = status == Status.Busy ? null : missing;
        return status;
    }

    /// <summary>See <c>gmap_backing_detach</c>.</summary>
    public static int Detach(AddressSpace space, MissingPages missing)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using (space.Configuration.Hold())
        {
            foreach (Slot slot in space.Map.Slots)
            {
                if (slot.Missing == missing)
                {
                    if (missing.Left != 0)
                    {
                        return Status.Busy; // a guest would go on with what is not there
                    }
                    Withdraw(space, slot);
                    return Status.Ok;
                }
            }
            return Status.BadHandle; // its slot or its space is gone, and took it along
        }
    }

    private static void Withdraw(AddressSpace space, Slot slot)
    {
        space.Publish(space.Map.Without(slot).With(slot with { Missing = null }));
        space.Epochs.WaitForCalls();
        slot.Missing!.Close();
    }
}
