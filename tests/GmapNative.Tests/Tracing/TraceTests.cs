using System;
using System.Collections.Generic;
using System.Diagnostics.Tracing;
using System.IO;
using System.Linq;
using GmapNative.Exports;
using GmapNative.Tests.Abi;
using Microsoft.Diagnostics.NETCore.Client;
using NUnit.Framework;

namespace GmapNative.Tests.Tracing;

/// <summary>A C host in another process, looked at from outside as dotnet-trace does.</summary>
[TestFixture]
[NonParallelizable]
public sealed class TraceTests
{
    // The known run of traced.c.
    private const int Segments = 8;
    private const int Split = 5;
    private const int PagesEach = 4;
    private const int Again = 3;
    private const int Writes = (Split * PagesEach) + Again;
    private const int Slot = 7;
    private const ulong Guest = 64 << 20;
    private const ulong Megabyte = 1 << 20;

    private static string TraceFolder => Path.Combine(Repository.LibraryFolder, "trace");

    [Test]
    public void A_running_host_tells_what_it_does()
    {
        using var host = new TracedHost(TraceFolder, Path.GetTempPath());
        Assert.That(host.Features & Library.FeatureTrace, Is.EqualTo(Library.FeatureTrace));
        using var session = new Session(host.Pid, EventLevel.Verbose, 0xFF);
        session.WaitForCounter("faults", 0); // rates begin when the runtime first looks, on a thread of its own
        Dictionary<string, ulong> counted = host.Run();
        session.WaitForCounter("faults", Segments + Writes);
        session.WaitForCounter("splits", Split);
        session.WaitForCounter("pages-harvested", Writes);
        session.WaitForCounter("grace-wait", counted["grace_wait_ns"]);
        List<Told> events = session.Stop();
        host.End();

        foreach (Told told in events)
        {
            TestContext.Out.WriteLine(told);
        }
        Assert.Multiple(() =>
        {
            FaultsAreTold(events, counted);
            SlotsAreTold(events, counted);
            HarvestsAreTold(events, counted);
            MemoryIsTold(events, counted);
            Assert.That(session.Counter("dirty-pages-per-harvest"), Is.InRange(Writes / 3.0, Split * PagesEach));
            Assert.That(session.Counter("table-bytes"), Is.GreaterThanOrEqualTo(counted["table_bytes"]));
        });
    }

    [Test]
    public void Keywords_choose_what_is_told()
    {
        using var host = new TracedHost(TraceFolder, Path.GetTempPath());
        using var session = new Session(host.Pid, EventLevel.Informational, (long)GmapEvents.Keywords.Splits);
        _ = host.Run();
        List<Told> events = session.Stop();
        host.End();
        Assert.That(events.Select(told => told.Name), Is.EqualTo(Enumerable.Repeat("Split", Split)));
    }

    [Test]
    public void The_shipped_library_is_silent_and_has_no_door()
    {
        string sockets = Directory.CreateTempSubdirectory("gmap-").FullName;
        try
        {
            using (var traced = new TracedHost(TraceFolder, sockets)) // or looking for the socket proves nothing
            {
                Assert.That(Directory.GetFiles(sockets, $"dotnet-diagnostic-{traced.Pid}-*-socket"), Has.Length.EqualTo(1));
                _ = traced.Run();
                traced.End();
            }
            using var host = new TracedHost(null, sockets);
            Assert.That(host.Features & Library.FeatureTrace, Is.Zero);
            Assert.That(() => new Session(host.Pid, EventLevel.Verbose, 0xFF), Throws.TypeOf<ServerNotAvailableException>());
            Assert.That(host.Run()["splits"], Is.EqualTo(Split));
            Assert.That(Directory.GetFileSystemEntries(sockets).Where(path => path.Contains($"-{host.Pid}-")), Is.Empty);
            host.End();
        }
        finally
        {
            Directory.Delete(sockets, recursive: true);
        }
    }

