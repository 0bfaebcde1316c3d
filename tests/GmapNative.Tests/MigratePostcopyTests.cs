using System;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>
/// gmap-migrate --postcopy with real programs on both ends: every page comes once, what is waited for comes first, a connection that
/// breaks is taken up again, and a side that is lost for good is told.
/// </summary>
[TestFixture]
public sealed class MigratePostcopyTests
{
    private const long Pages = (32 << 20) / 4096;

    private static readonly string[] s_small = ["--memory", "32M", "--rate", "20000", "--steps", "100000", "--threads", "2"];
    private static readonly string[] s_slow = [.. s_small, "--link", "24M"];
    private static readonly string[] s_database = ["--guest", "sqlite", "--memory", "48M", "--rows", "20000", "--link", "24M"];

    private string _folder = "";

    private string Address => $"unix:{_folder}/socket";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public async Task Threads_start_after_no_round_or_some_and_every_page_comes_once([Values] bool broken)
    {
        MigrateResult[] results = await Demos(["--guest", "threads", "--policy", "lazy", .. s_slow], broken);
        for (int rounds = 0; rounds < results.Length; rounds++)
        {
            JsonElement run = Verified(results[rounds]);
            PostcopyIsPlausible(run, rounds, broken);
            double[] blocked = [.. run.GetProperty("blocktime_ms_of").EnumerateArray().Select(ms => ms.GetDouble())];
            Assert.That(blocked, Has.Length.EqualTo(2), "one a vCPU");
            Assert.That(run.GetProperty("blocktime_ms").GetDouble(), Is.LessThanOrEqualTo(blocked.Min() + 1), $"{run}");
            string output = results[rounds].Output;
            Assert.That(output, Does.Match("blocktime: [0-9.]+ ms with every vCPU waiting; vCPU 0 [0-9.]+ vCPU 1 [0-9.]+ ms"));
            Assert.That(output, Does.Contain("every page came once").And.Contain("as known beforehand"));
        }

        Assert.That(
            results.Select(result => Number(Verified(result), "postcopy_given_back")),
            Is.Ordered.Descending,
            "what a round has brought need not come later");
    }

    [Test]
    public async Task A_database_whose_accesses_the_kernel_stops_goes_on_whole([Values] bool broken)
    {
        foreach (MigrateResult result in await Demos(s_database, broken))
        {
            SkipWithoutUserfaultfd(result);
            JsonElement run = Verified(result);
            Assert.That(Number(run, "postcopy_requests"), Is.Positive, result.Everything);
            Assert.That(run.GetProperty("blocktime_ms").GetDouble(), Is.Positive);
            Assert.That(run.GetProperty("blocktime_ms_of").GetArrayLength(), Is.EqualTo(1), "the kernel does not say who");
            Assert.That(Number(run, "postcopy_connections"), Is.EqualTo(broken ? 1 : 0));
            Assert.That(result.Output, Does.Contain("integrity_check ok").And.Contain("none lost"));
        }
    }

    [Test]
    public void A_real_file_comes_later_too_over_tcp()
    {
        string[] options = ["--image", MigrateProgram.FileName, "--transport", "tcp", "--rate", "0", "--link", "0", "--postcopy", "0"];
        MigrateResult result = MigrateProgram.Run(["demo", "--guest", "threads", "--policy", "eager", "--json", .. s_small, .. options]);
        JsonElement run = Verified(result);
        Assert.That(Number(run, "postcopy_given_back"), Is.EqualTo(Pages - 1), "all but the first page");
    }

    [Test]
    public void A_virtual_machine_starts_before_its_memory_is_there([Values] bool broken)
    {
        KvmHostTests.NeedsKvm();
        string[] options = ["--memory", "32M", "--steps", "200000", "--json", "--postcopy", "0", "--link", "24M"];
        MigrateResult result = MigrateProgram.RunHost("gmap-kvm", ["migrate", .. options, .. BreakAt(broken)]);
        Assume.That(result.Status, Is.Not.EqualTo(77), result.Output);
        Assert.That(result.Status, Is.Zero, result.Everything);
        Assert.That(result.Output, Does.Match("every page came once; .* after [1-9][0-9]* more steps: answer .*, as known beforehand"));
        Assert.That(Number(result.Json, "postcopy_given_back"), Is.EqualTo(Pages - 1), result.Everything);
        Assert.That(Number(result.Json, "postcopy_connections"), Is.EqualTo(broken ? 1 : 0), result.Everything);
        Assert.That(Number(result.Json, "postcopy_requests"), Is.Positive, result.Everything);
    }

