using System.Collections.Generic;
using System.Linq;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>Kernel-tracked slots, and what the documentation allows when memory or readers do not play along.</summary>
internal sealed partial class ReferenceSpace
{
    public bool IsEager => policy == SplitPolicy.Eager;

    public bool IsLeaf(ulong address) => _leaves.Contains(address >> 20);

    /// <summary>Whether a page is mapped with I = 1: aged, or nothing is allowed there.</summary>
    public bool IsAged(ulong address) => _aged.Contains(address >> 12);

    public bool HasTable(ulong address) => _tables.Contains(address >> 20);

    /// <summary>How many pages of the segment of an address are mapped and dirty, where the tables track the slot that is there.</summary>
    public long DirtyOf(ulong address) => Find(address) is { Marked: { } marked } ? marked.Count(page => page >> 8 == address >> 20)
        : Find(address) is not { Tracked: true } ? 0
        : Pages(address >> 20 << 8, 256).Count(page => _pages.GetValueOrDefault(page));

    /// <summary>Whether a page of a slot is mapped; the aged ones count too, if asked.</summary>
    public bool MapsAny(ReferenceSlot slot, bool agedToo) =>
        _pages.Keys.Any(page => slot.Covers(page << 12, 1) && (agedToo || !_aged.Contains(page)));

    /// <summary>A backing is attached: what the tables know goes to the log, and nothing is mapped.</summary>
    public void Attach(ReferenceSlot slot)
    {
        if (slot.Tracked)
        {
            Take(slot, slot.FirstPage, slot.Pages);
        }
        UnmapSlot(slot, slot.Start, slot.End);
        Slots[slot.Id] = slot with { Kernel = [] };
    }

    /// <summary>Pages are to come, all of a slot or some: nothing is mapped.</summary>
    public void AttachMissing(ReferenceSlot slot, IEnumerable<ulong> pages)
    {
        UnmapSlot(slot, slot.Start, slot.End);
        Slots[slot.Id] = slot with { Missing = [.. pages] };
    }

    /// <summary>Whether a page of a range (not empty) is still to come.</summary>
    public bool Lacks(ulong address, ulong size) =>
        Slots.Values.Any(slot => slot.Missing?.Any(page => page >= address >> 12 && page <= (address + size - 1) >> 12) is true);

    public void DetachMissing(ReferenceSlot slot) => Slots[slot.Id] = slot with { Missing = null };

    /// <summary>The kernel's last pages go to the log, and entries are armed.</summary>
    public void Detach(ReferenceSlot slot)
    {
        Collect(slot);
        Slots[slot.Id] = slot with { Kernel = null };
        foreach (ulong page in slot.Log is null ? [] : _pages.Keys.Where(page => slot.Covers(page << 12, 1)).ToArray())
        {
            _pages[page] = false;
        }
    }

    /// <summary>A host address was stored to by anybody.</summary>
    public void Stored(ulong host)
    {
        foreach (ReferenceSlot slot in Slots.Values)
        {
            if (slot.Kernel is not null && host >= slot.Host && host - slot.Host < slot.Size)
            {
                slot.Kernel.Add(slot.FirstPage + ((host - slot.Host) >> 12));
            }
        }
    }

    /// <summary>Readers did not leave: the pages are clean, and come with the next harvest.</summary>
    public void TakeIntoLog(ReferenceSlot slot, IEnumerable<ulong> pages)
    {
        foreach (ulong page in pages)
        {
            PagesTaken += Take(slot, page, 1);
        }
    }

    public void EveryPageDirty(uint id) => Slots[id].Pour(PagesOf(Slots[id]));

    /// <summary>
    /// A fault that found no memory may have made the way to its segment, and a clean leaf; which of it, <paramref name="seen"/> (a
    /// translation for a read) tells. False: it did what it must not.
    /// </summary>
    public bool FaultWithoutMemory(ulong address, Answer seen)
    {
        Answer before = Translate(address, write: false);
        if (seen == before)
        {
            return true;
        }
        ReferenceSlot? slot = Find(address);
        ulong segment = address >> 20;
        if (slot is null || _leaves.Contains(segment) || _tables.Contains(segment))
        {
            return before.Reason == FaultReason.NeedsFault && UsedBy(address, seen);
        }
        if (WayWithoutMemory(address, seen))
        {
            return true;
        }
        return MapSegment(slot, segment, dirty: false) == FaultDone.Mapped && seen == Translate(address, write: false);
    }

    private bool UsedBy(ulong address, Answer seen)
    {
        Use(address);
        return seen == Translate(address, write: false);
    }

    private bool DirtyInTruth(ReferenceSlot slot, ulong page) =>
        (slot.Kernel ?? slot.Marked)?.Contains(page) ?? _pages.GetValueOrDefault(page);

    private static void Collect(ReferenceSlot slot)
    {
        if ((slot.Kernel ?? slot.Marked) is { } truth)
        {
            slot.Pour(truth);
        }
    }
}
