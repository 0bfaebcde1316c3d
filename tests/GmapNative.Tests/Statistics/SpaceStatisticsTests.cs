using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using S = GmapNative.Exports.Abi.SpaceStats;

namespace GmapNative.Tests.Statistics;

/// <summary>Each counter of a space moves by exactly what a known run does, and no other counter moves with it.</summary>
[TestFixture]
public sealed unsafe class SpaceStatisticsTests
{
    private const ulong Start = 2 * Segment;

    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = Start,
        Size = 2 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    internal static IEnumerable<StatisticsCase> Cases =>
    [
        new("reads of one segment map a leaf, once", test => Reads(test, 0, 1, 300),
            (nameof(S.read_faults), 3), (nameof(S.segments_mapped), 2)),
        new("reads without leaves map pages", test => Reads(test, 0, 1, 1), (nameof(S.read_faults), 3), (nameof(S.pages_mapped), 2),
            (nameof(S.page_tables), 1), (nameof(S.table_bytes), 2 << 10)) { Huge = false },
        new("first write splits and grants", test => Writes(test, 7), (nameof(S.write_faults), 1), (nameof(S.splits), 1),
            (nameof(S.pages_granted), 1), (nameof(S.page_tables), 1), (nameof(S.table_bytes), 2 << 10)) { Before = test => Reads(test, 0) },
        new("second write of a page changes nothing", test => Writes(test, 7), (nameof(S.write_faults), 1))
            { Before = test => Writes(test, 7) },
        new("write of a clean page in a table grants it", test => Writes(test, 8, 9), (nameof(S.write_faults), 2),
            (nameof(S.pages_granted), 2)) { Before = test => Writes(test, 7) },
        new("inline grant is not counted", InlineWrite) { Before = test => Writes(test, 7) },
        new("policy never grants a leaf", test => Writes(test, 7, 8), (nameof(S.write_faults), 2), (nameof(S.segments_granted), 1))
            { Policy = SplitPolicy.Never, Before = test => Reads(test, 0) },
        new("policy never maps a written leaf dirty", test => Writes(test, 7), (nameof(S.write_faults), 1), (nameof(S.segments_mapped), 1))
            { Policy = SplitPolicy.Never },
        new("no slot, beyond the limit, read-only", Conditions, (nameof(S.guest_conditions), 4)) { Before = test => test.Set(Other) },
        new("populate counts a fault a leaf", test => RangeCalls.Populate(test.Space, Start, 3 * Segment, Access.Read, out _),
            (nameof(S.read_faults), 2), (nameof(S.segments_mapped), 2), (nameof(S.guest_conditions), 1)),
        new("translations count nothing", test => test.Translate(Start, Access.Write, out _)) { Before = test => Reads(test, 0) },
        new("unmapped leaf is 256 pages", test => Unmap(test, 0, 256), (nameof(S.pages_unmapped), 256), (nameof(S.grace_periods), 1))
            { Before = test => Reads(test, 0, 256) },
        new("partly unmapped leaf is split", test => Unmap(test, 5, 3), (nameof(S.pages_unmapped), 3), (nameof(S.splits), 1),
            (nameof(S.grace_periods), 1), (nameof(S.page_tables), 1), (nameof(S.table_bytes), 2 << 10)) { Before = test => Reads(test, 0) },
        new("unmapped table counts what was mapped", test => Unmap(test, 0, 256), (nameof(S.pages_unmapped), 2),
            (nameof(S.grace_periods), 1),
            (nameof(S.page_tables), -1), (nameof(S.table_bytes), -(2 << 10))) { Huge = false, Before = test => Reads(test, 3, 4) },
        new("harvest", test => test.Harvest(1), (nameof(S.harvests), 1), (nameof(S.pages_harvested), 3), (nameof(S.pages_taken), 3),
            (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 1, 2, 300) },
        new("empty harvest waits for nobody", test => test.Harvest(1), (nameof(S.harvests), 1)),
        new("harvest that is refused is none", test => test.Harvest(1, 0, 513, HarvestFlags.None, new ulong[9], out _)),
        new("harvest without arming takes nothing", test => test.Harvest(1, HarvestFlags.NoRearm), (nameof(S.harvests), 1),
            (nameof(S.pages_harvested), 2), (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 1, 2) },
        new("part of a leaf takes all of it", test => test.Harvest(1, 0, 4, HarvestFlags.None, new ulong[1], out _),
            (nameof(S.harvests), 1), (nameof(S.pages_harvested), 4), (nameof(S.pages_taken), 256), (nameof(S.grace_periods), 1))
            { Policy = SplitPolicy.Never, Before = test => Writes(test, 7) },
        new("rest of a leaf that was taken", test => test.Harvest(1), (nameof(S.harvests), 1), (nameof(S.pages_harvested), 252),
            (nameof(S.grace_periods), 1)) { Policy = SplitPolicy.Never, Before = TakePart },
        new("clear takes and delivers nothing", test => test.Clear(1, 0, 512, [6, 0, 0, 0, 0, 0, 0, 0]), (nameof(S.harvests), 1),
            (nameof(S.pages_taken), 2), (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 0, 1, 2, 3) },
        new("get counts nothing", test => test.Get(1, 0, 512, null, out _)) { Before = test => Writes(test, 1, 2) },
        new("marks count bits that are new", Marks, (nameof(S.pages_marked), 8)),
        new("harvest of marks takes no entries", test => test.Harvest(1), (nameof(S.harvests), 1), (nameof(S.pages_harvested), 8),
            (nameof(S.grace_periods), 1)) { Before = Marks },
        new("logging off hands out the last bits", test => test.SetWithFinal(s_slot with { LogDirty = false }),
            (nameof(S.grace_periods), 1), (nameof(S.collapses), 1), (nameof(S.page_tables), -1), (nameof(S.table_bytes), -(2 << 10)))
            { Before = test => Writes(test, 1, 2) },
        new("logging off drops the last bits", test => test.Set(s_slot with { LogDirty = false }), (nameof(S.grace_periods), 1),
            (nameof(S.collapses), 1), (nameof(S.page_tables), -1), (nameof(S.table_bytes), -(2 << 10)))
            { Before = test => Writes(test, 1, 2) },
        new("logging off without leaves collapses nothing", test => test.Set(s_slot with { LogDirty = false }),
            (nameof(S.grace_periods), 1)) { Huge = false, Before = test => Writes(test, 1, 2) },
        new("split", test => Assert.That(RangeCalls.Split(test.Space, Start, 4 * Segment, out _), Is.Zero), (nameof(S.splits), 2),
            (nameof(S.page_tables), 2), (nameof(S.table_bytes), 2 * (2 << 10))) { Before = test => Reads(test, 0, 256) },
        new("collapse of a clean table", Collapse, (nameof(S.collapses), 1), (nameof(S.page_tables), -1),
            (nameof(S.table_bytes), -(2 << 10)), (nameof(S.grace_periods), 1)) { Before = SplitOne },
        new("a table that is partly dirty stays", Collapse) { Before = test => Writes(test, 7) },
        new("discard of what is dirty", test => Assert.That(RangeCalls.Discard(test.Space, Start, Segment, out _), Is.Zero),
            (nameof(S.pages_discarded), 2), (nameof(S.pages_unmapped), 256), (nameof(S.page_tables), -1),
            (nameof(S.table_bytes), -(2 << 10)), (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 3, 4) },
        new("age counts what is young, once", Age, (nameof(S.pages_aged), 257)) { Before = test => Writes(test, 3, 256) },
        new("logging on arms, and history is not taken", test => test.Set(s_slot), (nameof(S.armings), 1), (nameof(S.grace_periods), 1))
            { Before = WriteUntracked },
        new("same slot again changes nothing", test => test.Set(s_slot)),
        new("made, with logging", test => test.Set(Other with { ReadOnly = false, LogDirty = true }), (nameof(S.armings), 1)),
        new("made, without logging", test => test.Set(Other)),
        new("higher limit puts a region table on top", test => Assert.That(test.Space.SetLimit((8 * TwoGigabytes) - 1), Is.Zero),
            (nameof(S.region_tables), 1), (nameof(S.grace_periods), 1), (nameof(S.table_bytes), 16 << 10)),
        new("segment table of another region", test => test.Read(3 * TwoGigabytes), (nameof(S.read_faults), 1), (nameof(S.pages_mapped), 1),
            (nameof(S.segment_tables), 1), (nameof(S.page_tables), 1), (nameof(S.table_bytes), (32 << 10) + (2 << 10)))
            { Before = HighSlot },
        new("consumer that opens takes for the others", test => Consume(test), (nameof(S.consumers), 1), (nameof(S.pages_taken), 2),
            (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 1, 2) },
        new("consumer that wants everything waits for nobody", test => Consume(test, ConsumerKind.InitiallyDirty), (nameof(S.consumers), 1))
            { Before = test => Writes(test, 1, 2) },
        new("epoch", test => Begin(test), (nameof(S.epochs), 1), (nameof(S.pages_harvested), 3), (nameof(S.pages_taken), 3),
            (nameof(S.grace_periods), 1)) { Before = test => ConsumeAnd(test, () => Writes(test, 1, 2, 300)) },
        new("epoch without arming takes nothing", test => Begin(test, rearm: false), (nameof(S.epochs), 1), (nameof(S.pages_harvested), 2),
            (nameof(S.grace_periods), 1)) { Before = test => ConsumeAnd(test, () => Writes(test, 1, 2)) },
        new("empty epoch waits for nobody", test => Begin(test), (nameof(S.epochs), 1)) { Before = test => ConsumeAnd(test, () => { }) },
        new("epoch of what others took", test => Begin(test), (nameof(S.epochs), 1), (nameof(S.pages_harvested), 1),
            (nameof(S.grace_periods), 1))
            {
                Before = test => ConsumeAnd(test, () =>
                {
                    Writes(test, 5);
                    _ = test.Harvest(1);
                }),
            },
        new("closed consumer", test => Assert.That(s_consumer!.Close(), Is.Zero), (nameof(S.consumers), -1))
            { Before = test => Consume(test) },
        new("logging off takes the last pages for consumers", test => test.Set(s_slot with { LogDirty = false }),
            (nameof(S.grace_periods), 1), (nameof(S.collapses), 1), (nameof(S.page_tables), -1), (nameof(S.table_bytes), -(2 << 10)))
            { Before = test => ConsumeAnd(test, () => Writes(test, 1, 2)) },
        new("harvest of runs", HarvestRuns, (nameof(S.harvests), 2), (nameof(S.pages_harvested), 3), (nameof(S.pages_taken), 3),
            (nameof(S.grace_periods), 2)) { Before = test => Writes(test, 1, 2, 300) },
        new("notifier", Listen, (nameof(S.notifiers), 1)),
        new("ended notifier", _ => Assert.That(s_notifier!.Unregister(), Is.Zero), (nameof(S.notifiers), -1)) { Before = Listen },
        new("armed pages", test => Arm(test), (nameof(S.pages_protected), 5)) { Before = test => Writes(test, 3) },
        new("restricted pages", test => Assert.That(test.Protect(Start, 2 * Segment, Protection.Read), Is.Zero),
            (nameof(S.pages_protected), 512), (nameof(S.grace_periods), 1)) { Before = test => Writes(test, 3) },
        new("harvest of an armed page", test => test.Harvest(1), (nameof(S.notifications), 1), (nameof(S.harvests), 1),
            (nameof(S.pages_harvested), 1), (nameof(S.pages_taken), 1), (nameof(S.grace_periods), 1)) { Before = ListenAndArm },
        new("refused by a restriction", test => Assert.That(test.Fault(Start, Access.Write, out _), Is.EqualTo(Status.Protection)),
            (nameof(S.guest_conditions), 1)) { Before = test => Assert.That(test.Protect(Start, Segment, Protection.Read), Is.Zero) },
        new("view", test => test.OpenView(), (nameof(S.vcpus), 1)),
        new("closed view", test => test.CloseView(test.View), (nameof(S.vcpus), -1)),
    ];

