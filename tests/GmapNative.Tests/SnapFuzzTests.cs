using System;
using System.IO;
using System.Linq;
using System.Text.Json;
using GmapNative.Backing;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-snapfuzz: a real parser, put back by a snapshot after each run, is where it was in every byte.</summary>
[TestFixture]
public sealed class SnapFuzzTests
{
    private const int Skipped = 77;

    private static readonly string s_program = Path.Combine(Repository.Artifacts, "bin", "gmap-snapfuzz");
    private static readonly string[] s_wrong = ["wrong_pages", "engine_wrong", "probes_wrong"];
    private static readonly string[] s_found = ["runs", "well_formed", "corpus", "features"];
    private static readonly string[] s_ways = ["snapshot", "fork_server", "full_copy", "pages_known"];

    [SetUp]
    public void NeedsExpat() =>
        Assume.That(s_program, Does.Exist, "gmap-snapfuzz was not built: it needs the Debian package libexpat1-dev");

    [TestCase("1")]
    [TestCase("2026")]
    public void Every_byte_is_put_back_after_every_run(string seed)
    {
        MigrateResult result = Run("verify", "--memory", "2M", "--runs", "15000", "--seed", seed, "--json", "-");
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.Multiple(() =>
        {
            Assert.That(s_wrong.Select(name => Count(result.Json, name)), Is.All.Zero, result.Everything);
            Assert.That(Count(result.Json, "compared"), Is.EqualTo(15000), result.Everything);
            Assert.That((Count(result.Json, "probes"), Count(result.Json, "engine_checks")), Is.EqualTo((15L, 15L)), result.Everything);
            Assert.That(Count(result.Json, "well_formed"), Is.GreaterThan(1000), result.Everything); // the parser gets to the end
            Assert.That(Count(result.Json, "features"), Is.GreaterThan(200), result.Everything);
            Assert.That(result.Json.GetProperty("pages_per_run").GetDouble(), Is.GreaterThan(3), result.Everything);
        });
    }

    [Test]
    public void The_same_seed_makes_the_same_runs()
    {
        string[] arguments = ["run", "--runs", "3000", "--seed", "7", "--json", "-"];
        string found = Found(Run(arguments));
        Assert.That(Found(Run(arguments)), Is.EqualTo(found));
    }

    [TestCase("skip", "")]
    [TestCase("skip", "17")]
    [TestCase("alias", "")]
    [TestCase("alias", "17")]
    public void One_page_that_is_not_put_back_is_found(string mistake, string at)
    {
        string[] when = at.Length > 0 ? ["--break-at", at] : [];
        MigrateResult result = Run(["verify", "--memory", "2M", "--runs", "200", "--break", mistake, "--json", "-", .. when]);
        Assert.That(result.Status, Is.EqualTo(1), result.Everything);
        Assert.Multiple(() =>
        {
            Assert.That(Count(result.Json, "runs"), Is.EqualTo(at.Length > 0 ? 17 : 101), result.Everything); // and nothing goes on
            Assert.That((Count(result.Json, "wrong_pages"), Count(result.Json, "engine_wrong")), Is.EqualTo((1L, 1L)), result.Everything);
            Assert.That(result.Errors, Does.Contain("is not the snapshot's").And.Contain("gmap_snapshot_verify finds 1 wrong"));
        });
    }

    [Test]
    public void The_ways_are_compared_in_one_table()
    {
        MigrateResult result = Run("compare", "--quick", "--json", "-");
        Assert.That(result.Status, Is.Zero, result.Everything);
        JsonElement[] ways = [.. result.Json.GetProperty("ways").EnumerateArray()];
        string?[] names = [.. ways.Select(way => way.GetProperty("way").GetString())];
        Assert.That(names, Is.SupersetOf(s_ways), result.Everything);
        Assert.That(result.Output, Does.Contain("gmap snapshot").And.Contain("every result of every way is the same"));
        double first = ways[0].GetProperty("us_per_run").GetDouble();
        foreach (JsonElement way in ways)
        {
            double time = way.GetProperty("us_per_run").GetDouble();
            Assert.That(way.GetProperty("ratio").GetDouble(), Is.EqualTo(first / time).Within(0.01), result.Everything);
            Assert.That(way.GetProperty("runs_per_second").GetDouble(), Is.EqualTo(1e6 / time).Within(1).Percent, result.Everything);
        }
    }

    [TestCase("--crash-at", "crash-30-11")]
    [TestCase("--hang-at", "hang-30")]
    public void What_crashes_or_hangs_the_parser_is_saved_and_can_be_replayed(string mishap, string name)
    {
        string folder = Directory.CreateTempSubdirectory("gmap").FullName;
        try
        {
            MigrateResult result = Run("run", "--runs", "100", mishap, "30", "--hang-s", "1", "--out", folder);
            Assert.That(result.Status, Is.EqualTo(1), result.Everything);
            string file = Path.Combine(folder, name);
            Assert.That(result.Errors, Does.Contain("in run 30").And.Contain(file), result.Everything);
            MigrateResult replay = MigrateProgram.RunHost("gmap-snapfuzz", "replay", file);
            Assert.That((replay.Status, replay.ErrorLines.Length), Is.EqualTo((0, 0)), replay.Everything); // the parser was not to blame
            Assert.That(replay.Output, Does.Match("; [0-9]+ events, depth [0-9]+, .* digest [0-9a-f]{16}"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [TestCase("")]
    [TestCase("crash")]
    [TestCase("run --nope")]
    [TestCase("run --runs")]
    [TestCase("run --runs 0")]
    [TestCase("run --check-every 2")]
    [TestCase("run 5")]
    [TestCase("verify --memory 1500K")]
    [TestCase("verify --memory 2G")]
    [TestCase("verify --break sometimes")]
    [TestCase("verify --break-at 3")]
    [TestCase("verify --runs 10 --break skip --break-at 11")]
    [TestCase("compare --repeats 100")]
    [TestCase("replay")]
    public void A_bad_option_is_one_line_and_status_2(string words)
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-snapfuzz", words.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((2, 1)), result.Everything);
        Assert.That(result.Errors, Does.StartWith("gmap-snapfuzz: "));
    }

    [Test]
    public void Where_the_kernel_cannot_it_says_so_in_one_line()
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-snapfuzz", "run", "--runs", "10");
        if (Userfaultfd.IsAvailable)
        {
            Assert.That(result.Status, Is.Zero, result.Everything);
            return;
        }

        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((Skipped, 0)), result.Everything);
        Assert.That(result.Output, Does.StartWith("skipped: ").And.Contain("userfaultfd"));
    }

    private static MigrateResult Run(params string[] arguments)
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-snapfuzz", arguments);
        Assume.That(result.Status, Is.Not.EqualTo(Skipped), result.Output); // no asynchronous userfaultfd here
        return result;
    }

    /// <summary>What a run found, without what it cost.</summary>
    private static string Found(MigrateResult result)
    {
        Assert.That(result.Status, Is.Zero, result.Everything);
        return string.Join(' ', s_found.Select(name => Count(result.Json, name)));
    }

    private static long Count(JsonElement element, string name) => element.GetProperty(name).GetInt64();
}
