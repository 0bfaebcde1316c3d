using System;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// The paths that run while a guest runs allocate nothing on the managed heap: no collection ever stops a vcpu for them.
/// </summary>
[TestFixture]
[NonParallelizable]
public sealed class NoGarbageTests
{
    private const int Rounds = 300;

    private static readonly GuestMemory s_memory = new(8 << 20);

    [TestCase("fault")]
    [TestCase("translate")]
    [TestCase("populate")]
    [TestCase("host access")]
    [TestCase("mark")]
    [TestCase("get")]
    [TestCase("clear")]
    [TestCase("harvest")]
    [TestCase("freezing harvest")]
    [TestCase("harvest of runs")]
    [TestCase("consumer")]
    [TestCase("freezing consumer")]
    public void Nothing_is_allocated(string path)
    {
        var freezing = new Freezing { LeastLines = path.StartsWith("freezing", StringComparison.Ordinal) ? 1 : 33, LeastSegments = 1 };
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 }, new EngineOptions { ArenaBytes = 32 << 20, Freezing = freezing });
        test.Set(new SlotRequest { Id = 1, Size = 4 * Segment, HostAddress = s_memory.Start, LogDirty = true });
        Assert.That(Consumer.TryOpen(test.Space, Consumer.AllSlots, ConsumerKind.Plain, out Consumer? consumer), Is.Zero);
        ulong[] bitmap = new ulong[16];
        bitmap[0] = 0b1010_1110;
        int round = 0;
        for (; round < 40; round++)
        {
            Run(test, consumer!, path, round, bitmap); // everything is compiled and first-touched
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (; round < 40 + Rounds; round++)
        {
            Run(test, consumer!, path, round, bitmap);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.That(allocated, Is.Zero);
        Assert.That(test.Counters.WriteFaults, Is.GreaterThanOrEqualTo(Rounds), "something ran");
        Assert.That(consumer!.Close(), Is.Zero);
    }

    private static unsafe void Run(TestSpace test, Consumer consumer, string path, int round, ulong[] bitmap)
    {
        ulong address = (ulong)round * 3 % 1024 * Page;
        int status = test.Fault(address, Access.Write, out _);
        fixed (ulong* words = bitmap)
        {
            switch (path)
            {
                case "fault":
                    status |= test.Fault(address + Page, Access.Read, out _);
                    break;
                case "translate":
                    status |= test.Translate(address, Access.Read, out _);
                    break;
                case "populate":
                    status |= RangeCalls.Populate(test.Space, address, Page, Access.Write, out _);
                    break;
                case "host access":
                    status |= test.HostWrite(address, 1) | test.HostRead(address, out _);
                    break;
                case "mark":
                    status |= test.Space.Host.MarkRange(address, 5) | test.Space.Host.MarkBitmap(1, 3, 64, words);
                    test.Space.Host.MarkBatch(&address, 1);
                    break;
                case "get":
                    status |= Harvester.Get(test.Space, 1, 0, 1024, words, out _);
                    break;
                case "clear":
                    status |= Harvester.Clear(test.Space, 1, 0, 64, words);
                    break;
                case "harvest of runs":
                    DirtyRun run = default;
                    var runs = new DirtyRuns(&run, 1);
                    status |= Harvester.HarvestRuns(test.Space, 1, 0, 1024, HarvestFlags.None, ref runs, out _);
                    break;
                case "consumer" or "freezing consumer":
                    status |= Epoch(consumer, round, words);
                    break;
                default:
                    status |= Harvester.Harvest(test.Space, 1, 0, 1024, HarvestFlags.None, words, 16, out _);
                    break;
            }
        }
        if (status != 0)
        {
            throw new InvalidOperationException($"{path}: {status}");
        }
    }

    /// <summary>Begin, both ways to read, redirty, abort and commit.</summary>
    private static unsafe int Epoch(Consumer consumer, int round, ulong* words)
    {
        var array = stackalloc DirtyRun[3];
        ulong resume = 0;
        int status = consumer.Begin(rearm: true, out ConsumerEpoch epoch) | consumer.ReadBitmap(1, 0, 1024, or: true, words, 16, out _);
        while (resume != ulong.MaxValue)
        {
            var runs = new DirtyRuns(array, 3);
            status |= consumer.ReadRuns(ref runs, ref resume);
        }
        ulong bit = 1;
        status |= consumer.Redirty(1, 7, 1, &bit) | (round % 3 == 0 ? consumer.Abort() : consumer.Commit());
        return epoch.DirtyPages == 0 ? -1 : status;
    }
}
