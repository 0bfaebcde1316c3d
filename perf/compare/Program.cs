using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;

namespace GmapNative.Compare;

/// <summary>Tells what became faster and what slower between results of `./build.sh perf`, or of `./build.sh bench`.</summary>
internal static class Program
{
    private const double Busy = 0.1;

    private const string Usage = """
        usage: perf-compare [--threshold PERCENT] [--noise PERCENT] [--all] BASELINE.json... NEW.json

          --threshold   what is told at all, beyond the noise (10)
          --noise       the spread of a row that was measured once (15); of the others it is the quartiles of their rounds
          --all         also the rows that did not change

        Status 0: nothing is slower; 1: something is; 2: the files or the options are wrong.
        """;

    public static int Main(string[] arguments) => Run(arguments, Console.Out, Console.Error);

    /// <summary>The whole program, with its output where the caller wants it.</summary>
    public static int Run(string[] arguments, TextWriter output, TextWriter errors)
    {
        List<string> files = [];
        double threshold = 0.10;
        double noise = 0.15;
        bool all = false;
        for (int i = 0; i < arguments.Length; i++)
        {
            string argument = arguments[i];
            if (argument is "--threshold" or "--noise" && i + 1 < arguments.Length && Percent(arguments[i + 1]) is double share)
            {
                (threshold, noise) = argument == "--threshold" ? (share, noise) : (threshold, share);
                i++;
            }
            else if (argument == "--all")
            {
                all = true;
            }
            else if (argument.StartsWith("--", StringComparison.Ordinal))
            {
                errors.WriteLine(Usage);
                return 2;
            }
            else
            {
                files.Add(argument);
            }
        }
        if (files.Count < 2)
        {
            errors.WriteLine(Usage);
            return 2;
        }
        try
        {
            Results[] read = [.. files.Select(Results.Read)];
            return Tell(read[..^1], read[^1], new Comparison(threshold, noise), all, output);
        }
        catch (CompareException failure)
        {
            errors.WriteLine($"perf-compare: {failure.Message}");
            return 2;
        }
    }

    private static int Tell(Results[] baselines, Results now, Comparison comparison, bool all, TextWriter output)
    {
        IReadOnlyList<Change> changes = comparison.Compare(baselines, now);
        if (changes.All(change => change.Verdict is Verdict.New or Verdict.Gone))
        {
            throw new CompareException("the files have no row in common");
        }
        foreach (Results file in baselines.Append(now))
        {
            output.WriteLine($"{(file == now ? "new     " : "baseline")}  {file.File}: {file.About}");
        }
        if (baselines.Any(baseline => baseline.About != now.About))
        {
            output.WriteLine("machine, build or way of measuring differ: a ratio is only nearly the same there");
        }
        foreach (Results file in baselines.Append(now).Where(file => file.Others > Busy))
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{file.File}: other processes took {file.Others:0.00} of the processors; do not rely on it"));
        }
        output.WriteLine();
        foreach (Change change in changes.Where(c => all || c.Verdict != Verdict.Same).OrderBy(c => c.Verdict).ThenByDescending(c => c.By))
        {
            output.WriteLine(Line(change));
        }
        output.WriteLine(string.Join(", ", Enum.GetValues<Verdict>().Select(v => $"{changes.Count(c => c.Verdict == v)} {Word(v)}")));
        return changes.Any(change => change.IsWorse) ? 1 : 0;
    }

    private static string Line(Change change) => change.Verdict is Verdict.New or Verdict.Gone
        ? $"{Word(change.Verdict),-9} {"",36} {change.Row}"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{Word(change.Verdict),-9} {change.By,+7:+0%;-0%} {change.Before,9:0.0000} -> {change.After,-9:0.0000}      {change.Row}");

    private static string Word(Verdict verdict) => verdict switch
    {
        Verdict.Same => "same",
        Verdict.Faster => "faster",
        Verdict.Slower => "slower",
        Verdict.Allocates => "allocates",
        Verdict.Gone => "gone",
        _ => "new",
    };

    private static double? Percent(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double percent) ? percent / 100 : null;
}
