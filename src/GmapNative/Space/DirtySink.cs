using System;
using System.Runtime.CompilerServices;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>
/// What one consumer of a slot's dirty pages has to get: the log (what was poured since its last harvest moved it out) and the epoch
/// (what that harvest moved out, until it is delivered or committed). Rules 10, 12 and 25.
/// </summary>
internal sealed class DirtySink
{
    private DirtySink(PinnedBitmap log, PinnedBitmap epoch, bool countsDiscards)
    {
        CountsDiscards = countsDiscards;
        Log = log;
        Epoch = epoch;
    }

    /// <summary>Set by anyone in a section, moved out under the slot's harvest lock.</summary>
    public PinnedBitmap Log { get; }

    /// <summary>Filled under the slot's harvest lock.</summary>
    public PinnedBitmap Epoch { get; }

    /// <summary>How often something was moved into the epoch. Under the slot's harvest lock.</summary>
    public ulong Moves { get; set; }

    /// <summary>Whether a discarded page is a dirty one, as its contents change.</summary>
    public bool CountsDiscards { get; }

    /// <summary>What one takes of the arena's budget.</summary>
    public static ulong BytesFor(ulong pages) =>
        PinnedBitmap.BytesFor(pages, lines: false) + PinnedBitmap.BytesFor(pages, lines: true);

    /// <summary>Both empty; null when the arena's budget is exhausted.</summary>
    public static DirtySink? TryCreate(Arena arena, ulong pages, bool countsDiscards = false)
    {
        PinnedBitmap? log = PinnedBitmap.TryCreate(arena, pages);
        PinnedBitmap? epoch = log is null ? null : PinnedBitmap.TryCreate(arena, pages, lines: true);
        if (epoch is null)
        {
            log?.Free();
            return null;
        }
        return new DirtySink(log!, epoch, countsDiscards);
    }

    /// <summary>Moves a run of the log into the epoch; whether there was anything. Under the slot's harvest lock.</summary>
    public bool MoveOut(ulong first, ulong count)
    {
        bool any = Log.MoveTo(Epoch, first, count);
        Moves += any ? 1UL : 0;
        return any;
    }

    /// <summary>The first place in first..end-1 that the log or the epoch may have; <paramref name="end"/>: none.</summary>
    public ulong Skip(ulong first, ulong end) => System.Math.Min(Log.Skip(first, end), Epoch.Skip(first, end));

    /// <summary>When no call can have it any more.</summary>
    public void Free()
    {
        Log.Free();
        Epoch.Free();
    }
}

/// <summary>
/// Where pages go that leave the tables or the kernel: first into a bitmap of one consumer, then into the logs of all others (rule 10:
/// before their source is cleared). The default drops them.
/// </summary>
/// <param name="sinks">The consumers of the slot; null: nobody.</param>
/// <param name="own">Whose <paramref name="bitmap"/> it is.</param>
/// <param name="bitmap">The log or the epoch of that consumer.</param>
/// <param name="counted">The slot whose rate counts what comes; null: it does not count. Under the slot's harvest lock then.</param>
internal readonly struct Outlet(DirtySink[]? sinks, DirtySink? own, PinnedBitmap? bitmap, SlotTracking? counted = null)
{
    private readonly DirtySink[]? _others = sinks?.Length > 1 ? sinks : null;

    /// <summary>Nobody gets anything.</summary>
    public static Outlet None => default;

    public bool IsNone => bitmap is null;

    /// <summary>Sets bits first..first+63 as <paramref name="mask"/> says.</summary>
    public void Or(ulong first, ulong mask)
    {
        Count(first, mask);
        _ = bitmap?.Or(first, mask);
        Probe.At(Place.FirstPoured);
        if (_others is not null)
        {
            OrOthers(first, mask);
        }
    }

    /// <summary>The same by plain stores into the bitmap: while nobody else changes it (an epoch, under the harvest lock).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)] // each page of a sparse table
    public void OrAlone(ulong first, ulong mask)
    {
        Count(first, mask);
        bitmap?.OrAlone(first, mask);
        Probe.At(Place.FirstPoured);
        if (_others is not null)
        {
            OrOthers(first, mask);
        }
    }

    /// <summary>The same for many words (<see cref="PinnedBitmap.OrAlone(ulong, ReadOnlySpan{ulong})"/>).</summary>
    public void OrAlone(ulong first, ReadOnlySpan<ulong> masks)
    {
        for (int i = 0; counted is not null && i < masks.Length; i++)
        {
            Count(first + ((ulong)i * 64), masks[i]);
        }
        bitmap?.OrAlone(first, masks);
        Probe.At(Place.FirstPoured);
        for (int i = 0; _others is not null && i < masks.Length; i++)
        {
            if (masks[i] != 0)
            {
                OrOthers(first + ((ulong)i * 64), masks[i]);
            }
        }
    }

    /// <summary>Sets a run of bits.</summary>
    public void OrRange(ulong first, ulong count)
    {
        for (ulong at = 0; counted is not null && at < count; at += 64)
        {
            Count(first + at, PinnedBitmap.RunMask(0, (int)System.Math.Min(64, count - at)));
        }
        _ = bitmap?.OrRange(first, count);
        Probe.At(Place.FirstPoured);
        for (int i = 0; _others is not null && i < _others.Length; i++)
        {
            if (_others[i] != own && !Probe.LeavesOut(Step.OneConsumerOnly))
            {
                _ = _others[i].Log.OrRange(first, count);
            }
        }
    }

    /// <summary>Brings the word of a bit near.</summary>
    public void Prefetch(ulong bit) => bitmap?.Prefetch(bit);

    private void Count(ulong first, ulong mask)
    {
        if (counted is not null)
        {
            counted.Rate.CountTaken(counted.FreshOf(first, mask, looker: sinks is null ? own : null));
        }
    }

    private void OrOthers(ulong first, ulong mask)
    {
        foreach (DirtySink other in _others!)
        {
            if (other != own && !Probe.LeavesOut(Step.OneConsumerOnly))
            {
                _ = other.Log.Or(first, mask);
            }
        }
    }
}
