using System;
using System.Linq;
using System.Text.Json;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>The demo, small: a real guest, two processes, every page compared.</summary>
[TestFixture]
public sealed class MigrateDemoTests
{
    private const long Mebibyte = 1 << 20;
    private const long Memory = 64 * Mebibyte;
    private const long Pages = Memory / 4096;

    private static readonly string[] s_small = ["demo", "--memory", "64M", "--rate", "20000", "--steps", "400000", "--json"];

    [Test]
    public void Both_guests_arrive_whole_and_one_megabyte_costs_more()
    {
        MigrateResult result = MigrateProgram.Run(s_small);
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(result.Json.GetProperty("verified").GetBoolean(), result.Everything);
        JsonElement[] runs = [.. result.Json.GetProperty("runs").EnumerateArray()];
        Assert.That(
            runs.Select(run => $"{Text(run, "guest")} {Text(run, "backing")} {Text(run, "policy")}"),
            Is.EqualTo(new[] { "threads none lazy", "sqlite userfaultfd lazy", "threads none never" }));

        Assert.Multiple(() =>
        {
            LazyRunIsPlausible(runs[0]);
            NeverRunIsPlausible(runs[2], runs[0]);
            Assert.That(result.Output, Does.Contain("leaves split").And.Contain("AnonHuge MiB").And.Contain("as known beforehand"));
        });
        SqliteRunIsPlausible(runs[1]);
    }

