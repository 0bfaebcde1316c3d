using System;
using System.Linq;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>Scenarios 13 to 18, 20, 22, 23 and 25: no store is lost and none invented. The numbers are those of tests/README.md.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class DirtyScenarios(bool pgstes) : ScenarioFixture(pgstes)
{
    [Test]
    [Property("Scenario", 13)]
    public void S13_AStoreIntoAPageThatIsBeingUnmappedIsReported()
    {
        using TestSpace test = Make();
        test.Write(0);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
        const int Fourth = 4; // page 3, clean when the unmapper looked at it
        void Unmap() => Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        using (var unmap = new HeldThread(Place.Poured, Unmap, Fourth))
        {
            Store(test, test.View, 3 * Page, 13);
            unmap.GoOn();
        }
        Assert.That(Cell(test, 0).Load().IsEmpty, Is.True);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Assert.That(test.Harvest(1), Is.Empty);
        test.Check();
    }

    [Test]
    [Property("Scenario", 14)]
    public void S14_AgingKeepsWhatWasWritten()
    {
        using TestSpace test = Make();
        test.Write(3 * Page);
        Assert.That(RangeCalls.Age(test.Space, 0, Segment, out ulong young), Is.Zero);
        Assert.That(young, Is.EqualTo(256));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Store(test, test.View, 3 * Page, 14);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }), "armed and aged, and written again");
        test.Check();
    }

    [Test]
    [Property("Scenario", 14)]
    public void S14_AgingBetweenAGrantAndItsSummaryBitLosesNothing()
    {
        using TestSpace test = Make();
        test.Write(0);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
        using (var write = new HeldThread(Place.EntryGrants, () => FaultOnce(test, 3 * Page, Access.Write)))
        {
            Assert.That(RangeCalls.Age(test.Space, 0, Segment, out _), Is.Zero);
            write.GoOn();
        }
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        test.Check();
    }

    [Test]
    [Property("Scenario", 15)]
    public void S15_AgingNeverUndoesAConcurrentWrite()
    {
        const int Rounds = 100;
        using TestSpace test = Make();
        bool stop = false;
        long ages = 0;
        using var ager = new Background(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                _ = RangeCalls.Age(test.Space, 0, Segment, out _);
                ages++;
            }
        });
        int right = 0;
        for (int round = 0; round < Rounds; round++)
        {
            for (ulong page = 0; page < 256; page++)
            {
                Store(test, test.View, page * Page, (ulong)round);
            }
            right += test.Harvest(1).Length == 256 ? 1 : 0;
        }
        Volatile.Write(ref stop, true);
        ager.Join();
        Assert.That((right, test.Harvest(1).Length), Is.EqualTo((Rounds, 0)), $"beside {ages} agings");
        Assert.That(test.Counters.PagesAged, Is.GreaterThan(256));
        test.Check();
    }

    [TestCase(Place.LogCopied)]
    [TestCase(Place.BlockForgotten)]
    [Property("Scenario", 16)]
    public void S16_AMarkBesideAWordThatIsBeingMovedIsNotLost(object place)
    {
        using TestSpace test = Make();
        Assert.That(test.Call(() => test.Space.Host.MarkRange(5 * Page, 1)), Is.Zero);
        int[] first = [];
        using (var harvest = new HeldThread((Place)place, () => first = test.Harvest(1)))
        {
            Assert.That(test.Call(() => test.Space.Host.MarkRange(5 * Page, 2 * Page)), Is.Zero);
            harvest.GoOn();
        }
        int[] second = test.Harvest(1);
        Assert.That(first, Has.Member(5), "what is marked before the return is in the copy that is made after it");
        Assert.That(first.Concat(second).Distinct(), Is.EquivalentTo(new[] { 5, 6 }));
        Assert.That(test.Harvest(1), Is.Empty);
    }

    [TestCase(Place.SummaryCleared)]
    [TestCase(Place.EntriesRead)]
    [TestCase(Place.Poured)]
    [TestCase(Place.EntryArmed)]
    [TestCase(Place.Collected)]
    [TestCase(Place.BarrierDone)]
    [Property("Scenario", 17)]
    public void S17_AStoreAtAnyMomentOfAHarvestIsInThisOneOrTheNext(object place)
    {
        using TestSpace test = Make();
        Store(test, test.View, 3 * Page, 1);
        int[] first = [];
        using (var harvest = new HeldThread((Place)place, () => first = test.Harvest(1)))
        {
            Store(test, test.View, 3 * Page, 17);
            Store(test, test.View, 4 * Page, 17); // the same line of entries
            harvest.GoOn();
        }
        int[] second = test.Harvest(1);
        Assert.That(first, Has.Member(3));
        Assert.That(first.Concat(second).Distinct(), Is.EquivalentTo(new[] { 3, 4 }));
        bool late = (Place)place is Place.EntryArmed or Place.Collected or Place.BarrierDone;
        Assert.That(second.Contains(3), Is.EqualTo(late), "what was taken already is marked anew");
        Assert.That(test.Harvest(1), Is.Empty);
        test.Check();
    }

    [TestCase(Step.None)]
    [TestCase(Step.NoGrace, Description = "and this test sees it if it does not")]
    [Property("Scenario", 18)]
    public unsafe void S18_AStoreByARightFromBeforeIsInTheCopy(object leftOut)
    {
        using TestSpace test = Make();
        Store(test, test.View, 3 * Page, 1);
        nint host = 0;
        using var writer = new Reader(
            test,
            view => Assert.That(new InlineWriter(view).Store(3 * Page, out host), Is.Zero),
            () => Volatile.Write(ref *(ulong*)host, 18)); // guest memory; the section that the pointer is of is open
        ulong copy = 0;
        Probe.LeftOut = (Step)leftOut;
        try
        {
            using var harvest = new Background(() =>
            {
                Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
                copy = ValueAt(3 * Page);
            });
            bool early = (Step)leftOut == Step.None ? harvest.EndsSoon() : SpinWait.SpinUntil(() => harvest.IsDone, 60_000);
            Assert.That(early, Is.EqualTo((Step)leftOut == Step.NoGrace), "it waits for those who may still store by the old right");
            writer.Leave();
            harvest.Join();
        }
        finally
        {
            Probe.LeftOut = Step.None;
        }
        Assert.That(copy, Is.EqualTo((Step)leftOut == Step.None ? 18 : 1));
    }

    [Test]
    [Property("Scenario", 20)]
    public void S20_WritesOfTheHostAreMarkedWhereTheGuestHasThem()
    {
        using TestSpace test = Make();
        var elsewhere = new SlotRequest
        {
            Id = 2,
            GuestAddress = 64 * Segment,
            Size = Segment,
            HostAddress = Memory.Start + (5 * Page), // another place in the host, and shared with slot 1
            LogDirty = true,
        };
        test.Set(elsewhere);
        Assert.That(test.HostWrite((64 * Segment) + (9 * Page), 20), Is.Zero);
        Assert.That(test.Call(() => test.Space.Host.MarkRange((64 * Segment) + (11 * Page), 1)), Is.Zero);
        Assert.That(ValueAt(14 * Page), Is.EqualTo(20));
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 9, 11 }));
        Assert.That(test.Harvest(1), Is.Empty, "the same memory by another guest address");
    }

    [Test]
    [Property("Scenario", 22)]
    public void S22_FramesAreNeverLookedAt()
    {
        using TestSpace test = Make();
        const ulong Nowhere = 0x6000_0000_0000; // nothing is mapped in the host there: a touch would end the process
        test.Set(Slot with { Id = 2, GuestAddress = 16 * Segment, HostAddress = Nowhere });
        FaultOutcome write = test.Write((16 * Segment) + (7 * Page));
        Assert.That(write.HostAddress, Is.EqualTo(Nowhere + (7 * Page)));
        Assert.That(RangeCalls.Age(test.Space, 16 * Segment, Segment, out _), Is.Zero);
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 7 }));
        _ = test.Read((16 * Segment) + (7 * Page));
        Assert.That(RangeCalls.Collapse(test.Space, 16 * Segment, Segment, out ulong collapsed), Is.Zero);
        Assert.That(collapsed, Is.EqualTo(1));
        Assert.That(RangeCalls.Split(test.Space, 16 * Segment, Segment, out _), Is.Zero);
        Assert.That(RangeCalls.Populate(test.Space, 16 * Segment, Segment, Access.Write, out _), Is.Zero);
        Assert.That(test.Translate(16 * Segment, Access.Write, out _), Is.Zero);
        Assert.That(test.Get(2, 0, 1024, null, out ulong dirty), Is.Zero);
        Assert.That(dirty, Is.EqualTo(256));
        ulong[] clear = new ulong[16];
        clear[0] = 1;
        Assert.That(test.Clear(2, 0, 1024, clear), Is.Zero);
        Assert.That(RangeCalls.Discard(test.Space, (16 * Segment) + Page, Page, out _), Is.Zero);
        Assert.That(test.Harvest(2, HarvestFlags.NoRearm), Is.EqualTo(Range(2, 254)));
        Assert.That(test.Call(() => test.Space.Host.MarkRange(17 * Segment, 1)), Is.Zero);
        Assert.That(RangeCalls.Unmap(test.Space, 16 * Segment, Segment, out _), Is.Zero);
        Assert.That(test.SetWithFinal(Slot with { Id = 2, LogDirty = false, GuestAddress = 16 * Segment, HostAddress = Nowhere }),
            Is.EqualTo(Range(2, 255)));
    }

    [TestCase(Step.None)]
    [TestCase(Step.ReuseBeforeGrace, Description = "and this test sees it if it is")]
    [Property("Scenario", 23)]
    public void S23_ATableUnderAReaderIsNotUsedAgain(object leftOut)
    {
        using TestSpace test = Make();
        test.Write(0);
        ulong table = Table(test, 0).Origin;
        using var loaded = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        int steps = 0;
        int answer = -1;
        using var writer = new Background(() =>
        {
            View view = test.OpenView();
            var inline = new InlineWriter(view, () =>
            {
                if (++steps == 2) // it entered, and it loaded the entry of a clean page that it is about to grant
                {
                    loaded.Set();
                    goOn.Wait();
                }
            });
            inline.Enter();
            answer = inline.Store(7 * Page, out _);
            inline.Leave();
            test.CloseView(view);
        });
        loaded.Wait();
        Probe.LeftOut = (Step)leftOut;
        using var unmap = new Background(() => Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero));
        try
        {
            Assert.That(SpinWait.SpinUntil(() => Cell(test, 0).Load().IsEmpty, 60_000), Is.True);
            bool early = (Step)leftOut != Step.None;
            Assert.That(SpinWait.SpinUntil(() => test.PageTables == 0, early ? 60_000 : 30), Is.EqualTo(early));
            ulong[] others = [.. Enumerable.Range(1, 3).Select(i =>
            {
                test.Write((ulong)i * Segment);
                return Table(test, (ulong)i * Segment).Origin;
            })];
            Assert.That(others.Contains(table), Is.EqualTo(early), "whether the writer would grant a page of another segment");
        }
        finally
        {
            goOn.Set();
            writer.Join();
            unmap.Join();
            Probe.LeftOut = Step.None;
        }
        if ((Step)leftOut == Step.None)
        {
            Assert.That(answer, Is.EqualTo(InlineWriter.Ask), "its compare-and-swap met an empty entry");
            Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 256, 512, 768 }));
            test.Check();
        }
    }

    [Test]
    [Property("Scenario", 25)]
    public void S25_GetDuringAClearStillShowsWhatIsBeingCleared()
    {
        using TestSpace test = Make();
        test.Set(Slot with { Size = 100 * Page }); // the last word is a part
        foreach (ulong page in new ulong[] { 1, 70, 99 })
        {
            test.Write(page * Page);
        }
        using (var clear = new HeldThread(Place.Collected, () => Assert.That(test.Clear(1, 64, 36, [1UL << 6]), Is.Zero)))
        {
            Assert.That(GetAll(test), Is.EqualTo(new[] { 1, 70, 99 }), "not clean before the grace is over");
            clear.GoOn();
        }
        Assert.That(GetAll(test), Is.EqualTo(new[] { 1, 99 }));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 1, 99 }));
    }

    [Test]
    [Property("Scenario", 25)]
    public void S25_ClearsOfAPartRaceWithGets()
    {
        using TestSpace test = Make();
        test.Set(Slot with { Size = 100 * Page });
        test.Write(Page);
        test.Write(99 * Page);
        bool stop = false;
        int gets = 0;
        using var reader = new Background(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                int[] found = GetAll(test);
                Assert.That(found.Contains(1) && found.Contains(99) && found.All(page => page is 1 or 70 or 99), Is.True);
                gets++;
            }
        });
        int missed = 0;
        for (int round = 0; round < 1000 || Volatile.Read(ref gets) < 100; round++)
        {
            if (reader.IsDone)
            {
                break; // it failed
            }
            Store(test, test.View, 70 * Page, (ulong)round);
            missed += GetAll(test).Contains(70) ? 0 : 1;
            Assert.That(test.Clear(1, 64, 36, [1UL << 6]), Is.Zero);
            missed += GetAll(test).Contains(70) ? 1 : 0;
        }
        Volatile.Write(ref stop, true);
        reader.Join();
        Assert.That(missed, Is.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 1, 99 }));
    }

    private static int[] GetAll(TestSpace test)
    {
        ulong[] bitmap = new ulong[2];
        Assert.That(test.Get(1, 0, 100, bitmap, out ulong dirty), Is.Zero);
        int[] pages = PagesOf(bitmap);
        Assert.That(dirty, Is.EqualTo((ulong)pages.Length));
        return pages;
    }
}
