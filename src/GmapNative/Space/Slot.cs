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

    /// <summary>Whether it logs for its own sake (a space's dirty scope).</summary>
    public bool Asks { get; init; }

    /// <summary>Its space tracks by generation: dense bits are the truth (rule 26).</summary>
    public bool ByGeneration { get; init; }

    /// <summary>Who knows the truth, where that is not the tables.</summary>
    public ISlotBacking? Backing { get; init; }

    /// <summary>Which of its pages are still to come (rule 38); null: all are there.</summary>
    public IMissingPages? Missing { get; init; }

    /// <summary>Whether its entries alone say what a host may do: what watches and shadows need.</summary>
    public bool IsPlain => Backing is null && Missing is null;

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

    /// <summary>
    /// Whether a segment (1 MB aligned address) may be one leaf: it fits, is all there, and both addresses agree modulo 1 MB.
    /// </summary>
    public bool FitsLeaf(ulong segment) => Fits(segment, Bits.GuestAddress.SegmentSize);

    /// <summary>The same of 2 GB (2 GB aligned address).</summary>
    public bool FitsRegion(ulong region) => Fits(region, Bits.GuestAddress.RegionThirdSize);

    private bool Fits(ulong start, ulong size) =>
        start >= GuestAddress && start < End && End - start >= size && ((GuestAddress ^ HostAddress) & (size - 1)) == 0
        && (Missing is null || Probe.LeavesOut(Step.LeafOverMissing)
            || !Missing.Lacks(PageOf(start), size >> Bits.GuestAddress.PageShift));
}

/// <summary>Which pages of a slot are still to come (Backing). Calls may come from any thread, and wait for nothing.</summary>
internal interface IMissingPages
{
    /// <summary>Whether a page of the run has not come.</summary>
    bool Lacks(ulong first, ulong count);

    /// <summary>The same, and what lacks is wanted from now on.</summary>
    bool Wants(ulong first, ulong count);

    /// <summary>Of the arena.</summary>
    ulong BytesCharged { get; }

    /// <summary>Ends it, whatever is missing. No fault looks here any more.</summary>
    void Close();
}

/// <summary>A kernel facility that knows which pages of a slot were written (Backing). Calls may come from any thread.</summary>
internal interface ISlotBacking
{
    /// <summary>
    /// Pours the pages that were written into <paramref name="into"/>; with <paramref name="rearm"/> the kernel's mark of each is
    /// cleared in the same step. A status; what was found before a failure is poured.
    /// </summary>
    int Collect(ulong firstPage, ulong pages, bool rearm, Outlet into, out ulong found);

    /// <summary>
    /// A restore has put back the pages of a consumer's epoch: all that was written is protected again. Those pages are the other
    /// consumers' to know; what else was written meanwhile is everybody's, and counts in <paramref name="others"/>. A status.
    /// </summary>
    int Settle(DirtySink[] sinks, DirtySink own, out ulong others);

    /// <summary>Forgets what was written so far and tracks from now on. A status.</summary>
    int Arm();

    /// <summary>The contents of pages were thrown away, with them perhaps what the kernel knows: tracks them anew. A status.</summary>
    int Rearm(ulong firstPage, ulong pages);

    /// <summary>The userfaultfd; -1 after <see cref="Close"/>.</summary>
    int Descriptor { get; }

    /// <summary>A store may wait until the host has another thread answer it.</summary>
    bool StopsStores { get; }

    /// <summary>Of the arena, for what it remembers.</summary>
    ulong BytesCharged { get; }

    /// <summary>Ends the tracking and closes what was opened.</summary>
    void Close();
}
