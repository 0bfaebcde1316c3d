using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace GmapNative.TraceReport;

/// <summary>
/// The recording as one SVG: five panels over one time axis. The colours are told apart by colour-blind eyes and, by their
/// lightness, on paper; vertical dashed lines are armings.
/// </summary>
internal sealed class Drawing
{
    private const int Bins = 180;
    private const int MostMarks = 600;
    private const string Navy = "#1b3f6b";
    private const string Sky = "#6ba3d6";
    private const string Orange = "#c75b12";
    private const string Green = "#2f7d4f";
    private const string Red = "#b3261e";

    private readonly Trace _trace;
    private readonly string _title;
    private readonly TimeAxis _time;

    public Drawing(Trace trace, string title)
    {
        _trace = trace;
        _title = title;
        _time = new TimeAxis(Math.Max(trace.Seconds, 0.001));
    }

    public string Svg()
    {
        var page = new Page(_title, Subtitle(), _time);
        Columns faults = Count([("slow", Navy, _trace.Faults.Where(f => f.Slow).Select(f => f.At)),
            ("other", Sky, _trace.Faults.Where(f => !f.Slow).Select(f => f.At))]);
        page.AddColumns("faults", $"Faults{PerBin}", _trace.Faults.Count, faults);
        Columns splits = Count([("split", Green, _trace.Splits.Where(s => !s.Lost).Select(s => s.At)),
            ("lost to another thread", Red, _trace.Splits.Where(s => s.Lost).Select(s => s.At))]);
        page.AddColumns("splits", $"Splits of 1 MB leaves{PerBin}", _trace.Splits.Count, splits);

        List<Mark> harvests = [.. _trace.Harvests.Select(h => new Mark(h.Begin, h.End, h.Milliseconds, h.Status != 0))];
        page.AddMarks("harvests", "Harvests, duration in ms", harvests.Count, Thin(harvests), Orange);
        List<Mark> dirty = [.. _trace.Harvests.Select(h => new Mark(h.End, h.End, h.Dirty, h.Status != 0))];
        page.AddMarks("dirty", "Dirty pages of each harvest (4 KB)", dirty.Count, Thin(dirty), Navy);
        List<Mark> waits = [.. _trace.GraceWaits.Select(
            g => new Mark(Math.Max(0, g.At - (g.Milliseconds / 1000)), g.At, g.Milliseconds, g.Status != 0))];
        page.AddMarks("grace", "Grace waits, duration in ms", waits.Count, Thin(waits), Green);
        page.AddArmings(_trace.Arms.Select(arm => arm.At));
        return page.End();
    }

    private string PerBin => string.Create(CultureInfo.InvariantCulture, $" per {_time.Seconds / Bins * 1000:G3} ms");

    private string Subtitle()
    {
        ulong pages = _trace.Harvests.Aggregate(0UL, (sum, h) => sum + h.Dirty);
        string dropped = _trace.Dropped > 0 ? string.Create(CultureInfo.InvariantCulture, $"; {_trace.Dropped} events were dropped") : "";
        return string.Create(CultureInfo.InvariantCulture, $"{_trace.Faults.Count:N0} faults, ")
            + string.Create(CultureInfo.InvariantCulture, $"{_trace.Splits.Count(s => !s.Lost):N0} splits, armed {_trace.Arms.Count:N0}×, ")
            + string.Create(CultureInfo.InvariantCulture, $"{_trace.Harvests.Count:N0} harvests of {pages:N0} pages, ")
            + string.Create(CultureInfo.InvariantCulture, $"{_trace.GraceWaits.Count:N0} grace waits in {_time.Seconds:F2} s{dropped}");
    }

    private Columns Count((string Name, string Colour, IEnumerable<double> Times)[] kinds)
    {
        var series = new List<Series>();
        foreach ((string name, string colour, IEnumerable<double> times) in kinds)
        {
            int[] counts = new int[Bins];
            foreach (double at in times)
            {
                counts[Math.Clamp((int)(at / _time.Seconds * Bins), 0, Bins - 1)]++;
            }
            series.Add(new Series(name, colour, counts));
        }
        return new Columns(series);
    }

    /// <summary>At most so many that a picture holds them: of those that fall together the highest, those that failed apart.</summary>
    private List<Mark> Thin(List<Mark> marks)
    {
        if (marks.Count <= MostMarks)
        {
            return marks;
        }
        IEnumerable<IGrouping<(int, bool), Mark>> near =
            marks.GroupBy(mark => ((int)(mark.Begin / _time.Seconds * MostMarks), mark.Failed));
        return [.. near.Select(group => group.MaxBy(mark => mark.Value))];
    }
}

/// <summary>A stem from the time axis, as wide as it lasted.</summary>
internal readonly record struct Mark(double Begin, double End, double Value, bool Failed);

internal sealed record Series(string Name, string Colour, int[] Counts);

/// <summary>Counts of equal stretches of time, one on top of the other.</summary>
internal sealed record Columns(List<Series> Series)
{
    public int Highest => Enumerable.Range(0, Series[0].Counts.Length).Max(bin => Series.Sum(series => series.Counts[bin]));
}
