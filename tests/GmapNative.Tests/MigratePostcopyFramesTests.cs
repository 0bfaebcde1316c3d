using System;
using System.IO;
using System.Net.Sockets;
using System.Threading.Tasks;
using NUnit.Framework;
using static GmapNative.Tests.FrameType;
using static GmapNative.Tests.MigrateWire;

namespace GmapNative.Tests;

/// <summary>
/// Malformed frames of postcopy, in both directions: before the hand-over they end the connection like any other; after it they are a
/// broken connection, which may be taken up again, but not for ever.
/// </summary>
[TestFixture]
public sealed class MigratePostcopyFramesTests
{
    private string _folder = "";

    private string At => $"{_folder}/socket";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [TestCase("before the last round")]
    [TestCase("before any round")]
    [TestCase("twice")]
    [TestCase("session 0")]
    [TestCase("a short bitmap")]
    [TestCase("a long bitmap")]
    [TestCase("another count")]
    [TestCase("the first page")]
    [TestCase("pages after it")]
    [TestCase("a round after it")]
    [TestCase("state of 0 bytes")]
    [TestCase("a short hand-over")]
    public async Task Before_the_hand_over_a_wrong_frame_ends_the_destination(string mistake)
    {
        byte[] all = new byte[MemoryPages / 8];
        Array.Fill(all, (byte)0xFF);
        byte[][] frames = mistake switch
        {
            "before the last round" => [PagesFrame(0, FirstPage()), Frame(RoundEnd, 1, 0), PostcopyFrame()],
            "before any round" => [PostcopyFrame()],
            "twice" => [.. LastRound(), PostcopyFrame(), PostcopyFrame()],
            "session 0" => [.. LastRound(), PostcopyFrame(session: 0)],
            "a short bitmap" => [.. LastRound(), Frame(Postcopy, Session, MemoryPages - 1, AllButTheFirst()[8..])],
            "a long bitmap" => [.. LastRound(), Frame(Postcopy, Session, MemoryPages - 1, [.. AllButTheFirst(), .. new byte[8]])],
            "another count" => [.. LastRound(), Frame(Postcopy, Session, MemoryPages, AllButTheFirst())],
            "the first page" => [.. LastRound(), Frame(Postcopy, Session, MemoryPages, all)],
            "pages after it" => [.. LastRound(), PostcopyFrame(), Frame(Zero, 1, 1)],
            "a round after it" => [.. LastRound(), PostcopyFrame(), Frame(RoundEnd, 2, 1)],
            "state of 0 bytes" => [.. LastRound(), PostcopyFrame(), Frame(State)],
            _ => [.. LastRound(), PostcopyFrame(), Frame(Run, 0, 0, new byte[16])],
        };
        using MigrateProgram destination = Listen();
        using WirePeer source = await WirePeer.Connect(At);
        await source.Send([HelloFrame(), .. frames]);
        Assert.That(await source.Ends());
        MigrateResult there = destination.End();
        Assert.That((there.Status, there.ErrorLines.Length), Is.EqualTo((1, 1)), there.Everything);
        Assert.That(there.Errors, Does.StartWith("gmap-migrate: destination: malformed stream: "), there.Everything);
    }

    [Test]
    public async Task A_source_that_does_everything_right_gets_a_good_verdict()
    {
        using MigrateProgram destination = Listen();
        using WirePeer source = await HandedOver();
        await BringAll(source);
        MigrateResult there = destination.End();
        Assert.That((there.Status, there.ErrorLines.Length), Is.EqualTo((0, 0)), there.Everything);
        Assert.That(there.Output, Does.Contain("as known beforehand"));
    }

    [Test]
    public async Task A_guest_that_runs_on_after_its_last_page_is_not_taken_for_a_silent_peer()
    {
        using MigrateProgram destination = Listen("--timeout-s", "1");
        using WirePeer source = await HandedOver(steps: 20_000_000);
        await source.Send(Frame(Zero, 1, MemoryPages - 1), Frame(AllSent));
        await source.Await(Arrived);
        int before = source.Working;
        await source.Await(Blocked);
        Assert.That(source.Working - before, Is.GreaterThan(1), "five a second");
        await source.Await(Verdict);
        await source.Send(Frame(Bye, 1));
        Assert.That(destination.End().Output, Does.Contain("after 20000000 more steps"));
    }

