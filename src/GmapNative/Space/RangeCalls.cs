using System;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>Explicit control over ranges: unmap and populate. Resumable: they say where they stopped.</summary>
internal static class RangeCalls
{
    /// <summary>See <c>gmap_unmap</c>.</summary>
    public static int Unmap(AddressSpace space, ulong address, ulong size, out ulong next)
    {
        next = address;
        if (!IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        long begin = Tell.Time(GmapEvents.Keywords.Slots);
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            int status = Status.Ok;
            ulong end = address + size;
            SlotMap map = space.Map;
            foreach (Slot slot in map.Slots)
            {
                ulong from = Math.Max(address, slot.GuestAddress);
                ulong to = Math.Min(end, slot.End);
                if (from < to && status == Status.Ok)
                {
                    status = new RangeUnmapper(space, slot, map, insist: false).Unmap(from, to, out next);
                }
            }
            int grace = space.Limbo.GraceAndReclaim();
            next = status == Status.Ok ? end : next;
            status = status != Status.Ok ? status : grace;
            Tell.Unmap(space.Number, address, size, begin, status);
            return status;
        }
    }

    /// <summary>See <c>gmap_populate</c>.</summary>
    public static int Populate(AddressSpace space, ulong address, ulong size, Access access, out ulong next)
    {
        next = address;
        if (!IsRange(space, address, size))
        {
            return Status.Invalid;
        }
        for (ulong end = address + size; next < end;)
        {
            int section = LibrarySections.Enter();
            FaultOutcome outcome = default;
            int status = space.IsDead ? Status.BadHandle : space.Faults.Resolve(next, access, out outcome);
            LibrarySections.Leave(section);
            if (status != Status.Ok)
            {
                return status;
            }
            next = Math.Min(end, (next & ~(outcome.LeafSize - 1)) + outcome.LeafSize);
        }
        return Status.Ok;
    }

    private static bool IsRange(AddressSpace space, ulong address, ulong size) =>
        GuestAddress.IsPageAligned(address | size) && address + size >= address && (size == 0 || address + size - 1 <= space.Limit);
}
