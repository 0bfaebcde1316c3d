using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;

namespace GmapNative.Compare;

/// <summary>
/// A measured ratio, ours beside a peer's of the same run; Low and High are the quartiles of its rounds, Allocated the bytes of managed
/// memory an operation. Null: nobody looked.
/// </summary>
internal sealed record Measured(double Ratio, double? Low, double? High, double? Allocated = null);

/// <summary>What cannot be read or compared; the message is one line.</summary>
internal sealed class CompareException(string message) : Exception(message.ReplaceLineEndings(" "));

/// <summary>The ratios of one file: a table of `./build.sh perf`, or BenchmarkDotNet's full JSON.</summary>
internal sealed class Results
{
    /// <summary>The benchmark that all others of a job are measured against: its code is not the engine's.</summary>
    public const string Reference = "GmapNative.Benchmarks.ScanBenchmarks.Scalar(DirtyOneOf: 0)";

    private Results(string file, string about, Dictionary<string, Measured> rows)
    {
        File = file;
        About = about;
        Rows = rows;
    }

    public string File { get; }

    /// <summary>The machine and the build, in one line.</summary>
    public string About { get; }

    /// <summary>How much of the processors others took meanwhile; 0 where the file does not say.</summary>
    public double Others { get; private init; }

    public IReadOnlyDictionary<string, Measured> Rows { get; }

    public static Results Read(string file)
    {
        try
        {
            using var document = JsonDocument.Parse(System.IO.File.ReadAllBytes(file));
            JsonElement root = document.RootElement;
            return root.TryGetProperty("Benchmarks", out _) ? OfBenchmarks(file, root) : OfTable(file, root);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new CompareException(failure.Message);
        }
        catch (Exception failure) when (failure is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new CompareException($"{file} is no result of `./build.sh perf` or `./build.sh bench`: {failure.Message}");
        }
    }

    private static Results OfTable(string file, JsonElement root)
    {
        Dictionary<string, Measured> rows = [];
        Dictionary<string, (double? Low, double? High)> spreads = [];
        if (root.TryGetProperty("spread", out JsonElement all))
        {
            foreach (JsonElement spread in all.EnumerateArray())
            {
                spreads[Name(spread)] = (Number(spread, "ratio_low"), Number(spread, "ratio_high"));
            }
        }
        foreach (JsonElement row in root.GetProperty("rows").EnumerateArray())
        {
            string name = Name(row);
            if (Number(row, "ratio") is double ratio)
            {
                (double? low, double? high) = spreads.GetValueOrDefault(name);
                Add(rows, file, name, new Measured(ratio, low, high));
            }
        }
        double others = root.TryGetProperty("run", out JsonElement run) ? Number(run, "others_processors") ?? 0 : 0;
        return new Results(file, AboutTable(root), rows) { Others = others };
    }

    private static string Name(JsonElement row) => $"{row.GetProperty("row").GetString()} | {row.GetProperty("peer").GetString()}";

    private static string AboutTable(JsonElement root)
    {
        string processor = Text(root, "machine", "processor");
        string quick = root.TryGetProperty("run", out JsonElement run) && run.GetProperty("quick").GetBoolean() ? ", --quick" : "";
        return $"{processor}; {Text(root, "build", "library")} {Text(root, "build", "instructions")}{quick}";
    }

    private static Results OfBenchmarks(string file, JsonElement root)
    {
        Dictionary<string, Measured> rows = [];
        JsonElement[] all = [.. root.GetProperty("Benchmarks").EnumerateArray().Where(HasStatistics)];
        foreach (IGrouping<string, JsonElement> job in all.GroupBy(JobOf))
        {
            JsonElement reference = job.FirstOrDefault(one => one.GetProperty("FullName").GetString() == Reference);
            if (reference.ValueKind == JsonValueKind.Undefined)
            {
                throw new CompareException($"{file}: {job.Key} has no {Reference}, which its ratios need");
            }
            double unit = Statistic(reference, "Median");
            foreach (JsonElement one in job.Where(one => one.GetProperty("FullName").GetString() != Reference))
            {
                double? allocated = one.TryGetProperty("Memory", out JsonElement memory) ? Number(memory, "BytesAllocatedPerOperation") : null;
                var measured = new Measured(
                    Statistic(one, "Median") / unit, Statistic(one, "Q1") / unit, Statistic(one, "Q3") / unit, allocated);
                Add(rows, file, $"{one.GetProperty("FullName").GetString()} | {job.Key}", measured);
            }
        }
        JsonElement host = root.GetProperty("HostEnvironmentInfo");
        return new Results(file, $"{host.GetProperty("ProcessorName").GetString()}; {host.GetProperty("RuntimeVersion").GetString()}", rows);
    }

    private static bool HasStatistics(JsonElement benchmark) =>
        benchmark.TryGetProperty("Statistics", out JsonElement statistics) && statistics.ValueKind == JsonValueKind.Object;

    /// <summary>"ScanBenchmarks.Groups: JIT(Toolchain=...) [...]": JIT.</summary>
    private static string JobOf(JsonElement benchmark)
    {
        string text = benchmark.GetProperty("DisplayInfo").GetString()!;
        string job = text[(text.IndexOf(": ", StringComparison.Ordinal) + 2)..];
        int end = job.IndexOf('(', StringComparison.Ordinal);
        return end < 0 ? job : job[..end];
    }

    private static double Statistic(JsonElement benchmark, string name) => benchmark.GetProperty("Statistics").GetProperty(name).GetDouble();

    private static double? Number(JsonElement element, string name) =>
        element.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    private static string Text(JsonElement root, string group, string name) =>
        root.TryGetProperty(group, out JsonElement found) && found.TryGetProperty(name, out JsonElement value)
            ? value.GetString() ?? "?" : "?";

    private static void Add(Dictionary<string, Measured> rows, string file, string name, Measured measured)
    {
        if (!double.IsFinite(measured.Ratio) || measured.Ratio <= 0)
        {
            throw new CompareException($"{file}: {name}: a ratio of {measured.Ratio}");
        }
        if (!rows.TryAdd(name, measured))
        {
            throw new CompareException($"{file}: {name} is there twice");
        }
    }
}