    [TestCase("compare --postcopy 1")]
    [TestCase("migrate --postcopy 1 --drop-a-page")]
    [TestCase("migrate --break-at 100")]
    [TestCase("--listen unix:/tmp/x --postcopy 1")]
    [TestCase("--listen unix:/tmp/x --timeout-s 0")]
    public void A_bad_option_of_the_virtual_machine_monitor_is_refused(string words)
    {
        MigrateResult result = MigrateProgram.RunHost("gmap-kvm", words.Split(' '));
        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((2, 1)), result.Everything);
    }

    [TestCase("threads")]
    [TestCase("sqlite")]
    public async Task A_source_that_is_lost_for_good_is_a_clear_failure(string guest)
    {
        using MigrateProgram destination = await Listen("--retry-s", "1");
        using MigrateProgram source = Connect(guest);
        await AfterTheStart(destination, source);
        source.Kill();
        MigrateResult there = destination.End();
        Assert.That(there.Status, Is.EqualTo(1), there.Everything);
        Assert.That(there.ErrorLines, Has.Length.EqualTo(2), there.Everything);
        Assert.That(there.ErrorLines[0], Does.Contain("the connection to the source broke").And.Contain("the guest is paused"));
        Assert.That(there.ErrorLines[1], Does.Match("lost the source for good, and [1-9][0-9]* pages with it: the guest cannot go on"));
    }

    [TestCase("threads")]
    [TestCase("sqlite")]
    public async Task A_destination_that_is_lost_for_good_leaves_the_guest_stopped(string guest)
    {
        using MigrateProgram destination = await Listen();
        using MigrateProgram source = Connect(guest, "--retry-s", "1", "--json");
        await AfterTheStart(destination, source);
        destination.Kill();
        MigrateResult here = source.End();
        Assert.That(here.Status, Is.EqualTo(1), here.Everything);
        Assert.That(here.ErrorLines, Has.Length.EqualTo(2), here.Everything);
        Assert.That(here.ErrorLines[0], Does.Match("the connection broke .*, [1-9][0-9]* pages are to be sent still"));
        Assert.That(here.ErrorLines[1], Does.Contain("lost the destination for good").And.Contain("so it stays stopped here"));
        Assert.That(here.Json.GetProperty("runs")[0].GetProperty("verdict").GetString(), Is.EqualTo("the guest is lost"));
    }

    [Test]
    public async Task Strangers_that_come_while_the_source_is_waited_for_do_not_keep_it_out()
    {
        using MigrateProgram destination = await Listen();
        string real = $"{_folder}/socket", way = $"{_folder}/way";
        using MigrateProxy proxy = new(way, real) { Cut = new MigrateCut(true, FrameType.Pages, 20, MigrateDamage.Close) };
        using MigrateProgram source = MigrateProgram.Start(["--connect", $"unix:{way}", "--postcopy", "0", "--json", .. s_slow]);
        TaskCompletionSource open = new();
        proxy.MayConnect = n => n == 1 ? Task.CompletedTask : open.Task;
        await proxy.Damaged;
        using (WirePeer other = await WirePeer.Connect(real))
        {
            await other.Send(MigrateWire.Frame(FrameType.Resume, 1));
            (FrameHead _, byte[] text) = await other.Await(FrameType.Refused);
            Assert.That(Encoding.ASCII.GetString(text), Is.EqualTo("another migration is waited for here"));
            Assert.That(await other.Ends());
        }

        using (WirePeer noise = await WirePeer.Connect(real))
        {
            await noise.Send(new byte[FrameHead.Size]);
            Assert.That(await noise.Ends());
        }

        using (WirePeer silent = await WirePeer.Connect(real))
        {
            open.SetResult();
            MigrateResult here = await source.Ended(), there = await destination.Ended();
            Assert.That((here.Status, there.Status), Is.EqualTo((0, 0)), here.Everything + there.Everything);
            Assert.That(Number(Verified(here), "postcopy_connections"), Is.EqualTo(1));
        }
    }

    [Test]
    public async Task A_connection_that_breaks_while_it_is_taken_up_again_is_taken_up_again()
    {
        using MigrateProgram destination = await Listen();
        string way = $"{_folder}/way";
        using MigrateProxy proxy = new(way, $"{_folder}/socket") { Cut = new MigrateCut(true, FrameType.Pages, 20, MigrateDamage.Close) };
        proxy.Later.Enqueue(new MigrateCut(true, FrameType.Resume, 1, MigrateDamage.CloseInTheMiddle));
        proxy.Later.Enqueue(new MigrateCut(false, FrameType.Missing, 1, MigrateDamage.CloseInTheMiddle));
        proxy.Later.Enqueue(new MigrateCut(true, FrameType.Pages, 20, MigrateDamage.CloseInTheMiddle));
        using MigrateProgram source = MigrateProgram.Start(["--connect", $"unix:{way}", "--postcopy", "0", "--json", .. s_slow]);
        MigrateResult here = await source.Ended(), there = await destination.Ended();
        Assert.That((here.Status, there.Status), Is.EqualTo((0, 0)), here.Everything + there.Everything);
        Assert.That(proxy.Later, Is.Empty, "all of them happened");
        Assert.That(Number(Verified(here), "postcopy_connections"), Is.EqualTo(2));
        Assert.That(Number(Verified(here), "postcopy_given_back"), Is.EqualTo(Pages - 1));
    }

    private static string[] BreakAt(bool broken) => broken ? ["--break-at", "200"] : [];

    /// <summary>With 0, 1 and 2 rounds of pre-copy, at once.</summary>
    private static Task<MigrateResult[]> Demos(string[] options, bool broken) =>
        Task.WhenAll(Enumerable.Range(0, 3).Select(rounds => MigrateProgram.RunAsync(
            ["demo", "--json", "--downtime-ms", "1", "--postcopy", $"{rounds}", .. options, .. BreakAt(broken)])));

    private static JsonElement Verified(MigrateResult result)
    {
        Assert.That(result.Status, Is.Zero, result.Everything);
        JsonElement run = result.Json.GetProperty("runs")[0];
        Assert.That(run.GetProperty("verified").GetBoolean(), result.Everything);
        return run;
    }

    private static void PostcopyIsPlausible(JsonElement run, int rounds, bool broken)
    {
        long back = Number(run, "postcopy_given_back");
        Assert.That(Number(run, "rounds"), Is.InRange(1, rounds + 1), $"{run}");
        Assert.That(back, rounds == 0 ? Is.EqualTo(Pages - 1) : Is.InRange(1, Pages / 2), $"{run}");
        Assert.That(Number(run, "postcopy_pages"), broken ? Is.InRange(back, back + 2000) : Is.EqualTo(back), "once, but for what broke");
        Assert.That(Number(run, "postcopy_requests"), Is.InRange(1, Number(run, "postcopy_pages")), $"{run}");
        Assert.That(Number(run, "postcopy_connections"), Is.EqualTo(broken ? 1 : 0), $"{run}");
        Assert.That(Number(run, "bytes_sent"), Is.GreaterThan(8 << 20).And.LessThan(80 << 20), "the pages that came later are counted");
        Assert.That(Number(run, "guest_writes"), Is.LessThanOrEqualTo(100_002), "each of its steps once");
    }

    private static void SkipWithoutUserfaultfd(MigrateResult result)
    {
        if (result.Output.Contains("no asynchronous userfaultfd", StringComparison.Ordinal))
        {
            Abi.NativeHost.Skip($"the sqlite guest was skipped: {result.Output}");
        }
    }

    private async Task<MigrateProgram> Listen(params string[] options)
    {
        MigrateProgram program = MigrateProgram.Start(["--listen", Address, .. options]);
        await program.LineAfter("listening on ");
        return program;
    }

    private MigrateProgram Connect(string guest, params string[] options)
    {
        string[] size = guest == "sqlite" ? ["--memory", "48M", "--rows", "20000"] : s_small;
        return MigrateProgram.Start(["--connect", Address, "--guest", guest, "--postcopy", "0", "--link", "4M", .. size, .. options]);
    }

    /// <summary>The guest has started there; 48 MiB by 4 MiB a second are not through in a second.</summary>
    private static async Task AfterTheStart(MigrateProgram destination, MigrateProgram source)
    {
        try
        {
            await destination.LineAfter("round 1, the last");
            await Task.Delay(500);
        }
        catch (InvalidOperationException) when (source.End() is var end)
        {
            if (end.Errors.Contains("--backing userfaultfd:", StringComparison.Ordinal))
            {
                Abi.NativeHost.Skip($"no asynchronous userfaultfd here: {end.Errors}");
            }

            throw;
        }
    }

    private static long Number(JsonElement run, string name) => run.GetProperty(name).GetInt64();
}
