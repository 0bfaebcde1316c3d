using System;
using System.Globalization;
using System.IO;
using System.Linq;
using GmapNative.Compare;
using NUnit.Framework;

namespace GmapNative.Tests.Perf;

/// <summary>
/// perf/compare, with files made up in its two input formats: what counts as a change, and what it says and returns.
/// </summary>
[TestFixture]
public sealed class CompareTests
{
    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap-compare").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [TestCase(1.0, "1 same")]
    [TestCase(1.3, "1 slower")]
    [TestCase(0.7, "1 faster")]
    [TestCase(1.09, "1 same", Description = "beyond the quartiles, below the threshold")]
    [TestCase(0.92, "1 same")]
    public void A_row_changes_beyond_quartiles_and_threshold(double ratio, string expected)
    {
        string before = Table("before", ("harvest", "bitmap", 1.0, 0.98, 1.02));
        string after = Table("after", ("harvest", "bitmap", ratio, ratio * 0.99, ratio * 1.01));
        (int status, string output, _) = Run(before, after);
        Assert.That(output, Does.Contain(expected));
        Assert.That(status, Is.EqualTo(expected == "1 slower" ? 1 : 0));
    }

    [TestCase(0.8, 1.35, 1.25, 1.6)]
    [TestCase(0.98, 1.02, 1.01, 1.6)]
    public void Rows_whose_quartiles_overlap_are_the_same(double low, double high, double newLow, double newHigh)
    {
        string before = Table("before", ("harvest", "bitmap", 1.0, low, high));
        (int status, string output, _) = Run(before, Table("after", ("harvest", "bitmap", 1.4, newLow, newHigh)));
        Assert.That(output, Does.Contain("1 same"));
        Assert.That(status, Is.Zero);
    }

    [Test]
    public void Several_baselines_widen_what_is_noise()
    {
        string low = Table("low", ("harvest", "bitmap", 1.0, 0.99, 1.01));
        string high = Table("high", ("harvest", "bitmap", 1.5, 1.48, 1.52));
        string now = Table("now", ("harvest", "bitmap", 1.45, 1.44, 1.46));
        Assert.That(Run(low, now).Status, Is.EqualTo(1));
        Assert.That(Run(low, high, now).Status, Is.Zero);
    }

    [Test]
    public void A_row_without_quartiles_has_the_noise_that_is_asked_for()
    {
        string before = Table("before", ("harvest p99", "bitmap", 1.0, null, null));
        string after = Table("after", ("harvest p99", "bitmap", 1.3, null, null));
        Assert.That(Run(before, after).Status, Is.Zero, "15 % each way overlap");
        Assert.That(Run("--noise", "5", before, after).Status, Is.EqualTo(1));
    }

    [Test]
    public void The_threshold_is_an_option()
    {
        string before = Table("before", ("harvest", "bitmap", 1.0, 0.99, 1.01));
        string after = Table("after", ("harvest", "bitmap", 1.3, 1.29, 1.31));
        Assert.That(Run("--threshold", "50", before, after).Status, Is.Zero);
        Assert.That(Run("--threshold", "20", before, after).Status, Is.EqualTo(1));
    }

    [Test]
    public void The_peer_belongs_to_the_name_and_times_do_not_count()
    {
        string before = Table("before", ("harvest", "bitmap", 1.0, 0.99, 1.01), ("harvest", "vm-memory", 3.0, 2.9, 3.1));
        string after = Table("after", ("harvest", "bitmap", 1.0, 0.99, 1.01), ("harvest", "vm-memory", 2.0, 1.9, 2.1));
        File.WriteAllText(after, File.ReadAllText(after).Replace("\"ours\": 10", "\"ours\": 1000", StringComparison.Ordinal));
        (int status, string output, _) = Run("--all", before, after);
        Assert.That(status, Is.Zero);
        Assert.That(output, Does.Match(@"faster +-33%.*harvest \| vm-memory").And.Match(@"same +\+0%.*harvest \| bitmap"));
    }

