using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text.Json;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Perf;

/// <summary>perf/study with guests of 32 MiB: it runs, compares every copy, and fills every column of its tables.</summary>
[TestFixture]
public sealed class StudyTests
{
    private static readonly string s_program = Path.Combine(Repository.Artifacts, "bin", "gmap-study");
    private static readonly string[] s_writers =
        ["idle", "prefix pair", "stream", "random, few", "random, many", "random, all it can", "Zipf set", "threads guest"];

    private string _folder = "";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap-study").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void Every_guest_migrates_under_each_policy()
    {
        (int status, string output) = Run("migrations", "--gbit", "10");
        Assert.That(status, Is.Zero, output);
        Dictionary<string, string>[] rows = [.. Table("migrations", output)];
        foreach (string policy in (string[])["never", "lazy", "eager", "ahead"])
        {
            Assert.That(With2K(rows, policy).Select(r => r["writer"]), Is.EqualTo(s_writers), output);
        }

        Assert.That(rows.Select(r => Number(r, "sent MiB")), Is.All.AtLeast(32.0), output);
        Assert.That(rows.Select(r => Number(r, "rounds")), Is.All.AtLeast(2.0), output);
        Assert.That(Sum(rows, "never", "splits"), Is.Zero, output);
        Assert.That(Sum(rows, "lazy", "splits"), Is.Positive, output);
        Assert.That(Sum(rows, "ahead", "splits"), Is.EqualTo(32 * s_writers.Length), output);
        Assert.That(Sum(rows, "lazy", "sent MiB"), Is.LessThan(Sum(rows, "never", "sent MiB")), output);
    }

    [Test]
    public void Memory_comes_and_goes()
    {
        (int status, string output) = Run("memory");
        Assert.That(status, Is.Zero, output);
        Dictionary<string, string>[] rows = [.. Table("memory", output)];
        Assert.That(rows.Where(r => r["policy"] == "never").Select(r => r["more %"]), Is.EqualTo(["0.000"]), output);
        Assert.That(rows.Where(r => r["policy"] == "ahead").Select(r => r["more %"]), Is.EqualTo(["0.195", "0.391"]), output);
        Assert.That(rows.Select(r => r["after KiB"]), Is.EqualTo(rows.Select(r => r["before KiB"])), output);
        Assert.That(File.ReadAllText(Path.Combine(_folder, "study-memory.svg")), Does.Contain("split ahead, 2 KB tables"));
    }

    /// <summary>SQLite has one row, which the kernel's tracking fills; where it cannot, the run says so.</summary>
    [Test]
    public void A_database_migrates_or_the_run_says_why_not()
    {
        (int status, string output) = Run("migrations", "--gbit", "10");
        Assert.That(status, Is.Zero, output);
        Dictionary<string, string>[] rows = [.. Table("migrations", output).Where(r => r["writer"] == "SQLite")];
        if (output.Contains("not in the tables: SQLite"))
        {
            Assert.That(rows, Is.Empty, output);
            Assert.Ignore("the kernel cannot track memory (userfaultfd with asynchronous write protection)");
        }
        Assert.That(rows.Select(r => (r["policy"], r["tables"], r["splits"])), Is.EqualTo([("the kernel", "", "0")]), output);
        Assert.That(rows.Select(r => Number(r, "operations/s")), Is.All.Positive, output);
    }

    [Test]
    public void Rates_of_writing_decide_what_is_sent()
    {
        Dictionary<string, string>[] rows = Rows("rates");
        double[] never = [.. rows.Where(r => r["policy"] == "never").Select(r => Number(r, "sent MiB"))];
        double[] lazy = [.. rows.Where(r => r["policy"] == "lazy").Select(r => Number(r, "sent MiB"))];
        Assert.That(rows.Select(r => r["policy"]).Distinct(), Is.EqualTo(["never", "lazy", "eager", "ahead"]));
        Assert.That(never, Has.Length.EqualTo(lazy.Length).And.Length.GreaterThan(1));
        Assert.That(lazy.Sum(), Is.LessThan(never.Sum()));
        Assert.That(File.ReadAllText(Path.Combine(_folder, "study-by-rate.svg")), Does.Contain("eager"));
    }

    [Test]
    public void The_border_lies_higher_where_pages_are_told()
    {
        Dictionary<string, string>[] rows = Rows("border");
        Assert.That(rows.Select(r => r["Gbit/s"]), Is.EqualTo(["10"]), "--quick takes one link");
        Assert.That(rows.Select(r => Number(r, "lazy / never")), Is.All.GreaterThan(1));
        Assert.That(File.Exists(Path.Combine(_folder, "study-border.svg")));
    }

