using System.Linq;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>Scenarios 1 to 8 and 11: splits and faults. The numbers are those of tests/README.md.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class SplitScenarios(bool pgstes) : ScenarioFixture(pgstes)
{
    [Test]
    [Property("Scenario", 1)]
    public void S01_ChildrenOfASplitKeepTheMarkers()
    {
        using TestSpace test = Make();
        test.Read(0);
        SegmentCell cell = Cell(test, 0);
        SegmentEntry leaf = cell.Load();
        Assert.That(cell.TryReplace(leaf, new SegmentEntry(leaf.Value | SegmentEntry.NotifyMarker | SegmentEntry.ShadowMarker)), Is.True);
        Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
        PageTable table = Table(test, 0);
        PageEntry[] children = [.. Enumerable.Range(0, 256).Select(table.Load)];
        Assert.That(children.Select(child => child.Value & PageEntry.Markers), Is.All.EqualTo(PageEntry.Markers));
        var writer = new InlineWriter(test.View);
        writer.Enter();
        Assert.That(
            Range(0, 256).Select(page => writer.Store((ulong)page * Page, out _)), Is.All.EqualTo(InlineWriter.Ask),
            "the header never grants a marked entry");
        writer.Leave();
        for (int page = 0; page < 256; page++) // nobody arms markers yet: what the test put there goes again
        {
            Assert.That(table.TryReplace(page, children[page], new PageEntry(children[page].Value & ~PageEntry.Markers)), Is.True);
        }
    }

    [TestCase("split")]
    [TestCase("granted")]
    [TestCase("aged")]
    [Property("Scenario", 2)]
    public void S02_AChangeBehindALoadedEntryIsNotOverwritten(string meanwhile)
    {
        using TestSpace test = Make();
        test.Read(0);
        if (meanwhile != "split")
        {
            test.Write(0);
        }
        FaultOutcome outcome = default;
        int occurrence = meanwhile == "split" ? 1 : 2; // the entry of the segment, or that of the page
        using (var fault = new HeldThread(Place.EntryLoaded, () => outcome = FaultOnce(test, 7 * Page, Access.Write), occurrence))
        {
            if (meanwhile == "aged")
            {
                Assert.That(RangeCalls.Age(test.Space, 7 * Page, Page, out ulong young), Is.Zero);
                Assert.That(young, Is.EqualTo(1));
            }
            else
            {
                Store(test, test.View, (meanwhile == "split" ? 0UL : 7) * Page, 1);
            }
            fault.GoOn();
        }
        PageEntry page = Table(test, 0).Load(7);
        Assert.That((page.IsInvalid, page.IsProtected, page.IsSoftDirty), Is.EqualTo((false, false, true)));
        Assert.That(page.Value & PageEntry.Young, Is.Not.Zero);
        Assert.That(outcome.Done, Is.EqualTo(meanwhile == "granted" ? FaultDone.None : FaultDone.Granted), "granted once");
        Assert.That(test.Counters.Splits, Is.EqualTo(1));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 7 }));
        test.Check();
    }

    [TestCase("unmap")]
    [TestCase("split")]
    [TestCase("age")]
    [TestCase("collapse")]
    [Property("Scenario", 3)]
    public void S03_ARangeCallTouchesExactlyItsRange(string call)
    {
        const ulong First = 254;
        const ulong Count = 4; // two pages of the first segment, two of the second
        using TestSpace test = Make();
        Assert.That(RangeCalls.Populate(test.Space, 0, 4 * Segment, Access.Read, out _), Is.Zero);
        int status = call switch
        {
            "unmap" => RangeCalls.Unmap(test.Space, First * Page, Count * Page, out _),
            "split" => RangeCalls.Split(test.Space, First * Page, Count * Page, out _),
            "age" => AgeSplit(test, First, Count),
            _ => SplitAndCollapse(test, First, Count),
        };
        Assert.That(status, Is.Zero);
        for (ulong page = 0; page < 1024; page++)
        {
            bool inside = page - First < Count;
            int found = test.Translate(page * Page, Access.Read, out FaultOutcome seen);
            bool gone = inside && (call is "unmap" or "age");
            Assert.That(found, Is.EqualTo(gone ? Status.PageTranslation : Status.Ok), $"page {page}");
            Assert.That(gone || seen.HostAddress == Memory.Start + (page * Page), Is.True, $"page {page} is at {seen.HostAddress:x}");
            Assert.That(gone || seen.LeafSize == (page < 512 ? Page : Segment), Is.True, $"page {page}: {seen.LeafSize}");
        }
        test.Check();
    }

    [TestCase(false)]
    [TestCase(true)]
    [Property("Scenario", 4)]
    public void S04_AMinorFaultIsNoNewMapping(bool dirty)
    {
        using TestSpace test = Make();
        test.Write(3 * Page);
        if (!dirty)
        {
            Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        }
        ulong before = Table(test, 0).Load(3).Value;
        Assert.That(RangeCalls.Age(test.Space, 3 * Page, Page, out _), Is.Zero);
        CounterWords counted = test.Counters;
        FaultOutcome outcome = test.Read(3 * Page);
        Assert.That((outcome.Done, outcome.HostAddress), Is.EqualTo((FaultDone.None, Memory.Start + (3 * Page))));
        Assert.That((test.Counters.PagesMapped, test.Counters.SegmentsMapped), Is.EqualTo((counted.PagesMapped, counted.SegmentsMapped)));
        Assert.That(Table(test, 0).Load(3).Value, Is.EqualTo(before), "all that was known of the page is still there");
        Assert.That(test.Harvest(1), Is.EqualTo(dirty ? new[] { 3 } : []));
    }

    [Test]
    [Property("Scenario", 5)]
    [Property("Scenario", 9)]
    public void S05_TwoVcpusSplitOneLeafOnce()
    {
        using TestSpace test = Make();
        test.Read(0);
        using (var loser = new HeldThread(Place.ChildBuilt, () => FaultOnce(test, Page, Access.Write)))
        {
            test.Write(200 * Page);
            loser.GoOn();
        }
        Assert.That((test.Counters.Splits, test.Counters.SplitsLost, test.PageTables), Is.EqualTo((1L, 1L, 1L)));
        int clean = Range(0, 256).Count(page => test.Translate((ulong)page * Page, Access.Write, out _) == Status.Protection);
        Assert.That(clean, Is.EqualTo(254));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 1, 200 }));
        test.Check();
    }

    [Test]
    [Property("Scenario", 5)]
    public void S05_TwoVcpusAtOnceManyTimes()
    {
        const int Rounds = 300;
        using TestSpace test = Make();
        using var together = new Barrier(3);
        Background[] vcpus = [.. new ulong[] { 3, 250 }.Select(page => new Background(() =>
        {
            View view = test.OpenView();
            for (int round = 0; round < Rounds; round++)
            {
                together.SignalAndWait();
                Store(test, view, page * Page, (ulong)round);
                together.SignalAndWait();
            }
            test.CloseView(view);
        }))];
        int right = 0;
        for (int round = 0; round < Rounds; round++)
        {
            test.Read(0);
            together.SignalAndWait();
            together.SignalAndWait();
            right += test.Harvest(1) is [3, 250] ? 1 : 0;
            Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        }
        foreach (Background vcpu in vcpus)
        {
            vcpu.Join();
        }
        Assert.That((right, test.Counters.Splits), Is.EqualTo((Rounds, (long)Rounds)));
        TestContext.Out.WriteLine($"{test.Counters.SplitsLost} of {Rounds} splits were made by both");
    }

    [Test]
    [Property("Scenario", 6)]
    public void S06_ASplitWithoutMemoryChangesNothing()
    {
        using TestSpace test = Make();
        test.Read(0);
        ulong before = Cell(test, 0).Load().Value;
        test.Engine.Arena.FailAfter = 0;
        Assert.That(test.Fault(5 * Page, Access.Write, out FaultOutcome outcome), Is.EqualTo(Status.NoMemory));
        Assert.That((Cell(test, 0).Load().Value, outcome.Done), Is.EqualTo((before, FaultDone.None)));
        Assert.That(test.Harvest(1), Is.Empty);
        Assert.That(test.Write(5 * Page).Done, Is.EqualTo(FaultDone.Split | FaultDone.Granted));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 5 }));
    }

    [TestCase(true)]
    [TestCase(false)]
    [Property("Scenario", 7)]
    public void S07_ASplitThatAnUnmapOvertakesMapsNothing(bool byFault)
    {
        using TestSpace test = Make();
        test.Read(0);
        SegmentCell cell = Cell(test, 0);
        void Split() => Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
        void Write() => FaultOnce(test, 7 * Page, Access.Write);
        using (var split = new HeldThread(Place.ChildBuilt, byFault ? Write : Split))
        {
            using var unmap = new Background(() => Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero));
            Assert.That(SpinWait.SpinUntil(() => cell.Load().IsEmpty, 60_000), Is.True);
            Assert.That(unmap.EndsSoon(), Is.False, "it waits for the thread that builds a child of what is gone");
            split.GoOn();
            unmap.Join();
        }
        // The fault goes on as one that came after the unmap; the explicit split finds nothing to split.
        Assert.That((test.Counters.SplitsLost, test.Counters.Splits), Is.EqualTo((1L, byFault ? 1L : 0L)));
        Assert.That(test.PageTables, Is.EqualTo(byFault ? 1 : 0), "the spare child is free again");
        Assert.That(test.Translate(0, Access.Read, out _), Is.EqualTo(byFault ? Status.Ok : Status.SegmentTranslation));
        Assert.That(test.Harvest(1), Is.EqualTo(byFault ? new[] { 7 } : []));
        test.Check();
    }

    [TestCase(true, Description = "the harvest takes the leaf while a child is built from its dirty value")]
    [TestCase(false, Description = "the split comes between the harvest's pour and its compare-and-swap of the leaf")]
    [Property("Scenario", 8)]
    public void S08_ADirtyLeafThatIsSplitAndHarvestedAtOnceIsReportedOnce(bool splitIsHeld)
    {
        using TestSpace test = Make();
        for (ulong page = 0; page < 256; page++)
        {
            test.Write(page * Page);
        }
        Assert.That(RangeCalls.Collapse(test.Space, 0, Segment, out ulong collapsed), Is.Zero);
        SegmentCell cell = Cell(test, 0);
        Assert.That((collapsed, cell.Load().IsSoftDirty), Is.EqualTo((1UL, true)), "a dirty leaf while logging is on");
        int[] found = [];
        if (splitIsHeld)
        {
            using var split = new HeldThread(Place.ChildBuilt, () => Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero));
            using var harvest = new Background(() => found = test.Harvest(1));
            Assert.That(SpinWait.SpinUntil(() => !cell.Load().IsSoftDirty, 60_000), Is.True);
            split.GoOn();
            harvest.Join();
        }
        else
        {
            using var harvest = new HeldThread(Place.Poured, () => found = test.Harvest(1));
            Assert.That(RangeCalls.Split(test.Space, 0, Page, out _), Is.Zero);
            harvest.GoOn();
        }
        Assert.That(cell.Load().IsTable, Is.True);
        Assert.That(found, Is.EqualTo(Range(0, 256)));
        Assert.That(test.Harvest(1), Is.Empty, "never twice");
        Store(test, test.View, 9 * Page, 1);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 9 }));
        test.Check();
    }

    [Test]
    [Property("Scenario", 11)]
    public void S11_ARangeCallStopsWhereItFailsAndSaysWhere()
    {
        using TestSpace test = Make();
        Assert.That(RangeCalls.Populate(test.Space, 0, 4 * Segment, Access.Read, out _), Is.Zero);
        test.Engine.Arena.FailAfter = 2;
        Assert.That(RangeCalls.Split(test.Space, 0, 4 * Segment, out ulong next), Is.EqualTo(Status.NoMemory));
        Assert.That(next, Is.EqualTo(2 * Segment));
        Assert.That(Range(0, 4).Select(i => Cell(test, (ulong)i * Segment).Load().IsTable), Is.EqualTo(new[] { true, true, false, false }));
        test.Engine.Arena.FailAfter = 0;
        Assert.That(RangeCalls.Unmap(test.Space, Segment, Segment + Page, out next), Is.EqualTo(Status.NoMemory), "the last is a part");
        Assert.That(next, Is.EqualTo(2 * Segment));
        Assert.That((Cell(test, Segment).Load().IsEmpty, Cell(test, 2 * Segment).Load().IsLeaf), Is.EqualTo((true, true)));
        Assert.That(RangeCalls.Unmap(test.Space, next, Page, out next), Is.Zero);
        Assert.That(next, Is.EqualTo((2 * Segment) + Page));
        test.Check();
    }

    private static int AgeSplit(TestSpace test, ulong first, ulong count)
    {
        Assert.That(RangeCalls.Split(test.Space, first * Page, count * Page, out _), Is.Zero);
        int status = RangeCalls.Age(test.Space, first * Page, count * Page, out ulong young);
        Assert.That(young, Is.EqualTo(count));
        return status;
    }

    private static int SplitAndCollapse(TestSpace test, ulong first, ulong count)
    {
        Assert.That(RangeCalls.Split(test.Space, first * Page, count * Page, out _), Is.Zero);
        int status = RangeCalls.Collapse(test.Space, first * Page, count * Page, out ulong collapsed);
        Assert.That(collapsed, Is.Zero, "no segment lies wholly in the range");
        return status;
    }
}
