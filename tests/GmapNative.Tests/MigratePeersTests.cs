using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>
/// A peer that goes away, stalls, or is slow, at each message in turn: no hang without a message, no second running guest, and what was
/// reached is kept. A proxy between the two sides does it.
/// </summary>
[TestFixture]
[NonParallelizable] // it measures time
public sealed class MigratePeersTests
{
    private const int AtOnce = 5;

    private static readonly string[] s_guest = ["--memory", "32M", "--rate", "20000", "--steps", "400000", "--threads", "2", "--json"];

    /// <summary>Before the hand-over: the guest goes on at the source, and another destination gets it.</summary>
    private static readonly (bool FromSource, FrameType Type, int Nth)[] s_before =
    [
        (true, FrameType.Hello, 1), (false, FrameType.Accept, 1), (true, FrameType.Pages, 20), (true, FrameType.Zero, 3),
        (true, FrameType.RoundEnd, 1), (false, FrameType.RoundAck, 1), (true, FrameType.RoundEnd, 2), (false, FrameType.RoundAck, 2),
        (true, FrameType.Verify, 1), (false, FrameType.Digests, 1),
    ];

    /// <summary>The same, of postcopy.</summary>
    private static readonly (bool FromSource, FrameType Type, int Nth)[] s_beforePostcopy =
    [
        (true, FrameType.RoundEnd, 2), (true, FrameType.Postcopy, 1), (false, FrameType.Accept, 2),
    ];

    /// <summary>Pages are missing: taken up again.</summary>
    private static readonly (bool FromSource, FrameType Type, int Nth)[] s_after =
    [
        (true, FrameType.Pages, 20), (true, FrameType.Zero, 3), (false, FrameType.Want, 5), (false, FrameType.Arrived, 9),
        (true, FrameType.AllSent, 1),
    ];

    private static readonly MigrateDamage[] s_closes = [MigrateDamage.Close, MigrateDamage.CloseInTheMiddle];
    private static readonly MigrateDamage[] s_stalls = [MigrateDamage.Stall, MigrateDamage.StallInTheMiddle];

    private string _folder = "";
    private int _number;

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [Test]
    public Task Before_the_hand_over_the_guest_goes_on_and_a_new_destination_gets_it([Values] bool stalls) =>
        All(Cuts(s_before, stalls), cut => TheGuestGoesOn(cut, []));

    [Test]
    public Task Before_postcopy_begins_too([Values] bool stalls) =>
        All(Cuts(s_beforePostcopy, stalls), cut => TheGuestGoesOn(cut, ["--postcopy", "1"]));

    [Test]
    public Task While_pages_are_missing_the_connection_is_taken_up_again([Values] bool stalls) =>
        All(Cuts(s_after, stalls), TakenUpAgain);

    /// <summary>RUN may have come or not: nobody can know, so the guest stays stopped here.</summary>
    [Test]
    public Task After_the_hand_over_there_is_no_second_running_guest([Values] bool stalls) =>
        All(AfterTheHandOver(stalls), async one =>
        {
            (MigrateResult here, MigrateResult there) = await Once(one.Case, [.. one.Options, "--retry-s", "1"]);
            string all = $"{one.Case} {one.Options.Length}\n{here.Everything}{there.Everything}";
            Assert.That((here.Status, there.Status), Is.EqualTo((1, 1)), all);
            Assert.That(here.ErrorLines[^1], Does.Contain("so it stays stopped here"), all);
            Assert.That(here.Errors, Does.Not.Contain("keeps running"), all);
            Assert.That(there.ErrorLines, Has.Length.EqualTo(1), all);
            Assert.That(there.Errors, Does.Match("the peer (is gone|has not answered for 1 s)"), all);
        });

    [Test]
    public Task A_source_that_is_gone_before_its_last_word_is_told([Values] bool stalls) =>
        All(Cuts([(true, FrameType.Bye, 1)], stalls), async cut =>
        {
            (MigrateResult here, MigrateResult there) = await Once(cut, []);
            Assert.That((here.Status, there.Status), Is.EqualTo((0, 1)), here.Everything + there.Everything);
            Assert.That(there.Errors, Does.Match("^gmap-migrate: destination: the peer (is gone|has not answered for 1 s)"), $"{cut}");
        });

    [Test]
    public Task Slow_is_not_lost() => All(InBothWays<int>([16, 1 << 12, 1 << 16]), async one =>
    {
        int piece = one.Case;

        // A database of few rows is mostly zero pages, so that it comes through in pieces of a byte; its accesses the kernel stops.
        string[] guest = piece == 16 ? ["--guest", "sqlite", "--memory", "32M", "--rows", "100", "--rate", "200"] : s_guest;
        string[] options = ["--json", "--link", "0", .. guest, .. one.Options];
        (MigrateResult here, MigrateResult there) = await Once(null, options, slow: piece == 16 ? 300_000 : 16_000_000, piece);
        if (!here.Errors.Contains("--backing userfaultfd:", StringComparison.Ordinal))
        {
            Assert.That((here.Status, there.Status), Is.EqualTo((0, 0)), here.Everything + there.Everything);
            Assert.That(here.ErrorLines, Is.Empty);
        }
    });

    private static IEnumerable<MigrateCut> Cuts((bool FromSource, FrameType Type, int Nth)[] places, bool stalls) =>
        from place in places
        from damage in stalls ? s_stalls : s_closes
        select new MigrateCut(place.FromSource, place.Type, place.Nth, damage);

    private static IEnumerable<(MigrateCut Case, string[] Options)> AfterTheHandOver(bool stalls) =>
        InBothWays(Cuts([(true, FrameType.Run, 1), (false, FrameType.Verdict, 1)], stalls))
            .Concat(Cuts([(false, FrameType.Blocked, 1)], stalls).Select(cut => (cut, (string[])["--postcopy", "1"])));