    [Test]
    public void Rows_that_only_one_file_has_are_told()
    {
        string before = Table("before", ("old row", "p", 1.0, null, null), ("kept", "p", 1.0, null, null));
        string after = Table("after", ("kept", "p", 1.0, null, null), ("new row", "p", 9.0, null, null));
        (int status, string output, _) = Run(before, after);
        Assert.That(status, Is.Zero);
        Assert.That(output, Does.Match("gone .*old row").And.Match("new .*new row").And.Not.Contain("kept"));
    }

    [Test]
    public void Another_machine_is_told()
    {
        string before = Table("before", ("kept", "p", 1.0, null, null));
        string after = Table("after", ("kept", "p", 1.0, null, null));
        Assert.That(Run(before, after).Output, Does.Not.Contain("differ"));
        File.WriteAllText(after, File.ReadAllText(after).Replace("A processor", "Another", StringComparison.Ordinal));
        Assert.That(Run(before, after).Output, Does.Contain("differ"));
    }

    [Test]
    public void A_busy_machine_is_told()
    {
        string before = Table("before", ("kept", "p", 1.0, null, null));
        string after = Table("after", ("kept", "p", 1.0, null, null));
        Assert.That(Run(before, after).Output, Does.Not.Contain("do not rely"));
        string busy = File.ReadAllText(after)
            .Replace("\"rounds\": 9", "\"rounds\": 9, \"others_processors\": 1.75", StringComparison.Ordinal);
        File.WriteAllText(after, busy);
        Assert.That(Run(before, after).Output, Does.Match("after.json: other processes took 1.75 .*do not rely"));
    }

    [Test]
    public void Benchmarks_are_measured_against_the_reference_of_their_job()
    {
        // The second machine is twice as fast. Against the reference, Skip is as it was and Move takes twice as long.
        string before = Benchmarks("before", ("JIT", Results.Reference, 100, 0), ("JIT", "B.Skip", 50, 0), ("JIT", "B.Move", 200, 0));
        string after = Benchmarks("after", ("JIT", Results.Reference, 50, 0), ("JIT", "B.Skip", 25, 0), ("JIT", "B.Move", 200, 0));
        (int status, string output, _) = Run("--all", before, after);
        Assert.That(output, Does.Match(@"slower +\+100%.*B\.Move \| JIT").And.Match(@"same +\+0%.*B\.Skip \| JIT"));
        Assert.That(status, Is.EqualTo(1));
    }

    [Test]
    public void A_benchmark_that_allocates_where_it_did_not_is_worse()
    {
        string before = Benchmarks("before", ("JIT", Results.Reference, 100, 0), ("JIT", "B.Skip", 50, 0));
        string after = Benchmarks("after", ("JIT", Results.Reference, 100, 0), ("JIT", "B.Skip", 50, 24));
        (int status, string output, _) = Run(before, after);
        Assert.That(output, Does.Match(@"allocates .*B\.Skip"));
        Assert.That(status, Is.EqualTo(1));
        Assert.That(Run(after, before).Status, Is.Zero);
    }

    [TestCase("{", "is no result")]
    [TestCase("{\"rows\": 1}", "is no result")]
    [TestCase("{\"rows\": [{\"row\": \"a\", \"ratio\": 1.0}]}", "is no result", Description = "no peer")]
    [TestCase("{\"rows\": []}", "no row in common")]
    [TestCase("{\"rows\": [{\"row\": \"kept\", \"peer\": \"p\", \"ratio\": 0}]}", "a ratio of 0")]
    [TestCase("{\"rows\": [{\"row\": \"a\", \"peer\": \"p\", \"ratio\": 1}, {\"row\": \"a\", \"peer\": \"p\", \"ratio\": 1}]}", "twice")]
    [TestCase(
        "{\"Benchmarks\": [{\"FullName\": \"B.Skip\", \"DisplayInfo\": \"B.Skip: JIT\", \"Statistics\": {\"Median\": 1}}]}",
        "has no ")]
    public void What_is_no_result_is_refused(string text, string expected)
    {
        string broken = Path.Combine(_folder, "broken.json");
        File.WriteAllText(broken, text);
        (int status, _, string errors) = Run(Table("before", ("kept", "p", 1.0, null, null)), broken);
        Assert.That(status, Is.EqualTo(2));
        Assert.That(errors, Does.Contain(expected).And.Match("^[^\n]*\n$"), "one line");
    }

