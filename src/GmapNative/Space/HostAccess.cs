using System;

namespace GmapNative.Space;

/// <summary>
/// The host's own reads, writes and marks of guest memory, through the slots (rule 15). In a section; no table is touched, nothing
/// is allocated.
/// </summary>
internal sealed unsafe class HostAccess(AddressSpace space)
{
    /// <summary>Copies out of the guest; 0 or the condition of the first byte that has no slot, with nothing copied.</summary>
    public int Read(ulong address, byte* data, nuint size)
    {
        SlotMap map = space.Map;
        int status = Check(map, address, size, write: false);
        for (nuint done = 0; status == Status.Ok && done < size;)
        {
            Slot slot = map.Find(address + done)!;
            nuint length = (nuint)Math.Min(size - done, slot.End - (address + done));
            // Guest memory: mapped and alive as the host promised when it set the slot.
            Buffer.MemoryCopy((void*)slot.HostOf(address + done), data + done, length, length);
            done += length;
        }
        return status;
    }

    /// <summary>Copies into the guest: marks and copies in one section, so that a harvest in between waits for the copy.</summary>
    public int Write(ulong address, byte* data, nuint size)
    {
        SlotMap map = space.Map;
        int status = Check(map, address, size, write: true);
        for (nuint done = 0; status == Status.Ok && done < size;)
        {
            Slot slot = map.Find(address + done)!;
            nuint length = (nuint)Math.Min(size - done, slot.End - (address + done));
            Mark(slot, address + done, length);
            Probe.At(Place.HostMarked);
            Buffer.MemoryCopy(data + done, (void*)slot.HostOf(address + done), length, length); // as above
            Probe.At(Place.HostCopied);
            done += length;
        }
        return status;
    }

    /// <summary>Marks every page that a range touches; -EFAULT with nothing marked if one has no slot.</summary>
    public int MarkRange(ulong address, ulong size)
    {
        SlotMap map = space.Map;
        if (Check(map, address, size, write: false) != Status.Ok)
        {
            return Status.Fault;
        }
        for (ulong done = 0; done < size;)
        {
            Slot slot = map.Find(address + done)!;
            ulong length = Math.Min(size - done, slot.End - (address + done));
            Mark(slot, address + done, length);
            done += length;
        }
        return Status.Ok;
    }

    /// <summary>ORs a bitmap into a slot's log; bit i is page first + i.</summary>
    public int MarkBitmap(uint slotId, ulong first, ulong count, ulong* bitmap)
    {
        Slot? slot = space.Map.ById(slotId);
        if (slot is null)
        {
            return Status.NoEntry;
        }
        if (first > slot.Pages || count > slot.Pages - first)
        {
            return Status.Invalid;
        }
        long added = 0;
        for (ulong done = 0; slot.Tracking is not null && done < count; done += 64)
        {
            // The caller's bitmap: (count + 63) / 64 words.
            ulong left = count - done;
            ulong bits = bitmap[done / 64] & (left >= 64 ? ulong.MaxValue : (1UL << (int)left) - 1);
            added += bits == 0 ? 0 : slot.Tracking.MarkMask(first + done, bits);
        }
        SpaceCounters.Add(ref space.Counters.Mine.PagesMarked, added);
        return Status.Ok;
    }

    /// <summary>Marks the pages of single addresses; those without a slot are passed over.</summary>
    public void MarkBatch(ulong* addresses, nuint count)
    {
        SlotMap map = space.Map;
        Slot? slot = null;
        for (nuint i = 0; i < count; i++)
        {
            ulong address = addresses[i]; // the caller's array of count elements
            if (slot is null || address - slot.GuestAddress >= slot.Size)
            {
                slot = map.Find(address);
            }
            if (slot is not null)
            {
                Mark(slot, address, 1);
            }
        }
    }

    private void Mark(Slot slot, ulong address, ulong size)
    {
        if (slot.Tracking is null)
        {
            return;
        }
        ulong first = slot.PageOf(address);
        ulong last = slot.PageOf(address + size - 1);
        ulong added = slot.Tracking.Mark(first, last - first + 1);
        if (added != 0)
        {
            SpaceCounters.Add(ref space.Counters.Mine.PagesMarked, (long)added);
        }
    }

    private int Check(SlotMap map, ulong address, ulong size, bool write)
    {
        FaultOutcome unused = default;
        ulong at = address;
        for (ulong left = size; left != 0;)
        {
            Slot? slot = at >= address ? map.Find(at) : null; // it wrapped: nothing is there
            if (slot is null)
            {
                return at >= address ? space.Faults.NoSlot(at, ref unused) : Status.Addressing;
            }
            if (write && slot.IsReadOnly)
            {
                return Status.Protection;
            }
            ulong length = Math.Min(left, slot.End - at);
            left -= length;
            at += length;
        }
        return Status.Ok;
    }
}