    /// <summary>Each case by pre-copy and by postcopy.</summary>
    private static IEnumerable<(T Case, string[] Options)> InBothWays<T>(IEnumerable<T> cases) =>
        from one in cases
        from options in (string[][])[[], ["--postcopy", "0"]]
        select (one, options);

    /// <summary>Some cases at once: most of their time is waiting.</summary>
    private static async Task All<T>(IEnumerable<T> cases, Func<T, Task> run)
    {
        using SemaphoreSlim places = new(AtOnce);
        await Task.WhenAll(cases.Select(async one =>
        {
            await places.WaitAsync();
            try
            {
                await run(one);
            }
            finally
            {
                places.Release();
            }
        }));
    }

    private async Task TheGuestGoesOn(MigrateCut cut, string[] options)
    {
        string at = Place();
        using MigrateProgram first = MigrateProgram.Start(["--listen", $"unix:{at}", .. Timeout(cut)]);
        await first.LineAfter("listening on ");
        TaskCompletionSource again = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using MigrateProxy proxy = new($"{at}.way", at) { Cut = cut, MayConnect = n => n == 1 ? Task.CompletedTask : again.Task };
        using MigrateProgram source = MigrateProgram.Start(
            ["--connect", $"unix:{at}.way", "--downtime-ms", "1", "--link", "64M", .. s_guest, .. options, .. Timeout(cut)]);
        while (File.Exists(at))
        {
            await Task.Delay(5); // its socket file goes when the source comes
        }

        using MigrateProgram second = MigrateProgram.Start("--listen", $"unix:{at}");
        await second.LineAfter("listening on ");
        again.SetResult();
        MigrateResult[] ends = await Ends(source, first, second);
        string all = $"{cut}\n{string.Join('\n', ends.Select(end => end.Everything))}";
        Assert.That(ends.Select(end => end.Status), Is.EqualTo(new[] { 0, 1, 0 }), all);
        Assert.That(ends[0].ErrorLines, Has.Length.EqualTo(1), all);
        Assert.That(ends[0].Errors, Does.Match("the peer (is gone|has not answered for 1 s); the guest keeps running here"), all);
        Assert.That(ends[1].ErrorLines, Has.Length.EqualTo(1), all);
        Assert.That(ends[1].Errors, Does.Match("destination: the peer (is gone|has not answered for 1 s)"), all);
        JsonElement run = ends[0].Json.GetProperty("runs")[0];
        Assert.That(run.GetProperty("attempts").GetInt32(), Is.EqualTo(2), all);
        Assert.That(StepsThere(ends[2]), Is.InRange(1, 400_002 - run.GetProperty("guest_writes").GetInt64()), all);
    }

    /// <summary>The guest did not begin anew: what it made here it need not make there.</summary>
    private static long StepsThere(MigrateResult there)
    {
        const string Before = "reached its end after ";
        int at = there.Output.IndexOf(Before, StringComparison.Ordinal);
        Assert.That(at, Is.Positive, there.Everything);
        return long.Parse(there.Output.AsSpan(at + Before.Length).ToString().Split(' ')[0]);
    }

    private async Task TakenUpAgain(MigrateCut cut)
    {
        (MigrateResult here, MigrateResult there) = await Once(cut, ["--postcopy", "0", "--link", "24M"]);
        string all = $"{cut}\n{here.Everything}{there.Everything}";
        Assert.That((here.Status, there.Status), Is.EqualTo((0, 0)), all);
        Assert.That(here.Errors, Does.Match("the connection broke .*the peer (is gone|has not answered for 1 s)"), all);
        Assert.That(there.Errors, Does.Match("the connection to the source broke .*the peer (is gone|has not answered for 1 s)"), all);
        JsonElement run = here.Json.GetProperty("runs")[0];
        Assert.That(run.GetProperty("postcopy_connections").GetInt32(), Is.GreaterThanOrEqualTo(1), all);
        Assert.That(run.GetProperty("postcopy_given_back").GetInt64(), Is.EqualTo(MigrateWire.MemoryPages - 1), all);
    }

    /// <summary>One source, one destination, the proxy between them.</summary>
    private async Task<(MigrateResult Here, MigrateResult There)> Once(MigrateCut? cut, string[] options, int slow = 0, int piece = 0)
    {
        string at = Place();
        string[] guest = slow == 0 ? [.. s_guest, .. Timeout(cut!)] : [];
        using MigrateProgram destination = MigrateProgram.Start(["--listen", $"unix:{at}", .. slow == 0 ? Timeout(cut!) : []]);
        await destination.LineAfter("listening on ");
        using MigrateProxy proxy = new($"{at}.way", at) { Cut = cut, Slow = slow, Piece = piece };
        using MigrateProgram source = MigrateProgram.Start(["--connect", $"unix:{at}.way", .. guest, .. options]);
        MigrateResult[] ends = await Ends(source, destination);
        return (ends[0], ends[1]);
    }

    private static string[] Timeout(MigrateCut cut) =>
        cut.Stalls ? ["--timeout-s", "1", "--retry-s", "3"] : ["--retry-s", "3"];

    private string Place() => $"{_folder}/{Interlocked.Increment(ref _number)}";

    /// <summary>How they end; none of it takes longer than the time limits together.</summary>
    private static async Task<MigrateResult[]> Ends(params MigrateProgram[] programs)
    {
        Stopwatch clock = Stopwatch.StartNew();
        MigrateResult[] ends = await Task.WhenAll(programs.Select(program => program.Ended()));
        Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(40)), string.Join('\n', ends.Select(end => end.Everything)));
        return ends;
    }
}