    [Test]
    public void A_guest_with_a_guest_arrives_whole_while_its_tables_change([Values("lazy", "eager")] string policy)
    {
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "nested", "--policy", policy]);
        Assert.That(result.Status, Is.Zero, result.Everything);
        JsonElement run = result.Json.GetProperty("runs")[0];
        Assert.That((Text(run, "guest"), Number(run, "attempts")), Is.EqualTo(("nested", 1L)), result.Everything);
        Assert.That(result.Output, Does.Match("[1-9][0-9]* pages moved under it: answer .* as known beforehand"));
    }

    [Test]
    public void A_nested_guest_wants_to_be_tracked_by_pages_of_the_tables()
    {
        foreach (string[] bad in (string[][])[["--policy", "never"], ["--backing", "userfaultfd"], ["--memory", "4G"]])
        {
            MigrateResult result = MigrateProgram.Run(["demo", "--guest", "nested", .. bad]);
            Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((2, 1)), result.Everything);
        }
    }

    [TestCase("1")]
    [TestCase("2")]
    [TestCase("60")] // the last round, whichever it is: the guest has been stopped, and must run again
    public void A_destination_that_dies_costs_nothing_but_time(string round)
    {
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "threads", "--policy", "lazy", "--fail-first-at", round]);
        Assert.That(result.Status, Is.Zero, result.Everything);
        JsonElement run = result.Json.GetProperty("runs")[0];
        Assert.That(Number(run, "attempts"), Is.EqualTo(2), result.Everything);
        LazyRunIsPlausible(run);
        Assert.That(result.ErrorLines, Has.Length.EqualTo(1));
        Assert.That(result.Errors, Does.Contain("the guest keeps running"));
    }

    [TestCase("2")]
    [TestCase("60")]
    public void A_database_survives_a_destination_that_dies(string round)
    {
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "sqlite", "--rows", "20000", "--fail-first-at", round]);
        JsonElement run = result.Json.GetProperty("runs")[0];
        SqliteRunIsPlausible(run);
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(Number(run, "attempts"), Is.EqualTo(2), result.Everything);
    }

    [Test]
    public void A_lost_page_is_found_and_told_with_its_history()
    {
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "threads", "--policy", "lazy", "--drop-a-page"]);
        Assert.That(result.Status, Is.EqualTo(1), result.Everything);
        Assert.That(result.Json.GetProperty("verified").GetBoolean(), Is.False);
        Assert.That(result.Errors, Does.Match(@"page 0x[0-9a-f]+ differs: .*reported dirty in rounds( \d+)+, sent in rounds( \d+)+"));
    }

    [Test]
    public void A_real_file_travels_along_over_tcp_with_a_guest_that_nobody_slows()
    {
        string[] options = ["--image", MigrateProgram.FileName, "--transport", "tcp", "--rate", "0", "--link", "0"];
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "threads", "--policy", "eager", .. options]);
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(Text(result.Json.GetProperty("runs")[0], "policy"), Is.EqualTo("eager"));
    }

    [Test]
    public void The_kernel_can_track_the_threads_guest_too()
    {
        MigrateResult result = MigrateProgram.Run([.. s_small, "--guest", "threads", "--backing", "userfaultfd"]);
        if (result.Errors.Contains("--backing userfaultfd:", StringComparison.Ordinal))
        {
            Assert.That(result.Status, Is.EqualTo(1), result.Everything);
            Abi.NativeHost.Skip($"no asynchronous userfaultfd here: {result.Errors}");
        }

        Assert.That(result.Status, Is.Zero, result.Everything);
        JsonElement run = result.Json.GetProperty("runs")[0];
        Assert.That(run.GetProperty("leaves_split").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(Number(run, "bytes_resent"), Is.Positive.And.LessThan(Number(run, "bytes_resent_at_1m")));
    }

    private static string Text(JsonElement run, string name) => run.GetProperty(name).GetString()!;

    private static long Number(JsonElement run, string name) => run.GetProperty(name).GetInt64();

    private static void AnyRunIsPlausible(JsonElement run)
    {
        Assert.That(run.GetProperty("verified").GetBoolean(), $"{run}");
        Assert.That(Number(run, "rounds"), Is.GreaterThanOrEqualTo(2), "a first pass and a last round");
        Assert.That(Number(run, "pages_sent") - Number(run, "pages_resent"), Is.EqualTo(Pages), "the first pass has every page");
        Assert.That(Number(run, "bytes_resent"), Is.Positive.And.LessThan(Number(run, "bytes_sent")));
        Assert.That(Number(run, "zero_pages"), Is.Positive);
        Assert.That(Number(run, "bytes_sent"), Is.GreaterThan((Number(run, "pages_sent") - Number(run, "zero_pages")) * 4096));
        Assert.That(Number(run, "guest_writes"), Is.Positive, "the guest ran meanwhile");
        Assert.That(run.GetProperty("downtime_ms").GetDouble(), Is.Positive.And.LessThan(run.GetProperty("total_ms").GetDouble() + 1000));
    }

    private static void LazyRunIsPlausible(JsonElement run)
    {
        AnyRunIsPlausible(run);
        Assert.That(Number(run, "bytes_resent"), Is.LessThan(Number(run, "bytes_resent_at_1m") / 2));
        Assert.That(Number(run, "leaves_split"), Is.InRange(1, Memory / Mebibyte));
        Assert.That(Number(run, "table_bytes"), Is.GreaterThanOrEqualTo((32 << 10) + (Number(run, "leaves_split") * 2048)));
    }

    private static void NeverRunIsPlausible(JsonElement run, JsonElement lazy)
    {
        AnyRunIsPlausible(run);
        Assert.That(Number(run, "leaves_split"), Is.Zero);
        Assert.That(Number(run, "bytes_resent"), Is.GreaterThanOrEqualTo(Number(run, "bytes_resent_at_1m")), "it is really sent");
        Assert.That(Number(run, "bytes_resent"), Is.GreaterThan(2 * Number(lazy, "bytes_resent")));
        Assert.That(Number(run, "table_bytes"), Is.LessThan(Number(lazy, "table_bytes")));
    }

    private static void SqliteRunIsPlausible(JsonElement run)
    {
        if (Text(run, "status") == "skipped")
        {
            Assert.That(run.GetProperty("verified").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Abi.NativeHost.Skip($"the sqlite guest was skipped: {Text(run, "reason")}");
        }

        AnyRunIsPlausible(run);
        Assert.That(run.GetProperty("leaves_split").ValueKind, Is.EqualTo(JsonValueKind.Null));
        Assert.That(Number(run, "bytes_resent"), Is.LessThan(Number(run, "bytes_resent_at_1m") / 2));
        Assert.That(Text(run, "verdict"), Does.Contain("integrity_check ok").And.Contain("none lost"));
    }
}
