using System;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>All slots of a space at one time, sorted by guest address. Immutable: read without a lock, replaced as a whole.</summary>
internal sealed class SlotMap : ITokenSource
{
    private readonly Slot[] _slots;

    private SlotMap(Slot[] slots)
    {
        _slots = slots;
    }

    public static SlotMap None { get; } = new([]);

    public ReadOnlySpan<Slot> Slots => _slots;

    /// <summary>The slot that an address lies in, or null.</summary>
    public Slot? Find(ulong address)
    {
        int index = LastAtOrBelow(address);
        return index >= 0 && address < _slots[index].End ? _slots[index] : null;
    }

    public Slot? ById(uint id)
    {
        foreach (Slot slot in _slots) // a lambda would allocate for each harvest and mark
        {
            if (slot.Id == id)
            {
                return slot;
            }
        }
        return null;
    }

    /// <inheritdoc/>
    public bool HasSlot(ulong address, ulong size)
    {
        int index = LastAtOrBelow(address + size - 1);
        return index >= 0 && address < _slots[index].End;
    }

    /// <inheritdoc/>
    public int RunOf(ulong address, int shift, int most, out bool hasSlot)
    {
        ulong size = 1UL << shift;
        int index = LastAtOrBelow(address + size - 1);
        hasSlot = index >= 0 && address < _slots[index].End;
        ulong run = (ulong)most;
        if (hasSlot)
        {
            run = ((_slots[index].End - 1 - address) >> shift) + 1; // to the last piece that it touches
        }
        else if (index + 1 < _slots.Length)
        {
            run = (_slots[index + 1].GuestAddress - address) >> shift; // to the piece that the next slot begins in
        }
        return (int)Math.Min(run, (ulong)most);
    }

    /// <inheritdoc/>
    public bool FitsRegion(ulong region) => Find(region)?.FitsRegion(region) == true;

    public SlotMap With(Slot slot)
    {
        Slot[] slots = [.. _slots, slot];
        Array.Sort(slots, (left, right) => left.GuestAddress.CompareTo(right.GuestAddress));
        return new SlotMap(slots);
    }

    public SlotMap Without(Slot slot) => new(Array.FindAll(_slots, other => other.Id != slot.Id));

    private int LastAtOrBelow(ulong address)
    {
        int low = 0;
        int high = _slots.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            if (_slots[middle].GuestAddress <= address)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }
        return high;
    }
}
