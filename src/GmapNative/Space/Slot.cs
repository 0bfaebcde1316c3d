using System;
using System.Numerics;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>
/// A memory slot: a run of guest pages and the host memory behind them. Immutable; a change publishes another one in a new
/// <see cref="SlotMap"/>, and what is tracked moves over.
/// </summary>
internal sealed record Slot(uint Id, ulong GuestAddress, ulong Size, ulong HostAddress, bool IsReadOnly)
{
    /// <summary>The logs, while dirty pages are tracked.</summary>
    public SlotTracking? Tracking { get; init; }

    /// <summary>Who knows the truth, where that is not the tables.</summary>
    public ISlotBacking? Backing { get; init; }

    public ulong End => GuestAddress + Size;

    public ulong Pages => Size >> Bits.GuestAddress.PageShift;

    /// <summary>Whether its entries are armed and taken (rule 21: a slot has one truth).</summary>
    public bool TracksEntries => Tracking is not null && Backing is null;

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

/// <summary>
/// The dirty state of a slot that is in no table: the log (what was poured since the last harvest moved it out) and the
/// epoch (what a harvest moved out and has not delivered yet). Rule 12.
/// </summary>
internal sealed class SlotTracking
{
    private const ulong WordBits = 64;

    private SlotTracking(PinnedBitmap log, PinnedBitmap epoch)
    {
        Log = log;
        Epoch = epoch;
    }

    /// <summary>The harvest lock of the slot. Never held over a grace: <c>gmap_dirty_get</c> takes it inside sections.</summary>
    public Lock Gate { get; } = new();

    /// <summary>
    /// The harvest turn, taken before <see cref="Gate"/> and kept while it is let go for the grace of a freeze (rule 20): whoever has it
    /// meets no frozen segment of the slot. Never taken in a section.
    /// </summary>
    public Lock Turn { get; } = new();

    /// <summary>Takes the harvest turn and the harvest lock.</summary>
    public void Take()
    {
        Probe.At(Place.TurnNext);
        Turn.Take();
        Gate.Take();
    }

    public void Exit()
    {
        Gate.Exit();
        Turn.Exit();
    }

    /// <summary>As <see cref="Take"/>, to the end of a using statement.</summary>
    public HeldTurn Hold()
    {
        Take();
        return new HeldTurn(this);
    }

    public PinnedBitmap Log { get; }

    public PinnedBitmap Epoch { get; }

    /// <summary>How often something was moved into the epoch. Under <see cref="Gate"/>.</summary>
    public ulong Moves { get; set; }

    public static SlotTracking? TryCreate(Arena arena, ulong pages)
    {
        PinnedBitmap? log = PinnedBitmap.TryCreate(arena, pages);
        PinnedBitmap? epoch = log is null ? null : PinnedBitmap.TryCreate(arena, pages);
        if (epoch is null)
        {
            log?.Free();
            return null;
        }
        return new SlotTracking(log!, epoch);
    }

    /// <summary>Forgets a run of pages; how many were dirty. Takes <see cref="Gate"/>.</summary>
    public ulong Drop(ulong first, ulong count)
    {
        using (Gate.Hold())
        {
            ulong dropped = 0;
            ulong end = first + count;
            _ = Log.MoveTo(Epoch, first, count);
            for (ulong at = Epoch.Skip(first, end); at < end; at = Epoch.Skip(at + WordBits, end))
            {
                ulong bits = Epoch.Peek(at) & PinnedBitmap.RunMask(0, (int)Math.Min(WordBits, end - at));
                Epoch.Clear(at, bits);
                dropped += (ulong)BitOperations.PopCount(bits);
            }
            return dropped;
        }
    }

    /// <summary>After the calls that were running when the slot was withdrawn, under <see cref="Gate"/>.</summary>
    public void Free()
    {
        Log.Free();
        Epoch.Free();
    }
}

/// <summary>A harvest turn and lock that are held until the end of a using statement.</summary>
internal readonly ref struct HeldTurn(SlotTracking tracking) : IDisposable
{
    public void Dispose() => tracking.Exit();
}

/// <summary>A kernel facility that knows which pages of a slot were written (Backing). Calls may come from any thread.</summary>
internal interface ISlotBacking
{
    /// <summary>
    /// Pours the pages that were written into <paramref name="into"/>; with <paramref name="rearm"/> the kernel's mark of each is
    /// cleared in the same step. A status; what was found before a failure is poured.
    /// </summary>
    int Collect(ulong firstPage, ulong pages, bool rearm, PinnedBitmap into, out ulong found);

    /// <summary>Forgets what was written so far and tracks from now on. A status.</summary>
    int Arm();

    /// <summary>Ends the tracking and closes what was opened.</summary>
    void Close();
}
