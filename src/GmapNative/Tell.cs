using System;
using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Tracing;
using System.Runtime.CompilerServices;

namespace GmapNative;

/// <summary>
/// What the rooms say to a tracer. Compiled to nothing where event sources are not supported, as in the shipped library (inlined,
/// or empty methods would remain to be called); one test of a word where nobody listens. May be said in a section and under a
/// lock: an event is written without waiting for anybody.
/// </summary>
internal static class Tell
{
    private const string Switch = "System.Diagnostics.Tracing.EventSource.IsSupported";
    private const long SlowFaultNanoseconds = 20_000;

    /// <summary>A constant to the compiler of the native libraries: EventSourceSupport of the flavour.</summary>
    [FeatureSwitchDefinition(Switch)]
    public static bool IsSupported { get; } = !AppContext.TryGetSwitch(Switch, out bool on) || on;

    /// <summary>Makes the source known: who listens already hears its counters from now on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Ready()
    {
        if (IsSupported)
        {
            _ = GmapEvents.Log;
        }
    }

    /// <summary>The time if anybody listens, else 0: what <see cref="Since"/> is asked with.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long Time(EventKeywords keyword) =>
        IsOn(EventLevel.Informational, keyword) ? Clock.Now : 0;

    /// <summary>Whether anybody listens to one of these.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Hears(EventKeywords keywords) => IsOn(EventLevel.Informational, keywords);

    /// <summary>A call to resolve an access ended; <paramref name="begin"/> is of <see cref="Time"/>, not 0.</summary>
    public static void Fault(ulong space, ulong address, uint access, uint done, bool changed, long begin)
    {
        if (!IsSupported)
        {
            return;
        }
        long ns = Since(begin);
        if (changed || ns > SlowFaultNanoseconds)
        {
            GmapEvents.Log.SlowFault(space, address, access, done, ns);
        }
        if (IsOn(EventLevel.Verbose, GmapEvents.Keywords.Faults))
        {
            GmapEvents.Log.Fault(space, address, access, done, ns);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Collapse(ulong space, ulong address)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Splits))
        {
            GmapEvents.Log.Collapse(space, address);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Split(ulong space, ulong address, bool lost)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Splits))
        {
            GmapEvents.Log.Split(space, address, lost);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Arm(ulong space, uint slot, ulong pages, long begin)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Slots))
        {
            GmapEvents.Log.Arm(space, slot, pages, Since(begin));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void HarvestBegin(ulong space, uint slot, ulong firstPage, ulong pages, uint flags)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Harvests))
        {
            GmapEvents.Log.HarvestBegin(space, slot, firstPage, pages, flags);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void HarvestEnd(ulong space, uint slot, ulong dirtyPages, long begin, int status)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Harvests))
        {
            GmapEvents.Log.HarvestEnd(space, slot, dirtyPages, Since(begin), status);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void GraceWait(ulong space, long ns, int status)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Grace))
        {
            GmapEvents.Log.GraceWait(space, ns, status);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void SlotChange(ulong space, uint slot, ulong guestAddress, ulong size, uint flags, int status)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Slots))
        {
            GmapEvents.Log.SlotChange(space, slot, guestAddress, size, flags, status);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unmap(ulong space, ulong address, ulong size, long begin, int status)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Slots))
        {
            GmapEvents.Log.Unmap(space, address, size, Since(begin), status);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ShadowOpen(ulong space, ulong shadow, ulong asce, uint edat, int status)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Shadows))
        {
            GmapEvents.Log.ShadowOpen(space, shadow, asce, edat, status);
        }
    }

    /// <summary>Nothing is said where nothing hung.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Unshadow(ulong space, long hangs, long begin)
    {
        if (hangs != 0 && IsOn(EventLevel.Informational, GmapEvents.Keywords.Shadows))
        {
            GmapEvents.Log.Unshadow(space, hangs, Since(begin));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Notify(ulong space, ulong first, ulong last, uint kind, long begin)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Notifiers))
        {
            GmapEvents.Log.Notify(space, first, last, kind, Since(begin));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void ArenaGrowth(ulong bytes, ulong committed, ulong locked)
    {
        if (IsOn(EventLevel.Informational, GmapEvents.Keywords.Arena))
        {
            GmapEvents.Log.ArenaGrowth(bytes, committed, locked);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void BackingTrouble(string message)
    {
        if (IsOn(EventLevel.Warning, GmapEvents.Keywords.Backings))
        {
            GmapEvents.Log.BackingTrouble(message);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void MemoryRefused(string what)
    {
        if (IsOn(EventLevel.Warning, GmapEvents.Keywords.Arena))
        {
            GmapEvents.Log.MemoryRefused(what);
        }
    }

    /// <summary>A space or an engine whose figures the counters show, from now on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Born(ICounted part)
    {
        if (IsSupported)
        {
            CountedParts.Add(part);
        }
    }

    /// <summary>It ends; what it counted up stays counted.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Gone(ICounted part)
    {
        if (IsSupported)
        {
            CountedParts.Remove(part);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsOn(EventLevel level, EventKeywords keyword) =>
        IsSupported && GmapEvents.Log.IsEnabled(level, keyword);

    /// <summary>0 where nobody listened at the beginning.</summary>
    private static long Since(long begin) => begin == 0 ? 0 : Clock.Since(begin);
}
