using System;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Abi;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>
/// Tables that are taken away wait for all who entered before, whatever took them away; and a reader that never leaves costs memory and
/// time, nothing else.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class ReclamationTests(bool pgstes) : ScenarioFixture(pgstes)
{
    private const ulong HighLimit = (8 * TwoGigabytes) - 1;

    [TestCase("unmap", 1)]
    [TestCase("discard", 1)]
    [TestCase("collapse", 1)]
    [TestCase("logging off", 1)]
    [TestCase("read-only", 1)]
    [TestCase("moved", 1, 32)]
    [TestCase("deleted", 1, 32)]
    [TestCase("deleted above", 1, 32)]
    [TestCase("limit", 0, 16)]
    public void Tables_wait_for_a_reader_and_are_freed_when_it_left(string by, int pageTables, int higherKilobytes = 0)
    {
        using TestSpace test = Make(options: new SpaceOptions { Limit = HighLimit });
        SlotRequest slot = by == "deleted above" ? Slot with { Id = 2, GuestAddress = 2 * TwoGigabytes } : Slot;
        test.Set(slot);
        _ = test.Read(slot.GuestAddress);
        if (by != "limit")
        {
            Assert.That(RangeCalls.Split(test.Space, slot.GuestAddress, Page, out _), Is.Zero);
        }
        long[] before = Live(test);
        using var reader = new Reader(test);
        using var change = new Background(() => Assert.That(Change(test, by, slot), Is.Zero));
        // A 2 GB region without a slot loses its table, too.
        ulong expected = ((ulong)pageTables * test.PageTableBytes) + ((ulong)higherKilobytes << 10);
        Assert.That(SpinWait.SpinUntil(() => test.Engine.LimboBytes == expected, 60_000), Is.True, $"limbo: {test.Engine.LimboBytes}");
        Assert.That(change.EndsSoon(), Is.False);
        Assert.That((test.Engine.LimboBytes, Live(test)), Is.EqualTo((expected, before)), "nothing is free yet");
        reader.Leave();
        change.Join();
        Assert.That(test.Engine.LimboBytes, Is.Zero);
        long freed = before[0] - Live(test)[0] + before[1] - Live(test)[1] + before[2] - Live(test)[2];
        Assert.That(freed, Is.EqualTo(pageTables + (higherKilobytes != 0 ? 1 : 0)));
        test.Check();
    }

    [TestCase("unmap")]
    [TestCase("collapse")]
    [TestCase("limit")]
    public void Tables_that_a_stuck_reader_held_come_free_with_the_next_grace(string by)
    {
        int kicks = 0;
        var options = new EngineOptions { ArenaBytes = 4 << 20, GraceTimeoutNanoseconds = 10 * Milliseconds, Kick = _ => kicks++ };
        using TestSpace test = Make(options, new SpaceOptions { Limit = HighLimit });
        _ = test.Read(0);
        Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
        using (var reader = new Reader(test))
        {
            Assert.That(Change(test, by, Slot), Is.EqualTo(Status.TimedOut));
            Assert.That((test.Engine.LimboBytes, kicks > 0), Is.EqualTo((by == "limit" ? 16384UL : test.PageTableBytes, true)));
            test.Check();
            reader.Leave();
        }
        _ = test.Read(3 * Segment); // anything else that ends with a grace
        Assert.That(RangeCalls.Unmap(test.Space, 3 * Segment, Segment, out _), Is.Zero);
        Assert.That(test.Engine.LimboBytes, Is.Zero);
        test.Check();
    }

    [Test]
    public void A_stuck_reader_costs_memory_up_to_the_arena_and_no_page_is_lost()
    {
        var options = new EngineOptions { ArenaBytes = 1 << 20, GraceTimeoutNanoseconds = Milliseconds };
        using TestSpace test = Make(options);
        int rounds = 0;
        using (var reader = new Reader(test))
        {
            int status = Status.Ok;
            for (; status == Status.Ok && rounds < 2000; rounds++)
            {
                status = test.Fault((ulong)(rounds % 1024) * Page, Access.Write, out _);
                Assert.That(status, Is.AnyOf(Status.Ok, Status.NoMemory));
                int unmap = RangeCalls.Unmap(test.Space, 0, 4 * Segment, out _);
                Assert.That(unmap, Is.EqualTo(Status.TimedOut), "unmapped all the same");
            }
            Assert.That(status, Is.EqualTo(Status.NoMemory), "a table each time: the arena ends sometime");
            ulong[] bitmap = new ulong[16];
            Assert.That(test.Harvest(1, 0, 1024, HarvestFlags.None, bitmap, out _), Is.EqualTo(Status.TimedOut));
            Assert.That(bitmap, Is.All.Zero, "nothing is delivered");
            test.Check();
            reader.Leave();
        }
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, rounds - 1)), "and nothing is lost");
        Assert.That(RangeCalls.Unmap(test.Space, 0, 4 * Segment, out _), Is.Zero);
        Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((0UL, 0L)));
        test.Write(0);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [Test]
    public void A_million_splits_unmaps_and_remaps_leave_the_arena_as_it_was() =>
        NativeHost.Check(
            "../../perf/reclaim/reclaim.c", Flavour.Plain, TimeSpan.FromMinutes(4), UsesPgstes ? ["300000", "pgste"] : ["1000000"]);

    private static int Change(TestSpace test, string by, SlotRequest slot) => by switch
    {
        "unmap" => RangeCalls.Unmap(test.Space, 0, Segment, out _),
        "discard" => RangeCalls.Discard(test.Space, 0, Segment, out _),
        "collapse" => RangeCalls.Collapse(test.Space, 0, Segment, out _),
        "logging off" => test.Space.Changes.Set(slot with { LogDirty = false }),
        "read-only" => test.Space.Changes.Set(slot with { ReadOnly = true }),
        "moved" => test.Space.Changes.Set(slot with { GuestAddress = 16 * Segment }),
        "limit" => test.Space.SetLimit(TwoGigabytes - 1),
        _ => test.Space.Changes.Set(new SlotRequest { Id = slot.Id }),
    };

    private static long[] Live(TestSpace test) =>
        [test.PageTables, test.Engine.Pool.Live(TableKind.Segment), test.Engine.Pool.Live(TableKind.Region)];
}
