using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>A range of pages of a slot that logs, for one of its consumers.</summary>
internal record struct DirtyRange(AddressSpace Space, Slot Slot, SlotTracking Tracking, DirtySink Sink, ulong First, ulong Count)
{
    public readonly ulong Start => Slot.GuestAddress + (First << Bits.GuestAddress.PageShift);

    public readonly ulong End => Start + (Count << Bits.GuestAddress.PageShift);

    /// <summary>The pages of the range among 64 from an offset into it, as a mask.</summary>
    public readonly ulong MaskAt(ulong offset) => PinnedBitmap.RunMask(0, (int)System.Math.Min(64, Count - offset));

    /// <summary>For the built-in consumer: a status.</summary>
    public static int Find(AddressSpace space, uint slotId, ulong first, ulong count, out DirtyRange range)
    {
        range = default;
        Slot? slot = space.Map.ById(slotId);
        if (space.IsDead || slot?.Tracking is null)
        {
            return space.IsDead ? Status.BadHandle : Status.NoEntry;
        }
        range = new DirtyRange(space, slot, slot.Tracking, slot.Tracking.BuiltIn, first, count);
        return first > slot.Pages || count > slot.Pages - first ? Status.Invalid : Status.Ok;
    }

    /// <summary>
    /// The slot as it is published now, a backing may have come or gone; no entry if it was withdrawn. Under the harvest lock.
    /// </summary>
    public int Refresh()
    {
        Slot? now = Space.Map.ById(Slot.Id);
        if (now?.Tracking != Tracking)
        {
            return Status.NoEntry;
        }
        Slot = now!;
        return Status.Ok;
    }
}