    [TestCase("pages beyond the end")]
    [TestCase("pages that wrap")]
    [TestCase("no pages")]
    [TestCase("more pages than a frame has")]
    [TestCase("pages of a wrong length")]
    [TestCase("a damaged page")]
    [TestCase("zero pages beyond the end")]
    [TestCase("zero pages with bytes")]
    [TestCase("all sent, and it was not")]
    [TestCase("a hand-over again")]
    [TestCase("postcopy again")]
    [TestCase("something of the other side's")]
    [TestCase("no frame")]
    public async Task While_pages_are_missing_a_wrong_frame_is_a_broken_connection(string mistake)
    {
        byte[] damaged = PagesFrame(1, new byte[Page], new byte[Page]);
        damaged[FrameHead.Size + Page + 77] ^= 1;
        (byte[] frame, string reason) = mistake switch
        {
            "pages beyond the end" => (Frame(FrameType.Pages, MemoryPages - 1, 2, new byte[2 * 4104]), "beyond the end"),
            "pages that wrap" => (Frame(FrameType.Pages, -1, 2, new byte[2 * 4104]), "beyond the end"),
            "no pages" => (Frame(FrameType.Pages, 1, 0), "beyond the end"),
            "more pages than a frame has" => (Frame(FrameType.Pages, 1, 129, new byte[129 * 4104]), "wrong length"),
            "pages of a wrong length" => (Frame(FrameType.Pages, 1, 1, new byte[4096]), "wrong length"),
            "a damaged page" => (damaged, "damaged on its way"),
            "zero pages beyond the end" => (Frame(Zero, MemoryPages, 1), "beyond the end"),
            "zero pages with bytes" => (Frame(Zero, 1, 1, new byte[8]), "wrong length"),
            "all sent, and it was not" => (Frame(AllSent), "pages are missing"),
            "a hand-over again" => (RunFrame(), "malformed stream"),
            "postcopy again" => (PostcopyFrame(), "has no place"),
            "something of the other side's" => (Frame(Arrived, 1, 1), "has no place"),
            _ => (new byte[64], "no frame where one must begin"),
        };
        using MigrateProgram destination = Listen("--retry-s", "5");
        using (WirePeer source = await HandedOver())
        {
            await source.Send(Frame(Zero, 1, 10), frame);
            Assert.That(await source.Ends());
        }

        // The source comes again, tells the truth, and all is well.
        using WirePeer again = await WirePeer.Connect(At);
        await again.Send(Frame(Resume, Session));
        (FrameHead head, byte[] bitmap) = await again.Await(Missing);
        Assert.That((head.First, head.Count), Is.EqualTo((Session, MemoryPages - 11)), "what came before the mistake is there");
        Assert.That(bitmap[..3], Is.EqualTo(new byte[] { 0, 0xF8, 0xFF }));
        await BringAll(again);
        MigrateResult there = destination.End();
        Assert.That((there.Status, there.ErrorLines.Length), Is.EqualTo((0, 1)), there.Everything);
        Assert.That(there.Errors, Does.Match($"the connection to the source broke \\(.*{reason}.*\\): the guest is paused"));
    }

    [TestCase("nonsense")]
    [TestCase("a damaged page")]
    [TestCase("a page that has come")]
    public async Task A_source_that_comes_again_and_again_and_brings_nothing_is_lost_in_time(string what)
    {
        byte[] damaged = PagesFrame(1, new byte[Page]);
        damaged[FrameHead.Size] = 1;
        byte[][] frames = what switch
        {
            "nonsense" => [new byte[32]],
            "a damaged page" => [damaged],
            _ => [Frame(Zero, 1, 1), Frame(AllSent)],
        };
        using MigrateProgram destination = Listen("--retry-s", "1");
        using (WirePeer source = await HandedOver())
        {
            await source.Send(frames);
            Assert.That(await source.Ends());
        }

        Task<MigrateResult> end = destination.Ended();
        int times = 0;
        while (!end.IsCompleted)
        {
            if (File.Exists(At))
            {
                times += await Resumes(frames) ? 1 : 0;
            }

            await Task.Delay(5);
        }

        MigrateResult there = await end;
        Assert.That(there.Status, Is.EqualTo(1), there.Everything);
        Assert.That(there.ErrorLines[^1], Does.Contain("lost the source for good, and"), there.Everything);
        Assert.That(there.ErrorLines.Length, Is.LessThan(5), "no line for each of its tries");
        Assert.That(times, Is.InRange(2, 40), there.Everything);
    }

    private async Task<bool> Resumes(byte[][] frames)
    {
        try
        {
            using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(At));
            using WirePeer again = new(socket);
            await again.Send([Frame(Resume, Session), .. frames]);
            return await again.Ends();
        }
        catch (SocketException)
        {
            return false; // it has just given up
        }
    }

    private MigrateProgram Listen(params string[] options) => MigrateProgram.Start(["--listen", $"unix:{At}", .. options]);

    private static byte[][] LastRound(long steps = 0) => [PagesFrame(0, FirstPage(steps)), Frame(RoundEnd, 1, 1)];

    /// <summary>A source whose guest has started at the destination; all of it but page 0 is missing there.</summary>
    private async Task<WirePeer> HandedOver(long steps = 0)
    {
        WirePeer source = await WirePeer.Connect(At);
        await source.Send([HelloFrame(), .. LastRound(steps), PostcopyFrame(), RunFrame()]);
        await source.Await(Accept);
        await source.Await(RoundAck);
        await source.Await(Accept);
        return source;
    }

    private static async Task BringAll(WirePeer source)
    {
        await source.Send(Frame(Zero, 1, MemoryPages - 1), Frame(AllSent));
        (FrameHead blocked, _) = await source.Await(Blocked);
        (FrameHead verdict, _) = await source.Await(Verdict);
        Assert.That((blocked.First, blocked.Length, verdict.First), Is.EqualTo((1L, 160L, 1L)), "one vCPU, a good verdict");
        await source.Send(Frame(Bye, 1));
    }
}
