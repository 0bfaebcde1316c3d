using System;

namespace GmapNative.Space;

/// <summary>
/// A memory slot: a run of guest pages and the host memory behind them. Immutable; a change publishes another one in a new
/// <see cref="SlotMap"/>, and what is tracked moves over.
/// </summary>
internal sealed record Slot(uint Id, ulong GuestAddress, ulong Size, ulong HostAddress, bool IsReadOnly)
{
    /// <summary>The logs, while dirty pages are tracked.</summary>
    public SlotTracking? Tracking { get; init; }

    /// <summary>Its space tracks by generation: dense bits are the truth (rule 26).</summary>
    public bool ByGeneration { get; init; }

    /// <summary>Who knows the truth, where that is not the tables.</summary>
    public ISlotBacking? Backing { get; init; }

    public ulong End => GuestAddress + Size;

    public ulong Pages => Size >> Bits.GuestAddress.PageShift;

    /// <summary>Whether its entries are armed and taken (rule 21: a slot has one truth).</summary>
    public bool TracksEntries => Tracking is not null && Backing is null && !ByGeneration;

    /// <summary>What of start..end-1 lies in it; false: nothing.</summary>
    public bool Clips(ulong start, ulong end, out ulong from, out ulong to)
    {
        from = Math.Max(start, GuestAddress);
        to = Math.Min(end, End);
        return from < to;
    }

    public ulong PageOf(ulong address) => (address - GuestAddress) >> Bits.GuestAddress.PageShift;

    public ulong HostOf(ulong address) => HostAddress + (address - GuestAddress);

    /// <summary>Whether a segment (1 MB aligned address) may be one leaf: it fits, and both addresses agree modulo 1 MB.</summary>
    public bool FitsLeaf(ulong segment) =>
        segment >= GuestAddress && End - segment >= Bits.GuestAddress.SegmentSize && segment < End
        && ((GuestAddress ^ HostAddress) & (Bits.GuestAddress.SegmentSize - 1)) == 0;
}

/// <summary>A kernel facility that knows which pages of a slot were written (Backing). Calls may come from any thread.</summary>
internal interface ISlotBacking
{
    /// <summary>
    /// Pours the pages that were written into <paramref name="into"/>; with <paramref name="rearm"/> the kernel's mark of each is
    /// cleared in the same step. A status; what was found before a failure is poured.
    /// </summary>
    int Collect(ulong firstPage, ulong pages, bool rearm, Outlet into, out ulong found);

    /// <summary>Forgets what was written so far and tracks from now on. A status.</summary>
    int Arm();

    /// <summary>Ends the tracking and closes what was opened.</summary>
    void Close();
}