    private static Consumer? s_consumer; // of the case that runs
    private static Notifier? s_notifier; // likewise

    private static SlotRequest Other => s_slot with { Id = 2, GuestAddress = 8 * Segment, ReadOnly = true, LogDirty = false };

    [TestCaseSource(nameof(Cases))]
    public void Counters_move_by_what_was_done(object given)
    {
        var known = (StatisticsCase)given;
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, Policy = known.Policy, Huge = known.Huge });
        test.Set(s_slot);
        s_consumer = null;
        s_notifier = null;
        known.Before(test);
        S before = Figures.Of(test.Space);
        known.Run(test);
        Assert.That(Figures.Moved(before, Figures.Of(test.Space)), Is.EquivalentTo(known.Moves));
        _ = s_consumer?.Close();
        _ = s_notifier?.Unregister();
    }

    private static void Listen(TestSpace test) =>
        Assert.That(Notifier.TryRegister(test.Space, NotifyFlags.None, (_, _, _) => { }, out s_notifier), Is.Zero);

    private static void Arm(TestSpace test) =>
        Assert.That(test.Protect(Start, 5 * Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);

    private static void ListenAndArm(TestSpace test)
    {
        Listen(test);
        Writes(test, 3);
        Arm(test);
    }

    private static void Consume(TestSpace test, ConsumerKind kind = ConsumerKind.Plain) =>
        Assert.That(Consumer.TryOpen(test.Space, Consumer.AllSlots, kind, out s_consumer), Is.Zero);

    private static void ConsumeAnd(TestSpace test, System.Action then)
    {
        Consume(test);
        then();
    }

    private static void Begin(TestSpace test, bool rearm = true)
    {
        ulong epochs = Figures.Of(test.Space).epochs;
        Assert.That(s_consumer!.Begin(rearm, out ConsumerEpoch epoch), Is.Zero);
        Assert.That(epoch.Number, Is.EqualTo(epochs + 1));
    }

    /// <summary>With room for one run: two calls.</summary>
    private static void HarvestRuns(TestSpace test)
    {
        DirtyRun run = default; // on this frame
        for (ulong at = 0; at < 512;)
        {
            var runs = new DirtyRuns(&run, 1);
            Assert.That(Harvester.HarvestRuns(test.Space, 1, at, 512 - at, HarvestFlags.None, ref runs, out at), Is.Zero);
        }
    }

    private static void Reads(TestSpace test, params ulong[] pages)
    {
        foreach (ulong page in pages)
        {
            test.Read(Start + (page * Page));
        }
    }

    private static void Writes(TestSpace test, params ulong[] pages)
    {
        foreach (ulong page in pages)
        {
            test.Write(Start + (page * Page));
        }
    }

    private static void SplitOne(TestSpace test)
    {
        Reads(test, 0);
        Assert.That(RangeCalls.Split(test.Space, Start, Page, out _), Is.Zero);
    }

    private static void Collapse(TestSpace test) =>
        Assert.That(RangeCalls.Collapse(test.Space, Start, 2 * Segment, out _), Is.Zero);

    /// <summary>A page of one segment, then all of both, in which that page is aged already.</summary>
    private static void Age(TestSpace test)
    {
        Assert.That(RangeCalls.Age(test.Space, Start + (3 * Page), Page, out ulong young), Is.Zero);
        Assert.That(young, Is.EqualTo(1));
        Assert.That(RangeCalls.Age(test.Space, Start, Segment + Page, out young), Is.Zero);
        Assert.That(young, Is.EqualTo(256));
    }

    private static void Unmap(TestSpace test, ulong page, ulong count) =>
        Assert.That(RangeCalls.Unmap(test.Space, Start + (page * Page), count * Page, out _), Is.Zero);

    private static void InlineWrite(TestSpace test)
    {
        var writer = new InlineWriter(test.View);
        writer.Enter();
        Assert.That(writer.Store(Start + (9 * Page), out _), Is.Zero);
        writer.Leave();
    }

    private static void Conditions(TestSpace test)
    {
        Assert.That(test.Fault(0, Access.Read, out _), Is.EqualTo(Status.Addressing));
        Assert.That(test.Fault(0, Access.Write, out _), Is.EqualTo(Status.Addressing));
        Assert.That(test.Fault(TwoGigabytes, Access.Read, out _), Is.EqualTo(Status.AsceType));
        Assert.That(test.Fault(8 * Segment, Access.Write, out _), Is.EqualTo(Status.Protection));
    }

    private static void TakePart(TestSpace test)
    {
        Writes(test, 7);
        Assert.That(test.Harvest(1, 0, 4, HarvestFlags.None, new ulong[1], out ulong dirty), Is.Zero);
        Assert.That(dirty, Is.EqualTo(4));
    }

    /// <summary>Pages 0 to 2, again 2 to 4; 10 by a host write; 20 twice by a batch; 30 by a bitmap that has 4 too.</summary>
    private static void Marks(TestSpace test)
    {
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Start, 3 * Page)), Is.Zero);
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Start + (2 * Page), 3 * Page)), Is.Zero);
        Assert.That(test.HostWrite(Start + (10 * Page), 1), Is.Zero);
        _ = test.Call(() =>
        {
            ulong* batch = stackalloc ulong[] { Start + (20 * Page), Start + (20 * Page) + 8, 0 };
            test.Space.Host.MarkBatch(batch, 3);
            ulong bits = (1UL << 30) | (1UL << 4);
            return test.Space.Host.MarkBitmap(1, 0, 64, &bits);
        });
    }

    private static void WriteUntracked(TestSpace test)
    {
        test.Set(s_slot with { LogDirty = false });
        Writes(test, 1, 2);
    }

    private static void HighSlot(TestSpace test)
    {
        Assert.That(test.Space.SetLimit((8 * TwoGigabytes) - 1), Is.Zero);
        test.Set(Other with { GuestAddress = 3 * TwoGigabytes, Size = 4 * Page });
    }
}