    [Test]
    public void Wrong_calls_are_refused()
    {
        string one = Table("one", ("kept", "p", 1.0, null, null));
        string[][] wrong = [[], [one], [one, "--threshold"], [one, one, "--threshold", "x"], [one, one, "--unknown"], [one, one + ".not"]];
        Assert.That(wrong.Select(arguments => Run(arguments).Status), Is.All.EqualTo(2));
    }

    /// <summary>What is committed as a baseline can be compared.</summary>
    [Test]
    public void The_committed_baselines_are_read()
    {
        string[] files = Directory.GetFiles(Path.Combine(Abi.Repository.Root, "perf", "baselines"), "*.json");
        Assert.That(files, Is.Not.Empty);
        foreach (string file in files)
        {
            (int status, string output, string errors) = Run(file, file);
            Assert.That(status, Is.Zero, errors);
            Assert.That(output, Does.Contain(" 0 faster, 0 slower").Or.Contain(", 0 faster, 0 slower"));
        }
    }

    private static (int Status, string Output, string Errors) Run(params string[] arguments)
    {
        using var output = new StringWriter { NewLine = "\n" };
        using var errors = new StringWriter { NewLine = "\n" };
        int status = Program.Run(arguments, output, errors);
        return (status, output.ToString(), errors.ToString());
    }

    private string Table(string name, params (string Row, string Peer, double Ratio, double? Low, double? High)[] rows)
    {
        string file = Path.Combine(_folder, name + ".json");
        File.WriteAllText(file, $$"""
            {"machine": {"processor": "A processor"}, "build": {"library": "0.1.0", "instructions": "baseline"},
             "run": {"rounds": 9, "quick": false},
             "rows": [{{string.Join(", ", rows.Select(r => $$"""
                {"row": "{{r.Row}}", "ours": 10, "unit": "us", "peer": "{{r.Peer}}", "peer_value": 10,
                  "ratio": {{Json(r.Ratio)}}, "goal": null}
                """))}}],
             "spread": [{{string.Join(", ", rows.Select(r => $$"""
                {"row": "{{r.Row}}", "peer": "{{r.Peer}}", "ratio_low": {{Json(r.Low)}}, "ratio_high": {{Json(r.High)}} }
                """))}}]}
            """);
        return file;
    }

    private string Benchmarks(string name, params (string Job, string FullName, double Median, int Bytes)[] all)
    {
        string file = Path.Combine(_folder, name + ".json");
        File.WriteAllText(file, $$"""
            {"HostEnvironmentInfo": {"ProcessorName": "A processor", "RuntimeVersion": ".NET 10"},
             "Benchmarks": [{{string.Join(", ", all.Select(b => $$"""
                {"DisplayInfo": "B: {{b.Job}}(Toolchain=T, IterationCount=3) [x=1]", "FullName": "{{b.FullName}}",
                 "Statistics": {"Median": {{Json(b.Median)}}, "Q1": {{Json(b.Median * 0.99)}}, "Q3": {{Json(b.Median * 1.01)}} },
                 "Memory": {"BytesAllocatedPerOperation": {{b.Bytes}} } }
                """))}}]}
            """);
        return file;
    }

    private static string Json(double? value) => value?.ToString(CultureInfo.InvariantCulture) ?? "null";
}
