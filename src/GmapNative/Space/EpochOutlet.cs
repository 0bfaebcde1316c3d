namespace GmapNative.Space;

/// <summary>
/// The outlet of a harvest: into the epoch of its consumer, and what is taken counts for the slot's rate. Where some log has nothing in
/// a run, all that is taken there is fresh: then it counts as a whole, and no word is looked at for it. Under the slot's harvest turn,
/// which keeps the consumers as they are.
/// </summary>
internal readonly struct EpochOutlet(SlotTracking tracking, DirtySink sink)
{
    private readonly Outlet _uncounted = new(tracking.Sinks, sink, sink.Epoch);

    /// <summary>Counts word by word.</summary>
    public Outlet Each { get; } = new(tracking.Sinks, sink, sink.Epoch, tracking);

    /// <summary>For a run of pages. <paramref name="whole"/>: what is taken is told to <see cref="Count"/> afterwards.</summary>
    public Outlet Of(ulong first, ulong pages, out bool whole)
    {
        whole = tracking.HasClearLog(first, pages);
        return whole ? _uncounted : Each;
    }

    public void Count(bool whole, long taken) => tracking.Rate.CountTaken(whole ? (ulong)taken : 0);
}
