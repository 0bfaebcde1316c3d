using System;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading.Tasks;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-migrate on two ends: what goes wrong ends in one line and a status, and never in a lost guest.</summary>
[TestFixture]
public sealed class MigrateEndsTests
{
    private string _folder = "";

    private string Address => $"unix:{_folder}/socket";

    [SetUp]
    public void MakeFolder() => _folder = Directory.CreateTempSubdirectory("gmap").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_folder, recursive: true);

    [TestCase("")]
    [TestCase("demo --nope")]
    [TestCase("demo --rate")]
    [TestCase("demo --json=1")]
    [TestCase("demo --memory 3")]
    [TestCase("demo --memory 64X")]
    [TestCase("demo --memory 99999999999999999999")]
    [TestCase("demo --memory 2T")] // it would be touched, all of it
    [TestCase("demo --policy sometimes")]
    [TestCase("demo --guest bsd")]
    [TestCase("demo --guest sqlite --backing none")]
    [TestCase("demo --threads 64 --memory 64M")]
    [TestCase("demo --image /no/such/file")]
    [TestCase("demo --connect unix:/tmp/x")]
    [TestCase("demo twice")]
    [TestCase("--listen nowhere")]
    [TestCase("--listen tcp:127.0.0.1")]
    [TestCase("--listen tcp:127.0.0.1:99999")] // 16 bits of it are a port, but another one
    [TestCase("--connect tcp:127.0.0.1:http")]
    [TestCase("--listen tcp:127.0.0.1:1 --connect tcp:127.0.0.1:1")]
    [TestCase("--connect unix:/tmp/x --fail-first-at 2")]
    [TestCase("--connect unix:/tmp/x --timeout-s 0")] // that would be: for ever
    [TestCase("--listen unix:/tmp/x --timeout-s")]
    [TestCase("--listen unix:/tmp/x --postcopy 1")]
    [TestCase("demo --postcopy 61")]
    [TestCase("demo --postcopy 1 --drop-a-page")]
    [TestCase("demo --postcopy 1 --guest nested")]
    [TestCase("demo --break-at 10")]
    public void A_bad_option_is_one_line_and_status_2(string words)
    {
        MigrateResult result = MigrateProgram.Run(words.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.That(result.Status, Is.EqualTo(2), result.Everything);
        Assert.That(result.ErrorLines, Has.Length.EqualTo(1), result.Everything);
        Assert.That(result.Errors, Does.StartWith("gmap-migrate: "));
        Assert.That(result.Output, Is.Empty);
    }

    [Test]
    public void A_busy_port_is_told()
    {
        using TcpListener other = new(IPAddress.Loopback, 0);
        other.Start();
        MigrateResult result = MigrateProgram.Run("--listen", $"tcp:127.0.0.1:{((IPEndPoint)other.LocalEndpoint).Port}");
        AssertFailed(result, "in use; choose another address");
    }

    [Test]
    public void A_file_that_is_no_socket_is_not_removed()
    {
        string file = Path.Combine(_folder, "notes");
        File.WriteAllText(file, "keep");
        MigrateResult result = MigrateProgram.Run("--listen", $"unix:{file}", "--accept-s", "1");
        AssertFailed(result, "in use; choose another address");
        Assert.That(File.ReadAllText(file), Is.EqualTo("keep"));
    }

    [Test]
    public void A_destination_that_is_not_there_is_told()
    {
        MigrateResult result = MigrateProgram.Run("--connect", Address, "--memory", "64M", "--steps", "1000");
        AssertFailed(result, "start the destination first");
    }

    [Test]
    public void An_image_that_does_not_fit_is_told()
    {
        string image = Path.Combine(_folder, "image");
        using (FileStream file = File.Create(image))
        {
            file.SetLength(60 << 20);
        }

        MigrateResult result = MigrateProgram.Run("demo", "--guest", "threads", "--policy", "lazy", "--memory", "64M", "--image", image);
        AssertFailed(result, "give --memory 77M or more");
    }

    [Test]
    public async Task The_guest_waits_for_a_second_destination_after_the_first_was_killed()
    {
        using MigrateProgram first = MigrateProgram.Start("--listen", Address);
        await first.LineAfter("listening on ");
        using MigrateProgram source =
            MigrateProgram.Start("--connect", Address, "--memory", "64M", "--link", "32M", "--steps", "1000000", "--json");
        await first.LineAfter("source connected: ");
        first.Kill(); // in the first pass, which takes two seconds
        first.End();
        using MigrateProgram second = MigrateProgram.Start("--listen", Address);
        MigrateResult there = second.End();
        MigrateResult here = source.End();
        Assert.That(here.Status, Is.Zero, here.Everything);
        Assert.That(here.Json.GetProperty("runs")[0].GetProperty("attempts").GetInt32(), Is.EqualTo(2));
        Assert.That(here.ErrorLines, Has.Length.EqualTo(1));
        Assert.That(there.Status, Is.Zero, there.Everything);
        Assert.That(there.Output, Does.Contain("as known beforehand"));
    }

    [Test]
    public async Task A_source_that_finds_no_second_destination_fails()
    {
        using MigrateProgram first = MigrateProgram.Start("--listen", Address);
        await first.LineAfter("listening on ");
        using MigrateProgram source =
            MigrateProgram.Start("--connect", Address, "--memory", "64M", "--link", "32M", "--steps", "400000", "--retry-s", "1");
        await first.LineAfter("source connected: ");
        first.Kill();
        MigrateResult result = source.End();
        Assert.That(result.Status, Is.EqualTo(1), result.Everything);
        Assert.That(result.Errors, Does.Contain("the guest keeps running"));
    }

    [Test]
    public async Task A_destination_whose_source_dies_ends_with_one_line()
    {
        MigrateResult result = await Destination(socket =>
        {
            socket.Send(MigrateWire.HelloFrame(64 << 20));
            socket.Close();
        });
        AssertFailed(result, "the peer is gone");
    }

    [Test]
    public async Task Neither_side_waits_longer_for_a_silent_peer_than_it_was_told()
    {
        MigrateResult there = await Destination(socket => socket.Send(MigrateWire.HelloFrame(64 << 20)), "--timeout-s", "1");
        AssertFailed(there, "has not answered for 1 s");
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint($"{_folder}/silent"));
        listener.Listen();
        string[] options = ["--memory", "32M", "--threads", "1", "--steps", "1000", "--timeout-s", "1", "--retry-s", "0"];
        MigrateResult source = MigrateProgram.Run(["--connect", $"unix:{_folder}/silent", .. options]);
        Assert.That(source.Status, Is.EqualTo(1), source.Everything);
        Assert.That(source.Errors, Does.Contain("has not answered for 1 s; the guest keeps running here"), source.Everything);
    }

    [Test]
    public async Task A_source_gives_up_a_destination_that_takes_connections_and_nothing_else()
    {
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint($"{_folder}/socket"));
        listener.Listen();
        using MigrateProgram source =
            MigrateProgram.Start("--connect", Address, "--memory", "32M", "--threads", "1", "--steps", "1000", "--retry-s", "1");
        Task<MigrateResult> end = source.Ended();
        int connections = 0;
        for (Task<Socket> next = listener.AcceptAsync(); await Task.WhenAny(next, end) == next; next = listener.AcceptAsync())
        {
            connections++;
            (await next).Dispose();
        }

        Assert.That((await end).Status, Is.EqualTo(1), (await end).Everything);
        Assert.That((await end).ErrorLines[^1], Does.Contain("giving up: no destination took a round within 1 s"));
        Assert.That(connections, Is.InRange(2, 10), "a fifth of a second between two");
    }

    [Test]
    public async Task Bytes_that_are_no_frames_are_refused()
    {
        byte[] noise = new byte[4096];
        new Random(1).NextBytes(noise);
        AssertFailed(await Destination(socket => socket.Send(noise)), "malformed stream");
    }

    [TestCase((int)FrameType.Pages, 16380, 8, 8 * 4104)]    // reaches over the end
    [TestCase((int)FrameType.Pages, 0, 129, 129 * 4104)]    // more than a frame may have
    [TestCase((int)FrameType.Pages, 0, 1, 4096)]            // a wrong length
    [TestCase((int)FrameType.Pages, 0, 0, 0)]
    [TestCase((int)FrameType.Pages, -1, 2, 2 * 4104)]       // wraps
    [TestCase((int)FrameType.Zero, 16383, 2, 0)]
    [TestCase((int)FrameType.Zero, 1, -1, 0)]
    [TestCase((int)FrameType.Run, 0, 0, 24)]                // before every page was compared
    [TestCase((int)FrameType.State, 0, 0, 100)]             // the same
    [TestCase((int)FrameType.Hello, 1, 0, 16)]              // twice
    [TestCase(77, 0, 0, 0)]
    public async Task A_frame_out_of_range_is_refused(int number, long first, long count, long length)
    {
        MigrateResult result = await Destination(socket =>
        {
            socket.Send(MigrateWire.HelloFrame(64 << 20));
            socket.Send(MigrateWire.Frame((FrameType)number, first, count, new byte[100], length));
        });
        AssertFailed(result, "malformed stream");
    }

    [TestCase(3L << 20, 1, 0)]
    [TestCase((64L << 20) + 1, 1, 0)]
    [TestCase(1L << 60, 1, 0)]
    [TestCase(64L << 20, 9, 0)]
    [TestCase(64L << 20, 1, 9)]
    public async Task A_strange_machine_is_refused(long memory, int guest, int policy)
    {
        AssertFailed(await Destination(socket => socket.Send(MigrateWire.HelloFrame(memory, guest, policy))), "refused the source");
    }

    private static void AssertFailed(MigrateResult result, string because)
    {
        Assert.That(result.Status, Is.EqualTo(1), result.Everything);
        Assert.That(result.ErrorLines, Has.Length.EqualTo(1), result.Everything);
        Assert.That(result.Errors, Does.StartWith("gmap-migrate: ").And.Contain(because));
    }

    /// <summary>A destination to which a source says what the test wants, and then nothing more.</summary>
    private async Task<MigrateResult> Destination(Action<Socket> source, params string[] options)
    {
        using MigrateProgram destination = MigrateProgram.Start(["--listen", Address, .. options]);
        await destination.LineAfter("listening on ");
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint($"{_folder}/socket"));
        source(socket);
        return destination.End();
    }
}
