using System;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>
/// The host's own reads, writes and marks of guest memory, through the slots (rule 15). In a section; no table is touched, nothing
/// is allocated.
/// </summary>
internal sealed unsafe class HostAccess(AddressSpace space)
{
    /// <summary>
    /// Copies out of the guest; 0 or the condition of the first byte that has no slot, or try again, with nothing copied: pages of it are
    /// missing (rule 38), and wanted now.
    /// </summary>
    public int Read(ulong address, byte* data, nuint size)
    {
        SlotMap map = space.Map;
        int status = Check(map, address, size, write: false, content: true);
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

    /// <summary>
    /// Copies into the guest: marks and copies in one section, so that a harvest in between waits for the copy.
    /// <see cref="FaultResolver.Watched"/>: nothing is copied; end the section, let <see cref="Watches.SettleWrite"/> tell about
    /// <paramref name="asks"/>, and write again (rule 30).
    /// </summary>
    public int Write(ulong address, byte* data, nuint size, out ulong asks, int section = LibrarySections.Unknown)
    {
        SlotMap map = space.Map;
        int status = Check(map, address, size, write: true, content: true);
        status = space.Watches.FindAsking(address, status == Status.Ok ? size : 0, out asks) ? FaultResolver.Watched : status;
        for (nuint done = 0; status == Status.Ok && done < size;)
        {
            Slot slot = map.Find(address + done)!;
            nuint length = (nuint)Math.Min(size - done, slot.End - (address + done));
            Mark(slot, address + done, length, section);
            Probe.At(Place.HostMarked);
            Buffer.MemoryCopy(data + done, (void*)slot.HostOf(address + done), length, length); // as above
            Probe.At(Place.HostCopied);
            done += length;
        }
        return status;
    }

    /// <summary>Marks every page that a range touches; -EFAULT with nothing marked if one has no slot.</summary>
    public int MarkRange(ulong address, ulong size, int section = LibrarySections.Unknown)
    {
        SlotMap map = space.Map;
        Slot? slot = map.Find(address);
        if (slot is null || size - 1 >= slot.End - address) // nothing, or not in one slot
        {
            return MarkAcross(map, address, size, section);
        }
        Mark(slot, address, size, section);
        return Status.Ok;
    }

    /// <summary>ORs a bitmap into a slot's log; bit i is page first + i.</summary>
    public int MarkBitmap(uint slotId, ulong first, ulong count, ulong* bitmap, int section = LibrarySections.Unknown)
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
        Count(slot.Tracking?.MarkWords(first, count, bitmap, section) ?? 0, section); // the caller's bitmap: (count + 63) / 64 words
        return Status.Ok;
    }

    /// <summary>Marks the pages of single addresses; those without a slot are passed over.</summary>
    public void MarkBatch(ulong* addresses, nuint count, int section = LibrarySections.Unknown)
    {
        SlotMap map = space.Map;
        ulong added = 0;
        for (nuint i = 0; i < count;)
        {
            Slot? slot = map.Find(addresses[i]); // the caller's array of count elements
            i += slot?.Tracking is not { } tracking ? 1
                : tracking.MarkAddresses(addresses + i, count - i, slot.GuestAddress, slot.Size, section, ref added);
        }
        Count(added, section);
    }

    private int MarkAcross(SlotMap map, ulong address, ulong size, int section)
    {
        if (Check(map, address, size, write: false, content: false) != Status.Ok)
        {
            return Status.Fault;
        }
        for (ulong done = 0; done < size;)
        {
            Slot slot = map.Find(address + done)!;
            ulong length = Math.Min(size - done, slot.End - (address + done));
            Mark(slot, address + done, length, section);
            done += length;
        }
        return Status.Ok;
    }

    private void Mark(Slot slot, ulong address, ulong size, int section)
    {
        if (slot.Tracking is { } tracking)
        {
            ulong first = slot.PageOf(address);
            Count(tracking.Mark(first, slot.PageOf(address + size - 1) - first + 1, section), section);
        }
    }

    /// <summary>
    /// Without a locked instruction where the section is known: nobody else has it until it ends, and so nobody else has its words.
    /// </summary>
    private void Count(ulong added, int section)
    {
        if (added != 0 && section >= 0)
        {
            ref long marked = ref space.Counters.Of(section).PagesMarkedInSections;
            Volatile.Write(ref marked, marked + (long)added);
        }
        else if (added != 0)
        {
            SpaceCounters.Add(ref space.Counters.Mine.PagesMarked, (long)added);
        }
    }

    private int Check(SlotMap map, ulong address, ulong size, bool write, bool content)
    {
        FaultOutcome unused = default;
        ulong at = address;
        bool missing = false;
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
            ulong first = slot.PageOf(at);
            missing |= content && slot.Missing?.Wants(first, slot.PageOf(at + length - 1) - first + 1) is true;
            left -= length;
            at += length;
        }
        return missing ? Status.TryAgain : Status.Ok;
    }
}
