using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace GmapNative.TraceReport;

/// <summary>The figures of a recording as text: counts, rates, totals.</summary>
internal static class Summary
{
    public static string Of(Trace trace)
    {
        var text = new StringBuilder();
        double seconds = trace.Seconds;
        Line(text, $"{trace.Events} events in {seconds:F3} s{(trace.Dropped > 0 ? $", {trace.Dropped} more were dropped" : "")}");
        Counted(text, "slow faults", trace.Faults.Where(f => f.Slow).Select(f => f.Milliseconds), seconds);
        Counted(text, "other faults", trace.Faults.Where(f => !f.Slow).Select(f => f.Milliseconds), seconds);
        int lost = trace.Splits.Count(s => s.Lost);
        Line(text, $"{"splits",-14}{trace.Splits.Count - lost,10} {Rate(trace.Splits.Count - lost, seconds)}, {lost} lost to another thread");
        Counted(text, "armings", trace.Arms.Select(a => a.Milliseconds), seconds);
        Counted(text, "harvests", trace.Harvests.Select(h => h.Milliseconds), seconds);
        ulong dirty = trace.Harvests.Aggregate(0UL, (sum, h) => sum + h.Dirty);
        int failed = trace.Harvests.Count(h => h.Status != 0);
        Line(text, $"{"dirty pages",-14}{dirty,10}  = {dirty / 256.0:F1} MiB; {failed} harvests failed, {trace.OpenHarvests} did not end");
        Counted(text, "grace waits", trace.GraceWaits.Select(g => g.Milliseconds), seconds);
        Line(text, $"{"slot changes",-14}{trace.SlotChanges,10}");
        Line(text, $"{"unmaps",-14}{trace.Unmaps,10}  {trace.UnmappedBytes / 1048576.0:F1} MiB");
        Line(text, $"{"arena growth",-14}{trace.ArenaGrowthBytes / 1024,10}  KiB");
        foreach (string trouble in trace.Troubles)
        {
            Line(text, $"trouble: {trouble}");
        }
        foreach (KeyValuePair<int, int> unknown in trace.Unknown)
        {
            Line(text, $"event {unknown.Key} is not known here: {unknown.Value} of it");
        }
        return text.ToString();
    }

    private static void Counted(StringBuilder text, string name, IEnumerable<double> milliseconds, double seconds)
    {
        double[] sorted = [.. milliseconds.Order()];
        string times = sorted.Length == 0 ? ""
            : $", {sorted.Sum():F3} ms in all, median {sorted[sorted.Length / 2]:F4} ms, longest {sorted[^1]:F3} ms";
        Line(text, $"{name,-14}{sorted.Length,10} {Rate(sorted.Length, seconds)}{times}");
    }

    private static string Rate(int count, double seconds) => Invariant($"{(seconds > 0 ? count / seconds : 0),10:F1}/s");

    private static void Line(StringBuilder text, FormattableString line) => text.Append(Invariant(line)).Append('\n');

    private static string Invariant(FormattableString line) => line.ToString(CultureInfo.InvariantCulture);
}
