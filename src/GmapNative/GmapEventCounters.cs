using System;
using System.Collections.Generic;
using System.Diagnostics.Tracing;
using System.Threading;

namespace GmapNative;

/// <summary>Figures of all spaces and engines of the process together.</summary>
internal struct Totals
{
    public long Faults;
    public long Splits;
    public long Harvests;
    public long PagesHarvested;
    public long GraceNanoseconds;

    /// <summary>Now; the others only rise.</summary>
    public long TableBytes;
}

/// <summary>Has figures for the counters.</summary>
internal interface ICounted
{
    /// <summary>Reads counters only: it may come at any time, from any thread.</summary>
    void AddTo(ref Totals totals);
}

/// <summary>The living parts that count, and what the ended ones had counted up.</summary>
internal static class CountedParts
{
    private static readonly Lock s_gate = new();
    private static readonly List<ICounted> s_parts = [];
    private static Totals s_ended;

    public static void Add(ICounted part)
    {
        lock (s_gate)
        {
            s_parts.Add(part);
        }
    }

    public static void Remove(ICounted part)
    {
        lock (s_gate)
        {
            if (s_parts.Remove(part))
            {
                part.AddTo(ref s_ended);
                s_ended.TableBytes = 0;
            }
        }
    }

    public static Totals Sum()
    {
        lock (s_gate)
        {
            Totals sum = s_ended;
            foreach (ICounted part in s_parts)
            {
                part.AddTo(ref sum);
            }
            return sum;
        }
    }
}

/// <summary>The event counters: rates and levels for dotnet-counters, made when somebody first listens.</summary>
internal sealed class GmapEventCounters : IDisposable
{
    private readonly DiagnosticCounter[] _counters;
    private Totals _before;

    public GmapEventCounters(EventSource source)
    {
        _before = CountedParts.Sum();
        _counters =
        [
            Rate(source, "faults", "Faults", "faults", totals => totals.Faults),
            Rate(source, "splits", "Splits", "splits", totals => totals.Splits),
            Rate(source, "pages-harvested", "Pages harvested", "pages", totals => totals.PagesHarvested),
            Rate(source, "grace-wait", "Waiting for grace", "ns", totals => totals.GraceNanoseconds),
            new PollingCounter("dirty-pages-per-harvest", source, DirtyPagesPerHarvest)
            {
                DisplayName = "Dirty pages per harvest",
                DisplayUnits = "pages",
            },
            new PollingCounter("table-bytes", source, () => CountedParts.Sum().TableBytes)
            {
                DisplayName = "Translation tables",
                DisplayUnits = "bytes",
            },
        ];
    }

    public void Dispose()
    {
        foreach (DiagnosticCounter counter in _counters)
        {
            counter.Dispose();
        }
    }

    private static IncrementingPollingCounter Rate(EventSource source, string name, string title, string unit, Func<Totals, long> of) =>
        new(name, source, () => of(CountedParts.Sum()))
        {
            DisplayName = title,
            DisplayUnits = unit,
            DisplayRateTimeScale = TimeSpan.FromSeconds(1),
        };

    /// <summary>Of the harvests since it was last asked; 0 if there were none.</summary>
    private double DirtyPagesPerHarvest()
    {
        Totals now = CountedParts.Sum();
        long harvests = now.Harvests - _before.Harvests;
        double pages = harvests == 0 ? 0 : (double)(now.PagesHarvested - _before.PagesHarvested) / harvests;
        _before = now;
        return pages;
    }
}