    private static void FaultsAreTold(List<Told> events, Dictionary<string, ulong> counted)
    {
        Told[] all = Of(events, "Fault");
        Told[] slow = Of(events, "SlowFault");
        Told[] changed = [.. slow.Where(told => (told.Get<uint>("done") & 3) != 0)];
        Assert.That(all, Has.Length.EqualTo(Segments + Writes));
        Assert.That(all.Count(told => told.Get<uint>("access") == 1), Is.EqualTo((int)counted["read_faults"]));
        Assert.That(all.Count(told => told.Get<uint>("access") == 2), Is.EqualTo((int)counted["write_faults"]));
        Assert.That(all.Select(told => told.Get<ulong>("space")), Is.All.EqualTo(1));
        Assert.That(all.Select(told => told.Get<long>("ns")), Is.All.Positive);
        Assert.That(
            changed.Select(told => told.Get<ulong>("address")),
            Is.EqualTo(SegmentsUpTo(Segments).Concat(SegmentsUpTo(Split))), "mapped by a read each, then split");
        Assert.That(slow.Except(changed).Select(told => told.Get<long>("ns")), Is.All.GreaterThan(20_000));
        Told[] splits = Of(events, "Split");
        Assert.That(splits.Select(told => told.Get<ulong>("address")), Is.EqualTo(SegmentsUpTo(Split)));
        Assert.That(splits.Select(told => told.Get<bool>("lost")), Is.All.False);
        Assert.That(counted["splits"], Is.EqualTo(Split));
    }

    private static void SlotsAreTold(List<Told> events, Dictionary<string, ulong> counted)
    {
        Told[] changes = Of(events, "SlotChange");
        Assert.That(
            changes.Select(told => (told.Get<ulong>("space"), told.Get<uint>("flags"), told.Get<ulong>("size"), told.Get<int>("status"))),
            Is.EqualTo(new[]
            {
                (1UL, 0u, Segments * Megabyte, 0),
                (1UL, 2u, Segments * Megabyte, 0),
                (2UL, 2u, 16384 * Megabyte, Status.NoMemory),
            }));
        Assert.That(changes.Select(told => told.Get<uint>("slot")), Is.All.EqualTo(Slot));
        Told arm = Of(events, "Arm").Single();
        Assert.That((arm.Get<uint>("slot"), arm.Get<ulong>("pages")), Is.EqualTo(((uint)Slot, Segments * 256UL)));
        Assert.That(counted["armings"], Is.EqualTo(1));
        Told unmap = Of(events, "Unmap").Single();
        Assert.That((unmap.Get<ulong>("address"), unmap.Get<ulong>("size"), unmap.Get<int>("status")), Is.EqualTo((Guest, Megabyte, 0)));
        Assert.That(Of(events, "BackingTrouble").Single().Get<string>("message"), Is.Not.Empty);
    }

    private static void HarvestsAreTold(List<Told> events, Dictionary<string, ulong> counted)
    {
        Told[] begins = Of(events, "HarvestBegin");
        Told[] ends = Of(events, "HarvestEnd");
        Assert.That(ends, Has.Length.EqualTo((int)counted["harvests"]));
        Assert.That(
            begins.Select(told =>
                (told.Get<uint>("slot"), told.Get<ulong>("firstPage"), told.Get<ulong>("pages"), told.Get<uint>("flags"))),
            Is.EqualTo(Enumerable.Repeat(((uint)Slot, 0UL, Segments * 256UL, 0u), 3)));
        Assert.That(ends.Select(told => told.Get<ulong>("dirtyPages")), Is.EqualTo(new ulong[] { Split * PagesEach, 0, Again }));
        Assert.That(ends.Select(told => told.Get<int>("status")), Is.All.Zero);
        Assert.That(counted["pages_harvested"], Is.EqualTo(Writes));
        Told[] waits = Of(events, "GraceWait");
        Assert.That(waits, Has.Length.EqualTo((int)counted["grace_periods"]));
        Assert.That(waits.Sum(told => told.Get<long>("ns")), Is.EqualTo((long)counted["grace_wait_ns"]));
        Assert.That(begins.Zip(ends).All(pair => pair.First.Milliseconds <= pair.Second.Milliseconds));
    }

    private static void MemoryIsTold(List<Told> events, Dictionary<string, ulong> counted)
    {
        // Up to the unmap it was the first engine, and it grew to what it said then.
        Told[] growth = Of(events[..events.FindIndex(told => told.Name == "Unmap")], "ArenaGrowth");
        Told last = growth[^1];
        Assert.That(last.Get<ulong>("committed"), Is.EqualTo(counted["committed_bytes"]));
        Assert.That(last.Get<ulong>("locked"), Is.EqualTo(counted["locked_bytes"]));
        Assert.That((ulong)growth.Sum(told => (long)told.Get<ulong>("bytes")), Is.EqualTo(counted["committed_bytes"]));
        Assert.That(Of(events, "MemoryRefused").Select(told => told.Get<string>("what")), Has.One.Contains("dirty log"));
    }

    private static Told[] Of(List<Told> events, string name) => [.. events.Where(told => told.Name == name)];

    private static IEnumerable<ulong> SegmentsUpTo(int count) => Enumerable.Range(0, count).Select(i => Guest + ((ulong)i * Megabyte));
}