    [Test]
    public void Neighbours_make_use_of_a_leaf()
    {
        Dictionary<string, string>[] rows = Rows("locality");
        Assert.That(rows.Select(r => (r["together"], r["policy"])), Is.EqualTo(
            from together in (string[])["1", "4", "16", "64", "256"]
            from policy in (string[])["never", "lazy"]
            select (together, policy)));
        Assert.That(Number(rows[1], "again MiB"), Is.LessThan(Number(rows[0], "again MiB")), "alone a page makes a leaf dirty");
    }

    [Test]
    public void Arming_names_the_longest_pause()
    {
        Dictionary<string, string>[] rows = Rows("arming");
        Assert.That(rows.Select(r => (r["GiB"], r["how"])), Is.EqualTo(
            [("1", "logging on"), ("1", "initially dirty, one harvest"), ("1", "split ahead, then logging on")]));
        Assert.That(rows.Select(r => Number(r, "worst stall us")), Is.All.Positive);
        Assert.That(rows.Select(r => Number(r, "usual stall us") - Number(r, "worst stall us")), Is.All.AtMost(0.0));
        Assert.That(Number(rows[2], "tables MiB"), Is.EqualTo(2.0), "1024 tables of 2 KB");
    }

    [Test]
    public void Formats_cost_what_their_tables_have()
    {
        Dictionary<string, string>[] rows = Rows("formats");
        Assert.That(rows.Select(r => (r["tables"], r["KiB a split"])), Is.EqualTo([("2 KB", "2.00"), ("4 KB PGSTE", "4.00")]));
        Assert.That(rows.Select(r => Number(r, "clean harvest us")), Is.All.Positive);
    }

    [Test]
    public void A_notifier_needs_no_page_table_unless_the_policy_is_eager()
    {
        Dictionary<string, string>[] rows = Rows("notifiers");
        Assert.That(rows.Select(r => (r["policy"], r["tables to arm"], r["pages a harvest"])), Is.EqualTo(
            from one in (IEnumerable<(string, string, string)>)[("never", "0", "256.0"), ("lazy", "0", "2.0"), ("eager", "1", "2.0")]
            from format in Enumerable.Range(0, 2)
            select one));
        Assert.That(rows.Where(r => r["policy"] == "never").Select(r => Number(r, "told a change")), Is.All.EqualTo(1.0));
        Assert.That(rows.Where(r => r["policy"] != "never").Select(r => Number(r, "told a change")), Is.All.EqualTo(0.0));
    }

    [Test]
    public void A_page_that_is_lost_fails_the_run()
    {
        (int status, string output) = Run("migrations", "--gbit", "10", "--drop-a-page");
        Assert.That(status, Is.EqualTo(1), output);
        Assert.That(output, Does.Contain("1 pages differ"));
    }

    /// <summary>The rows of the table that a section is named after.</summary>
    private Dictionary<string, string>[] Rows(string section)
    {
        (int status, string output) = Run(section);
        Assert.That(status, Is.Zero, output);
        return [.. Table(section, output)];
    }

    private (int Status, string Output) Run(string section, params string[] options) =>
        Repository.Run(s_program, ["--quick", "--mib", "32", "--out", _folder, "--only", section, .. options]);

    /// <summary>The rows of a table by its columns. It stands on the terminal and in study.md, too, and no cell is missing.</summary>
    private IEnumerable<Dictionary<string, string>> Table(string name, string output)
    {
        using JsonDocument study = JsonDocument.Parse(File.ReadAllText(Path.Combine(_folder, "study.json")));
        JsonElement table = study.RootElement.GetProperty("tables").EnumerateArray()
            .Single(t => t.GetProperty("name").GetString() == name);
        string[] columns = [.. table.GetProperty("columns").EnumerateArray().Select(c => c.GetString()!)];
        Assert.That(output, Does.Contain($"== {name}: {table.GetProperty("title").GetString()}"));
        Assert.That(File.ReadAllLines(Path.Combine(_folder, "study.md")), Does.Contain($"| {string.Join(" | ", columns)} |"));
        foreach (JsonElement row in table.GetProperty("rows").EnumerateArray())
        {
            string[] cells = [.. row.EnumerateArray().Select(c => c.ToString())];
            Assert.That(cells, Has.Length.EqualTo(columns.Length), output);
            yield return columns.Zip(cells).ToDictionary(p => p.First, p => p.Second);
        }
    }

    private static double Sum(IEnumerable<Dictionary<string, string>> rows, string policy, string column) =>
        With2K(rows, policy).Sum(r => Number(r, column));

    private static IEnumerable<Dictionary<string, string>> With2K(IEnumerable<Dictionary<string, string>> rows, string policy) =>
        rows.Where(r => r["policy"] == policy && r["tables"] == "2 KB");

    private static double Number(Dictionary<string, string> row, string column) => double.Parse(row[column], CultureInfo.InvariantCulture);
}
