using System.Linq;
using System.Threading;
using GmapNative.Backing;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>
/// Scenarios 28 and 49 to 55: callbacks, slots and limits while walks and faults run. The numbers are those of tests/README.md.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class ConfigurationScenarios(bool pgstes) : ScenarioFixture(pgstes)
{
    [Test]
    [Property("Scenario", 28)]
    [Property("Scenario", 55)]
    public void S28_ALogCallbackMayCallTheEngineFromAnyThread()
    {
        TestSpace? made = null;
        int messages = 0;
        int own = -1;
        int other = -1;
        var options = new EngineOptions
        {
            ArenaBytes = 4 << 20,
            Log = (_, _) =>
            {
                messages++;
                own = made!.Space.Changes.Set(Slot with { Id = 3, GuestAddress = 8 * Segment });
                using var helper = new Background(() => other = made.Space.Changes.Set(Slot with { Id = 4, GuestAddress = 16 * Segment }));
                helper.Join();
            },
        };
        using TestSpace test = Make(options);
        made = test;
        test.Set(Slot with { Id = 2, GuestAddress = 32 * Segment, HostAddress = 0x6000_0000_0000 }); // where nothing is mapped
        int status = BackingCalls.Attach(test.Space, 2, BackingRequest.Asynchronous, out _);
        Assert.That(status, Is.Not.Zero);
        Assert.That((messages, own, other), Is.EqualTo((1, Status.Ok, Status.Ok)), "no lock was held when it was told");
    }

    [Test]
    [Property("Scenario", 49)]
    public void S49_APageThatComesBackWithAnotherFrameBeginsClean()
    {
        using TestSpace test = Make();
        test.Write(3 * Page);
        int[] last = test.SetWithFinal(Slot with { HostAddress = Memory.Start + (4 * Segment) });
        Assert.That(last, Is.EqualTo(new[] { 3 }));
        Assert.That(test.Read(3 * Page).HostAddress, Is.EqualTo(Memory.Start + (4 * Segment) + (3 * Page)));
        Assert.That(test.Harvest(1), Is.Empty, "what was known of the old frame is not said of the new one");
        Assert.That(test.Call(() => test.Space.Host.MarkRange(9 * Page, 1)), Is.Zero);
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        _ = test.Read(9 * Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 9 }), "marked while nothing was mapped there, and mapped afterwards");
        test.Check();
    }

    [Test]
    [Property("Scenario", 49)]
    public void S49_ALeafThatIsInvalidSplitsLikeAnother()
    {
        using TestSpace test = Make();
        test.Read(0);
        Assert.That(RangeCalls.Age(test.Space, 0, Segment, out ulong young), Is.Zero);
        Assert.That((young, Cell(test, 0).Load().IsAged), Is.EqualTo((256UL, true)));
        Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
        Assert.That(Range(0, 256).Select(page => Table(test, 0).Load(page).IsAged), Is.All.True, "aged like their leaf, and still mapped");
        Assert.That(test.Write(7 * Page).HostAddress, Is.EqualTo(Memory.Start + (7 * Page)));
        Assert.That(Range(0, 256).Count(page => Table(test, 0).Load(page).IsAged), Is.EqualTo(255));
        Assert.That(test.Counters.PagesMapped, Is.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }));
        test.Check();
    }

    [Test]
    [Property("Scenario", 50)]
    public void S50_TheCountOfDirtyPagesIsThatOfTheBitsWhileTheSlotComesAndGoes()
    {
        using TestSpace test = Make();
        bool stop = false;
        using var marker = new Background(() =>
        {
            for (ulong page = 0; !Volatile.Read(ref stop); page = (page + 7) % 1024)
            {
                int status = test.Call(() => test.Space.Host.MarkRange(page * Page, Page));
                Assert.That(status, Is.AnyOf(Status.Ok, Status.Fault));
            }
        });
        for (int round = 0; round < 100; round++)
        {
            Assert.That(SpinWait.SpinUntil(() => test.Harvest(1).Length != 0, 60_000), Is.True); // and compares count and bits each time
            _ = test.SetWithFinal(new SlotRequest { Id = 1 });
            Assert.That((ulong)test.Engine.Arena.Charged, Is.Zero, "its logs are gone");
            test.Set(Slot);
        }
        Volatile.Write(ref stop, true);
        marker.Join();
        test.Check();
    }

    [Test]
    [Property("Scenario", 51)]
    public unsafe void S51_TheOldTopTableStaysAsLongAsAWalkerIsInIt()
    {
        using TestSpace test = Make(options: new SpaceOptions { Limit = (8 * TwoGigabytes) - 1 });
        test.Write(0);
        ulong top = test.Space.Tree.Asce.Origin;
        ulong entry = *(ulong*)top; // a region-third table, in use
        using var walker = new Reader(test);
        using var shrink = new Background(() => Assert.That(test.Space.SetLimit(TwoGigabytes - 1), Is.Zero));
        Assert.That(SpinWait.SpinUntil(() => test.Space.Tree.Asce.Origin != top, 60_000), Is.True);
        Assert.That(shrink.EndsSoon(), Is.False);
        Assert.That((test.Engine.Pool.Live(TableKind.Region), test.Engine.LimboBytes), Is.EqualTo((1L, 16384UL)));
        Assert.That(*(ulong*)top, Is.EqualTo(entry), "the walker reads on in it");
        walker.Leave();
        shrink.Join();
        Assert.That((test.Engine.Pool.Live(TableKind.Region), test.Engine.LimboBytes), Is.EqualTo((0L, 0UL)));
        Assert.That(*(ulong*)top, Is.Not.EqualTo(entry), "freed, and poisoned here");
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [Test]
    [Property("Scenario", 51)]
    public void S51_TheLimitGrowsAndShrinksUnderLoad()
    {
        using TestSpace test = Make();
        bool stop = false;
        long stores = 0;
        Background[] vcpus = [.. new ulong[] { 1, 300 }.Select(page => new Background(() =>
        {
            View view = test.OpenView();
            for (ulong value = 1; !Volatile.Read(ref stop); value++)
            {
                Store(test, view, page * Page, value);
                Assert.That(ValueAt(page * Page), Is.EqualTo(value));
                Interlocked.Increment(ref stores);
            }
            test.CloseView(view);
        }))];
        for (int round = 0; round < 200 || Interlocked.Read(ref stores) < 1000; round++)
        {
            Assert.That(test.Space.SetLimit(round % 2 == 0 ? (6 * TwoGigabytes) - 1 : TwoGigabytes - 1), Is.Zero);
            Assert.That(vcpus.Any(vcpu => vcpu.IsDone), Is.False);
            if (round % 8 == 0)
            {
                _ = test.Harvest(1);
            }
        }
        Volatile.Write(ref stop, true);
        foreach (Background vcpu in vcpus)
        {
            vcpu.Join();
        }
        Assert.That(test.Engine.LimboBytes, Is.Zero);
        test.Check();
    }

    [TestCase("deleted", Step.None)]
    [TestCase("moved", Step.None)]
    [TestCase("deleted", Step.WalkBeforeCallsEnded, Description = "and this test sees it if one does")]
    [Property("Scenario", 52)]
    public void S52_NoEntryOfAFaultInFlightOutlivesItsSlot(string what, object leftOut)
    {
        TestSpace test = Make();
        Probe.LeftOut = (Step)leftOut;
        try
        {
            _ = test.Translate(0, Access.Read, out _);
            using var fault = new HeldThread(Place.EntryLoaded, () => FaultOnce(test, 0, Access.Read)); // it knows its slot
            using var change = new Background(() =>
                test.Set(what == "deleted" ? new SlotRequest { Id = 1 } : Slot with { GuestAddress = 64 * Segment }));
            Assert.That(SpinWait.SpinUntil(() => test.Space.Map.Find(0) is null, 60_000), Is.True);
            Assert.That(change.EndsSoon(), Is.False);
            fault.GoOn();
            change.Join();
        }
        finally
        {
            Probe.LeftOut = Step.None;
        }
        Assert.That(Cell(test, 0).Load().IsLeaf, Is.EqualTo((Step)leftOut != Step.None), "what the fault mapped");
        if ((Step)leftOut == Step.None)
        {
            Assert.That(test.Fault(0, Access.Read, out _), Is.EqualTo(Status.Addressing));
        }
        string? wrong = test.Close();
        Assert.That(wrong is null, Is.EqualTo((Step)leftOut == Step.None), wrong);
    }

    [Test]
    [Property("Scenario", 53)]
    public void S53_ALimitThatCannotBeSetTakesNothing()
    {
        using TestSpace test = Make();
        test.Write(0);
        long[] before = Live(test);
        for (int n = 0; n < 2; n++)
        {
            test.Engine.Arena.FailAfter = 0;
            Assert.That(test.Space.SetLimit((8 * TwoGigabytes) - 1), Is.EqualTo(Status.NoMemory));
            Assert.That((Live(test), test.Space.Limit), Is.EqualTo((before, TwoGigabytes - 1)));
        }
        Assert.That(test.Space.SetLimit((8 * TwoGigabytes) - 1), Is.Zero);
        Assert.That(test.Space.SetLimit(TwoGigabytes - 1), Is.Zero);
        Assert.That(Live(test), Is.EqualTo(before));
    }

    [Test]
    [Property("Scenario", 54)]
    public void S54_ALongUnmapThatIsStoppedHalfwayIsConsistentAndGoesOn()
    {
        const ulong Segments = Limbo.Capacity + 20;
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 },
            new EngineOptions { ArenaBytes = 16 << 20, GraceTimeoutNanoseconds = 10 * Milliseconds });
        test.Set(Slot with { Size = Segments * Segment, HostAddress = 0x6000_0000_0000 }); // never touched
        for (ulong i = 0; i < Segments; i++)
        {
            test.Write(i * Segment);
        }
        ulong next;
        using (var reader = new Reader(test))
        {
            Assert.That(RangeCalls.Unmap(test.Space, 0, Segments * Segment, out next), Is.EqualTo(Status.TimedOut));
            Assert.That(next, Is.EqualTo(Limbo.Capacity * Segment), "as many tables as may wait");
            Assert.That((test.Engine.LimboBytes, test.Violation()), Is.EqualTo((Limbo.Capacity * test.PageTableBytes, (string?)null)));
            reader.Leave();
        }
        Assert.That(RangeCalls.Unmap(test.Space, next, (Segments * Segment) - next, out _), Is.Zero);
        Assert.That((test.Engine.LimboBytes, test.PageTables), Is.EqualTo((0UL, 0L)));
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, (int)Segments).Select(i => i * 256)));
        test.Check();
    }

    [Test]
    [Property("Scenario", 55)]
    public void S55_WhileKickIsCalledUnderALockVcpusAndDevicesGoOn()
    {
        TestSpace? made = null;
        Reader? stuck = null;
        int[] answers = [];
        var options = new EngineOptions
        {
            ArenaBytes = 4 << 20,
            Kick = _ =>
            {
                if (answers.Length != 0)
                {
                    return; // called again before the reader was gone
                }
                answers = [-1];
                using var others = new Background(() => answers =
                [
                    made!.Call(() => made.Space.Host.MarkRange(9 * Page, 1)),
                    FaultOnce(made, 2 * Segment, Access.Write).Done.HasFlag(FaultDone.Granted) ? 0 : -1,
                    made.Get(1, 0, 1024, null, out _),
                ]);
                others.Join();
                stuck!.Leave();
            },
        };
        using TestSpace test = Make(options);
        made = test;
        using var reader = new Reader(test);
        stuck = reader;
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero); // holds the configuration lock, waits for the reader
        Assert.That(answers, Is.EqualTo(new[] { 0, 0, 0 }));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 9, 512 }));
    }

    private static long[] Live(TestSpace test) =>
        [test.PageTables, test.Engine.Pool.Live(TableKind.Segment), test.Engine.Pool.Live(TableKind.Region)];
}
