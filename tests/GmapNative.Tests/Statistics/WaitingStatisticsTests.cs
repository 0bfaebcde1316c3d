using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading;
using GmapNative.Backing;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Review;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Statistics;

/// <summary>What takes two threads, or the kernel, to be counted.</summary>
[TestFixture]
[NonParallelizable]
public sealed class WaitingStatisticsTests
{
    private const ulong Timeout = 30_000_000;
    private const int MostRaces = 50;

    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new() { Id = 1, Size = Segment, HostAddress = s_memory.Start, LogDirty = true };

    /// <summary>
    /// Two threads see the same leaf and are held in front of the pool, so that each makes a table and one of them for nothing. A
    /// machine under load may not bring them both there in time, and where an unmap is to lose it may win: then again.
    /// </summary>
    [TestCase(false)]
    [TestCase(true)]
    [Covers("space." + nameof(SpaceStats.splits_lost))]
    public void Split_that_is_lost_is_counted_once(bool unmap)
    {
        bool seen = false;
        for (int race = 0; race < MostRaces && !seen; race++)
        {
            using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
            test.Set(s_slot);
            test.Read(0);
            ref SpinGate gate = ref GateOf(test.Engine.Pool);
            gate.Enter();
            FaultDone done = FaultDone.None;
            var first = new Thread(() => done = FaultOnce(test, 7 * Page));
            var second = new Thread(() =>
            {
                if (unmap)
                {
                    Assert.That(RangeCalls.Unmap(test.Space, 9 * Page, Page, out _), Is.Zero);
                }
                else
                {
                    _ = FaultOnce(test, 9 * Page);
                }
            });
            first.Start();
            second.Start();
            Thread.Sleep(5 + race);
            gate.Exit();
            first.Join();
            second.Join();
            SpaceStats stats = Figures.Of(test.Space);
            Assert.That((stats.splits, stats.page_tables), Is.EqualTo((1UL, 1UL)));
            Assert.That(stats.splits_lost, Is.LessThanOrEqualTo(1), "one thread lost, or none was there in time");
            seen = stats.splits_lost == 1 && (!unmap || done.HasFlag(FaultDone.Split));
        }
        Assert.That(seen, "a split was lost and counted");
    }

    [Test]
    [Covers("space." + nameof(SpaceStats.harvest_ns), "space." + nameof(SpaceStats.grace_wait_ns))]
    public void Reader_that_stays_is_time_of_the_grace_and_of_the_harvest()
    {
        using var host = new Host(2 * Host.Segment, Timeout);
        using var reader = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        reader.Write(7 * Page); // stays inside
        SpaceStats before = Figures.Of(host.Inside);
        long begin = Stopwatch.GetTimestamp();
        Assert.That(host.Harvest(1, 256, out _), Is.EqualTo(Status.TimedOut));
        ulong elapsed = (ulong)Stopwatch.GetElapsedTime(begin).TotalNanoseconds;
        SpaceStats after = Figures.Of(host.Inside);
        Assert.Multiple(() =>
        {
            Assert.That(after.harvest_ns - before.harvest_ns, Is.InRange(after.grace_wait_ns - before.grace_wait_ns, elapsed));
            Assert.That(after.grace_wait_ns - before.grace_wait_ns, Is.InRange(Timeout, elapsed));
            Assert.That(after.grace_periods - before.grace_periods, Is.EqualTo(1));
            Assert.That((after.harvests, after.pages_harvested, after.pages_taken), Is.EqualTo((1UL, 0UL, 1UL)), "taken, not delivered");
        });
        Assert.That(host.Unmap(0, Host.Segment), Is.EqualTo(Status.TimedOut));
        SpaceStats unmapped = Figures.Of(host.Inside);
        Assert.That(unmapped.grace_wait_ns - after.grace_wait_ns, Is.GreaterThanOrEqualTo(Timeout));
        Assert.That(unmapped.harvest_ns, Is.EqualTo(after.harvest_ns), "an unmap is no harvest");
        reader.Leave();
        Assert.That(host.Harvest(1, 256, out _), Is.Zero);
        after = Figures.Of(host.Inside);
        Assert.That((after.harvests, after.pages_harvested, after.pages_taken), Is.EqualTo((2UL, 1UL, 1UL)));
    }

    [Test]
    [Covers("space." + nameof(SpaceStats.backing_scans))]
    public void Kernel_scans_and_what_they_take()
    {
        Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
        using var host = new Host(2 * Host.Segment);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        ulong backing = host.Attach(1);
        Store(host, 5, 9, 100);
        SpaceStats before = Figures.Of(host.Inside);
        Assert.That(host.Harvest(1, 256, out int[] found), Is.Zero);
        Assert.That(found, Is.EqualTo(new[] { 5, 9, 100 }));
        SpaceStats harvested = Figures.Of(host.Inside);
        Assert.That(
            Figures.Moved(before, harvested),
            Is.EquivalentTo(new System.Collections.Generic.Dictionary<string, long>
            {
                ["harvests"] = 1,
                ["pages_harvested"] = 3,
                ["pages_taken"] = 3,
                ["grace_periods"] = 1,
                ["backing_scans"] = 1,
            }));
        Store(host, 1, 2, 3);
        Assert.That(host.Clear(1, 256, 0b1110), Is.Zero);
        Assert.That(
            Figures.Moved(harvested, Figures.Of(host.Inside)),
            Is.EquivalentTo(new System.Collections.Generic.Dictionary<string, long>
            {
                ["harvests"] = 1,
                ["pages_taken"] = 3,
                ["grace_periods"] = 1,
                ["backing_scans"] = 1,
            }));
        Assert.That(Host.Detach(backing), Is.Zero);
    }

    private static unsafe void Store(Host host, params int[] pages)
    {
        foreach (int page in pages)
        {
            host.Memory[(ulong)page * Host.Page] = 1;
        }
    }

    private static FaultDone FaultOnce(TestSpace test, ulong address)
    {
        View view = test.OpenView();
        Assert.That(test.Fault(view, address, Access.Write, out FaultOutcome outcome), Is.Zero);
        view.Leave();
        test.CloseView(view);
        return outcome.Done;
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_gate")]
    private static extern ref SpinGate GateOf(TablePool pool);
}
