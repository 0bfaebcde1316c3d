using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Compare;

internal enum Verdict
{
    Same,
    Faster,
    Slower,

    /// <summary>More managed memory an operation than before.</summary>
    Allocates,
    Gone,
    New,
}

/// <summary>A row of all files. Low and High bound what the baselines measured.</summary>
internal sealed record Change(string Row, Verdict Verdict, double Before, double Low, double High, double After)
{
    /// <summary>0.25: takes a quarter longer, beside its peer.</summary>
    public double By => (After / Before) - 1;

    public bool IsWorse => Verdict is Verdict.Slower or Verdict.Allocates;
}

/// <summary>
/// Compares ratios, never times: both sides of a ratio were measured in turn in one run, so a slow machine slows both. A row has changed if
/// the quartiles of the new run lie wholly beside those of every baseline, and its median by more than the threshold.
/// </summary>
internal sealed class Comparison(double threshold, double noise)
{
    public IReadOnlyList<Change> Compare(IReadOnlyList<Results> baselines, Results now)
    {
        List<Change> changes = [];
        foreach ((string row, Measured measured) in now.Rows)
        {
            Measured[] before = [.. baselines.Where(b => b.Rows.ContainsKey(row)).Select(b => b.Rows[row])];
            changes.Add(before.Length == 0
                ? new Change(row, Verdict.New, double.NaN, double.NaN, double.NaN, measured.Ratio)
                : Judge(row, before, measured));
        }
        IEnumerable<string> gone = baselines.SelectMany(b => b.Rows.Keys).Distinct().Where(row => !now.Rows.ContainsKey(row));
        changes.AddRange(gone.Select(row => new Change(row, Verdict.Gone, double.NaN, double.NaN, double.NaN, double.NaN)));
        return changes;
    }

    private Change Judge(string row, Measured[] before, Measured now)
    {
        double middle = Median([.. before.Select(b => b.Ratio)]);
        double low = before.Min(Low);
        double high = before.Max(High);
        var change = new Change(row, Verdict.Same, middle, low, high, now.Ratio);
        if (now.Allocated > before.Max(b => b.Allocated ?? double.PositiveInfinity))
        {
            return change with { Verdict = Verdict.Allocates };
        }
        if (Low(now) > high && now.Ratio > middle * (1 + threshold))
        {
            return change with { Verdict = Verdict.Slower };
        }
        // As much faster as the other was slower: 1.1 and 1 / 1.1.
        return High(now) < low && now.Ratio < middle / (1 + threshold) ? change with { Verdict = Verdict.Faster } : change;
    }

    // The ratio of the medians may lie outside the quartiles of the rounds' ratios; both count.
    private double Low(Measured measured) => Math.Min(measured.Ratio, measured.Low ?? measured.Ratio / (1 + noise));

    private double High(Measured measured) => Math.Max(measured.Ratio, measured.High ?? measured.Ratio * (1 + noise));

    private static double Median(double[] values)
    {
        Array.Sort(values);
        int middle = values.Length / 2;
        return values.Length % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
}
