using System;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Threading.Tasks;
using NUnit.Framework;
using static GmapNative.Tests.FrameType;
using static GmapNative.Tests.MigrateWire;

namespace GmapNative.Tests;

/// <summary>
/// What a source believes of a destination that has its guest: nothing that would lose a page. A destination that talks nonsense is
/// one that is lost, in the end.
/// </summary>
[TestFixture]
public sealed class MigratePostcopyAnswersTests
{
    private static readonly string[] s_guest =
        ["--memory", "32M", "--threads", "1", "--steps", "1000", "--postcopy", "0", "--link", "2M", "--timeout-s", "5"];

    private string _folder = "";
    private Socket _listener = null!;

    private string At => $"{_folder}/socket";

    [SetUp]
    public void Listen()
    {
        _folder = Directory.CreateTempSubdirectory("gmap").FullName;
        _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        _listener.Bind(new UnixDomainSocketEndPoint(At));
        _listener.Listen();
    }

    [TearDown]
    public void RemoveFolder()
    {
        _listener.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [TestCase("wanted beyond the end")]
    [TestCase("wanted, none")]
    [TestCase("wanted, wraps")]
    [TestCase("wanted with bytes")]
    [TestCase("arrived beyond the end")]
    [TestCase("arrived, none")]
    [TestCase("arrived before it was sent")]
    [TestCase("arrived twice")]
    [TestCase("blocked, a wrong length")]
    [TestCase("blocked before its time")]
    [TestCase("a verdict before its time")]
    [TestCase("no frame")]
    public async Task A_wrong_answer_is_a_broken_connection_and_the_guest_stays_stopped(string mistake)
    {
        byte[][] frames = mistake switch
        {
            "wanted beyond the end" => [Frame(Want, MemoryPages, 1)],
            "wanted, none" => [Frame(Want, 1, 0)],
            "wanted, wraps" => [Frame(Want, -1, 2)],
            "wanted with bytes" => [Frame(Want, 1, 1, new byte[8])],
            "arrived beyond the end" => [Frame(Arrived, MemoryPages - 1, 2)],
            "arrived, none" => [Frame(Arrived, 1, 0)],
            "arrived before it was sent" => [Frame(Arrived, MemoryPages - 1, 1)],
            "arrived twice" => [Frame(Arrived, 1, 1), Frame(Arrived, 1, 1)],
            "blocked, a wrong length" => [Frame(Blocked, 1, 0, new byte[8])],
            "blocked before its time" => [Frame(Blocked, 1, 0, new byte[160])],
            "a verdict before its time" => [Frame(Verdict, 1, 0, new byte[224])],
            _ => [new byte[64]],
        };
        using MigrateProgram source = Connect("--retry-s", "0");
        using (WirePeer destination = await TakesOver())
        {
            await destination.Await(FrameType.Pages); // the first of them are on their way
            await destination.Send(frames);
            Assert.That(await destination.Ends());
        }

        _listener.Dispose();
        AssertLost(source.End(), "the connection broke (malformed stream: ");
    }

    [TestCase("a bitmap of another length", "malformed stream: frame")]
    [TestCase("another session", "a strange list of what is missing")]
    [TestCase("another count", "a strange list of what is missing")]
    [TestCase("pages that it had", "other pages are missing than can be")]
    [TestCase("too few pages", "other pages are missing than can be")]
    [TestCase("a refusal", "the peer refuses: another migration is waited for here")]
    [TestCase("silence", "has not answered")]
    [TestCase("the end", "the peer is gone")]
    public async Task A_wrong_list_of_what_is_missing_is_not_believed(string mistake, string reason)
    {
        byte[] missing = AllButTheFirst(), all = AllButTheFirst();
        missing[0] = 0xFC; // page 1 is there
        all[0] = 0xFF;
        byte[]? answer = mistake switch
        {
            "a bitmap of another length" => Frame(Missing, SessionSeen, MemoryPages - 2, missing[8..]),
            "another session" => Frame(Missing, Session, MemoryPages - 2, missing),
            "another count" => Frame(Missing, SessionSeen, MemoryPages - 1, missing),
            "pages that it had" => Frame(Missing, SessionSeen, MemoryPages, all),
            "too few pages" => Frame(Missing, SessionSeen, 0, new byte[MemoryPages / 8]),
            "a refusal" => Frame(Refused, 0, 0, "another migration is waited for here"u8.ToArray()),
            _ => null,
        };
        using MigrateProgram source = Connect("--retry-s", "1");
        using (WirePeer destination = await TakesOver())
        {
            await destination.Await(FrameType.Pages);
            await destination.Send(Frame(Arrived, 1, 1));
            await Task.Delay(100);
        }

        Task<MigrateResult> end = source.Ended();
        while (!end.IsCompleted && await Task.WhenAny(_listener.AcceptAsync(), end) is Task<Socket> next)
        {
            using WirePeer again = new(await next);
            (FrameHead head, _) = await again.Await(Resume);
            if (answer is not null)
            {
                if (mistake != "another session" && mistake != "a refusal")
                {
                    BitConverter.GetBytes(head.First).CopyTo(answer, 8);
                }

                await again.Send(answer);
            }

            if (mistake != "the end")
            {
                Assert.That(await again.Ends());
            }
        }

        MigrateResult here = await end;
        AssertLost(here, "the connection broke (");
        Assert.That(here.ErrorLines[^1], Does.Contain(reason), here.Everything);
    }

    [Test]
    public async Task A_destination_that_cannot_do_postcopy_leaves_the_guest_running_at_the_source()
    {
        using MigrateProgram source = Connect("--link", "0");
        using (WirePeer destination = await Accepts())
        {
            await destination.Await(Postcopy);
            await destination.Send(Frame(Refused, 0, 0, "postcopy is not possible here"u8.ToArray()));
            Assert.That(await destination.Ends());
        }

        _listener.Dispose();
        File.Delete(At);
        using MigrateProgram able = MigrateProgram.Start("--listen", $"unix:{At}");
        MigrateResult here = source.End(), there = able.End();
        Assert.That((here.Status, there.Status), Is.EqualTo((0, 0)), here.Everything + there.Everything);
        Assert.That(here.Errors, Does.Contain("postcopy is not possible here; the guest keeps running here"));
    }

    private const long SessionSeen = 1; // stands for the source's own

    private MigrateProgram Connect(params string[] options) =>
        MigrateProgram.Start(["--connect", $"unix:{At}", .. s_guest, .. options]);

    private async Task<WirePeer> Accepts()
    {
        WirePeer destination = new(await _listener.AcceptAsync().WaitAsync(TimeSpan.FromSeconds(20)));
        await destination.Await(Hello);
        await destination.Send(Frame(Accept));
        await destination.Await(RoundEnd);
        await destination.Send(Frame(RoundAck, 1));
        return destination;
    }

    /// <summary>A destination that has the guest, as far as the source knows.</summary>
    private async Task<WirePeer> TakesOver()
    {
        WirePeer destination = await Accepts();
        (FrameHead head, byte[] bitmap) = await destination.Await(Postcopy);
        Assert.That(head.Count, Is.EqualTo(MemoryPages - 1));
        Assert.That(bitmap.SequenceEqual(AllButTheFirst()));
        await destination.Send(Frame(Accept));
        await destination.Await(Run);
        return destination;
    }

    private static void AssertLost(MigrateResult here, string first)
    {
        Assert.That((here.Status, here.ErrorLines.Length), Is.EqualTo((1, 2)), here.Everything);
        Assert.That(here.ErrorLines[0], Does.Contain(first), here.Everything);
        Assert.That(here.ErrorLines[1], Does.Contain("lost the destination for good while").And.Contain("so it stays stopped here"));
    }
}
