using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Interleaving;

/// <summary>The schedules see what they are there for: every step that is left out, every twin of the header, is caught.</summary>
[TestFixture]
[NonParallelizable]
public sealed class BugTests
{
    private const int Most = 30_000;
    private const int ByLot = 3_000;

    private static readonly Dictionary<Step, Scenario> s_steps = new()
    {
        [Step.NoBarrier] = Scenarios.BufferedEnter,
        [Step.AnswerOfBefore] = AgainScenarios.CachedWriter,
        [Step.NoGrace] = Scenarios.WriterAndHarvest,
        [Step.NoBump] = Scenarios.CachedWriterGoesOn,
        [Step.BumpAfterGrace] = Scenarios.CachedWriterGoesOn,
        [Step.ClearBeforePour] = Scenarios.WriterOfALine,
        [Step.EntriesBeforeSummary] = Scenarios.WriterOfALine,
        [Step.PartialLineCleared] = Scenarios.SharedLine,
        [Step.LogMovesIgnored] = Scenarios.TwoHarvests,
        [Step.BlockForgottenLate] = Scenarios.MarkerAndHarvest,
        [Step.BlocksBeforeWords] = Scenarios.RangeMarkerAndHarvest,
        [Step.GetTakes] = Scenarios.GetAndWriter,
        [Step.NoSummaryForSecond] = Scenarios.FaultsAndHarvest,
        [Step.NoStripeForSecond] = StripeScenarios.TwoFaultsAndHarvest,
        [Step.StripeBeforeSummary] = StripeScenarios.TwoFaultsAndHarvest,
        [Step.StripeNotLookedAtAgain] = StripeScenarios.WriterAndHarvests,
        [Step.PartialStripeForgotten] = StripeScenarios.TwoSlots,
        [Step.StaleSplit] = Scenarios.TwoSplits,
        [Step.LinkOverwrites] = PopulateScenarios.OfPagesAndWriter,
        [Step.NoPourOnUnmap] = Scenarios.UnmapPage,
        [Step.UnlinkBeforeEmpty] = Scenarios.UnmapWriterHarvest,
        [Step.NoHarvestLockInUnmap] = Scenarios.DirtyLeaf,
        [Step.ReuseBeforeGrace] = Scenarios.UnmapAndReader,
        [Step.NoFreezeGrace] = FreezingScenarios.AndWriter,
        [Step.ThawBeforeEdit] = FreezingScenarios.AndWriter,
        [Step.FaultGrantsFrozen] = FreezingScenarios.AndWriter,
        [Step.FreezeMovesUncounted] = FreezingScenarios.AndHarvest,
        [Step.NoHoldInCollapse] = Scenarios.CollapseAndWriter,
        [Step.NoHarvestLockInCollapse] = Scenarios.CollapseOfADirtyTable,
        [Step.MixedCollapse] = Scenarios.CollapseOfAMixedTable,
        [Step.WalkBeforeCallsEnded] = Scenarios.DeletionAndFault,
        [Step.StaleSoftDirtyKept] = Scenarios.ArmingAndWriter,
        [Step.SwapBeforeFlags] = GenerationScenarios.SwapAndWriters,
        [Step.NoSwapGrace] = GenerationScenarios.SwapAndWriters,
        [Step.DenseBitsBeforeGrace] = GenerationScenarios.DeletionAndWriter,
        [Step.DiscardAfterGrace] = GenerationScenarios.DiscardAndCachedWriter,
        [Step.MarkBeforeExchange] = FormatScenarios.DeviceAndDrain,
        [Step.OneConsumerOnly] = ConsumerScenarios.AndHarvest,
        [Step.OpenTakesNothing] = ConsumerScenarios.OpenAndWriter,
        [Step.OpenWithoutGrace] = ConsumerScenarios.OpenAndWriter,
        [Step.OpenJoinsLate] = ConsumerScenarios.OpenAndHarvest,
        [Step.BeginWithoutGrace] = ConsumerScenarios.AndHarvest,
        [Step.BumpForOwnTakeOnly] = ConsumerScenarios.UnmapAndCachedWriter,
        [Step.WithdrawalNotWaitedFor] = ConsumerScenarios.DeletionAndCachedWriter,
        [Step.ArrivalNotClaimed] = MissingScenarios.TwoBringersAndWriter,
        [Step.ArrivedBeforeCopy] = MissingScenarios.LastPageOfALeaf,
        [Step.LeafOverMissing] = MissingScenarios.LastPageOfALeaf,
        [Step.ArmAfterWalk] = WatchScenarios.ArmingAndInstall,
        [Step.ArmWithoutWait] = WatchScenarios.ArmingAndFault,
        [Step.InstallDropsMarkers] = WatchScenarios.InstallOfAnArmedPage,
        [Step.SplitDropsMarkers] = WatchScenarios.SplitOfAnArmedLeaf,
        [Step.WatchedTakenFast] = WatchScenarios.HarvestOfAnArmedPage,
        [Step.HarvestForgetsChange] = WatchScenarios.HarvestOfAnArmedPage,
        [Step.UnmapForgetsChange] = WatchScenarios.UnmapOfAnArmedPage,
        [Step.ToldBeforeGrace] = WatchScenarios.HarvestAndWriterOfAnArmedPage,
        [Step.NoWaitForDelivery] = WatchScenarios.UnmapBesideAHarvest,
        [Step.GrantBeforeTold] = WatchScenarios.TwoWriters,
        [Step.NoWaitForTold] = WatchScenarios.TwoWriters,
        [Step.UnregisterWithoutWait] = WatchScenarios.EndAndWriter,
        [Step.ShadowWithoutSecondWalk] = ShadowTableScenarios.TableStoreAndReinstall,
        [Step.ShadowWithoutSummary] = ShadowScenarios.InstallAndWriter,
        [Step.NoGraceAfterTableArmed] = ShadowTableScenarios.FirstInstallAndTableStore,
        [Step.GraceOfOthersAssumed] = ShadowTableScenarios.TwoInstallsAndTableStore,
        [Step.UnlockedTakeIgnoresMarker] = ShadowScenarios.InstallAndHarvest,
        [Step.WatchedIsFrozen] = ShadowScenarios.InstallAndFreeze,
        [Step.CancelTakesShadows] = ShadowScenarios.Cancelling,
        [Step.ShadowsNotEmptied] = ShadowTableScenarios.TableStore,
        [Step.ShadowRightsStay] = ShadowScenarios.LeafForAPage,
        [Step.ShadowReadersNotCovered] = ShadowScenarios.CachedWriterAndHarvest,
        [Step.TableDisarmedEarly] = ShadowTableScenarios.UnmappingAboveATable,
        [Step.NoDepositLock] = RegionScenarios.TwoSplits,
        [Step.RegionSplitUnflagged] = RegionScenarios.SplitOfADirtyLeaf,
        [Step.RegionChildrenLeft] = RegionScenarios.SplitOfADirtyLeaf,
        [Step.RegionTakenUnpoured] = RegionScenarios.TwoWriters,
    };

    /// <summary>Steps that a space which tracks by generation has too, in a place of its own.</summary>
    private static readonly (Step Step, Scenario Scenario)[] s_byGeneration =
    [
        (Step.NoGrace, GenerationScenarios.WriterAndHarvest),
        (Step.NoBump, GenerationScenarios.CachedWriterGoesOn),
        (Step.BumpAfterGrace, GenerationScenarios.CachedWriterGoesOn),
        (Step.ClearBeforePour, GenerationScenarios.WriterOfALine),
        (Step.EntriesBeforeSummary, GenerationScenarios.WriterOfALine),
        (Step.PartialLineCleared, GenerationScenarios.SharedLine),
        (Step.NoSummaryForSecond, GenerationScenarios.FaultsAndHarvest),
        (Step.StaleSoftDirtyKept, GenerationScenarios.ArmingAndWriter),
    ];

    /// <summary>Steps of shadows that are seen in more than one way.</summary>
    private static readonly (Step Step, Scenario Scenario)[] s_ofShadows =
    [
        (Step.ShadowWithoutSummary, ShadowScenarios.LeafAndWriter),
        (Step.ShadowsNotEmptied, ShadowScenarios.LeafAndHarvest),
        (Step.ShadowsNotEmptied, ShadowScenarios.Unmapping),
        (Step.ShadowsNotEmptied, ShadowTableScenarios.UnmappingOfATable),
        (Step.ShadowsNotEmptied, ShadowTableScenarios.TableStoreByTheHost),
        (Step.ShadowsNotEmptied, ShadowScenarios.Nested),
        (Step.ShadowsNotEmptied, ShadowScenarios.RestrictingAnInstall),
        (Step.ShadowsNotEmptied, ShadowScenarios.Deletion),
        (Step.ShadowReadersNotCovered, ShadowTableScenarios.StoreIntoItsTable),
        (Step.ShadowReadersNotCovered, ShadowScenarios.NestedHarvest),
        (Step.ShadowRightsStay, ShadowScenarios.Room),
        (Step.TableDisarmedEarly, ShadowTableScenarios.RoomAndTableStore),
    ];

    /// <summary>Steps that 2 GB leaves have too, in a place of their own.</summary>
    private static readonly (Step Step, Scenario Scenario)[] s_ofRegions =
    [
        (Step.NoGrace, RegionScenarios.TwoWriters),
        (Step.NoBump, RegionScenarios.CachedWriter),
        (Step.StaleSplit, RegionScenarios.SplitAndTwoHarvests),
        (Step.NoPourOnUnmap, RegionScenarios.DirtyLeafAndUnmap),
        (Step.NoHarvestLockInUnmap, RegionScenarios.DirtyLeafAndUnmap),
        (Step.StaleSoftDirtyKept, RegionScenarios.ArmingAndWriter),
        (Step.WalkBeforeCallsEnded, RegionScenarios.DeletionAndFault),
    ];

    /// <summary>Steps of slots that are moved and resized.</summary>
    private static readonly (Step Step, Scenario Scenario)[] s_ofSlots =
    [
        (Step.NoPourOnUnmap, SlotScenarios.MoveAndWriters),
        (Step.NoPourOnUnmap, SlotScenarios.ResizeAndWriters),
    ];

    /// <summary>What no schedule shows, but a call after the other does.</summary>
    private static readonly Step[] s_others =
    [
        Step.None, Step.SplitForgetsDirty, Step.AgeWithoutBump, Step.HarvestLockOverFreeze, Step.FreedWhileMarked,
        Step.RestoreUntold, Step.DiscardUntold, // by the fuzzer
        Step.AnsweredWithoutLock, // by NativeHostTests: the kernel stops real stores
        Step.EmptyingNotAwaited, // by PagingTests: a harvest that did not wait empties when it tells
        Step.DueBeforeChange, // by WatchTwinTests: under the locks that are held then nobody comes by himself to tell,
        Step.NotToldAgain, // and who arms a page that is being told waits for the end of that, but for the callback itself
    ];

    private static IEnumerable<TestCaseData> Steps() =>
        s_steps.Select(pair => new TestCaseData(pair.Key, pair.Value).SetName($"Step left out: {pair.Key}"))
            .Concat(s_byGeneration.Select(
                one => new TestCaseData(one.Step, one.Scenario).SetName($"Step left out by generation: {one.Step}")))
            .Concat(s_ofShadows.Concat(s_ofSlots).Select(
                one => new TestCaseData(one.Step, one.Scenario).SetName($"Step left out: {one.Step}, {one.Scenario.Name}")))
            .Concat(s_ofRegions.Select(
                one => new TestCaseData(one.Step, one.Scenario).SetName($"Step left out of 2 GB leaves: {one.Step}")));

    private static IEnumerable<TestCaseData> Twins() =>
        HeaderTwins.All.Select(twin => new TestCaseData(twin.Twin, twin.Scenario).SetName($"Twin of the header: {twin.Twin.Name}"));

    [TearDown]
    public void LeaveNothingOut() => Probe.LeftOut = Step.None;

    [TestCaseSource(nameof(Steps))]
    public void Left_out_step_is_caught(object given, object scenario)
    {
        var step = (Step)given;
        if (step == Step.NoBarrier && !ProcessBarrier.IsAvailable)
        {
            Assert.Ignore("no membarrier here: enter fences by itself");
        }
        using var search = new Search((Scenario)scenario);
        Probe.LeftOut = step;
        IsCaught(search);
    }

    /// <summary>Rules 8 and 20. Not as the others: its threads cannot be run again.</summary>
    [Test]
    public void Harvest_lock_that_is_held_while_a_freeze_waits_is_a_deadlock()
    {
        using var search = new Search(FreezingScenarios.AndGet);
        Probe.LeftOut = Step.HarvestLockOverFreeze;
        string? failure = search.Run(Most, ByLot).Failure;
        Engine.Views.RemoveAll(_ => true); // of the threads that stay where they are, inside: no call of others may look at them
        Assert.That(failure, Is.EqualTo("all threads wait for each other"));
    }

    /// <summary>Rule 19, where every page is set: what a fault in flight installs would be reported, though nobody wrote it.</summary>
    [Test]
    public void Initially_set_that_does_not_wait_for_calls_is_caught()
    {
        using var search = new Search(FormatScenarios.InitiallySetAndFault);
        Probe.LeftOut = Step.WalkBeforeCallsEnded;
        IsCaught(search);
    }

    [TestCaseSource(nameof(Twins))]
    public void Twin_of_the_header_is_caught(object twin, object scenario)
    {
        using var search = new Search((Scenario)scenario, (HeaderTwin)twin);
        IsCaught(search);
    }

    [Test]
    public void Every_step_has_its_scenario() =>
        Assert.That(Enum.GetValues<Step>().Except(s_steps.Keys), Is.EquivalentTo(s_others));

    /// <summary>Of a slot that is not tracked, so that the leaf is dirty. The state is inherited.</summary>
    [TestCase(Step.None, true)]
    [TestCase(Step.SplitForgetsDirty, false)]
    public void Child_of_a_dirty_leaf_is_dirty(object given, bool dirty)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        test.Set(World.Slot(1, 0, 256, log: false));
        _ = test.Write(0);
        Probe.LeftOut = (Step)given;
        Assert.That(RangeCalls.Unmap(test.Space, 0, TestSpace.Page, out _), Is.Zero);
        Assert.That(test.Space.Tree.TryFindCell(0, out SegmentCell cell) && cell.Load().IsTable);
        PageEntry page = new PageTable(cell.Load().TableOrigin).Load(1);
        Assert.That((page.IsDirty, page.IsSoftDirty, page.IsProtected), Is.EqualTo((dirty, dirty, !dirty)));
    }

    /// <summary>Rule 24: a cached translation would hide the next use.</summary>
    [TestCase(Step.None, 1)]
    [TestCase(Step.AgeWithoutBump, 0)]
    public void Use_after_aging_is_seen(object given, int young)
    {
        using var world = new World(Scenarios.AgingAndWriter, InlineShim.Of(HeaderTwin.None), null);
        world.Shim.Begin(_ => { }, buffersStores: false);
        world.Set(World.Slot(1, 0, 256));
        world.Actors[0].WriteCached(3);
        world.Actors[0].WriteCached(3);
        Probe.LeftOut = (Step)given;
        world.Actors[0].Age(0, 256);
        world.Actors[0].WriteCached(3);
        Assert.That(RangeCalls.Age(world.Test.Space, World.AddressOf(3), TestSpace.Page, out ulong used), Is.Zero);
        Assert.That(used, Is.EqualTo((ulong)young));
    }

    /// <summary>Rule 25: the logs of a consumer that closes outlive the marks that know it.</summary>
    [TestCase(Step.None, false)]
    [TestCase(Step.FreedWhileMarked, true)]
    public void Close_waits_for_a_mark_that_is_under_way(object given, bool freed)
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 });
        test.Set(World.Slot(1, 0, 256));
        Assert.That(Consumer.TryOpen(test.Space, Consumer.AllSlots, ConsumerKind.Plain, out Consumer? consumer), Is.Zero);
        using var waits = new ManualResetEvent(false);
        using var closed = new ManualResetEvent(false);
        var closer = new Thread(() =>
        {
            _ = consumer!.Close();
            closed.Set();
        });
        int which = -1;
        Probe.LeftOut = (Step)given;
        Probe.Visitor = place =>
        {
            if (Thread.CurrentThread == closer && place == Place.Waiting)
            {
                waits.Set();
            }
            else if (Thread.CurrentThread != closer && place == Place.WordMarked && which < 0)
            {
                closer.Start(); // the built-in log is marked, the consumer's is not
                which = WaitHandle.WaitAny([waits, closed]);
                Assert.That(which, Is.Zero, "closed"); // and not into memory that is gone
            }
        };
        int section = LibrarySections.Enter();
        try
        {
            Assert.That(() => test.Space.Host.MarkRange(0, 8), freed ? Throws.InstanceOf<AssertionException>() : Is.Zero);
        }
        finally
        {
            LibrarySections.Leave(section);
            closer.Join();
            Probe.Visitor = null;
        }
        Assert.That(which == 1, Is.EqualTo(freed));
    }

    /// <summary>Rule 2: what stands in a region entry holds for all below it. Nothing in the engine protects a region yet.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public unsafe void Header_asks_where_a_region_is_protected(bool real)
    {
        HeaderTwin twin = real ? HeaderTwin.None : HeaderTwins.NoRegionProtection;
        var scenario = new Scenario("none")
        {
            Options = new SpaceOptions { Limit = (4UL << 30) - 1 },
            Before = _ => { },
        };
        InlineShim shim = InlineShim.Of(twin);
        shim.Begin(_ => { }, buffersStores: false);
        using var world = new World(scenario, shim, null);
        world.Set(World.Slot(1, 0, 256));
        Actor actor = world.Actors[0];
        actor.Write(3);
        var region = (ulong*)world.Test.Space.Tree.Asce.Origin; // the top table of this space, which nobody else uses now
        *region |= RegionEntry.Protect;
        actor.Enter();
        int store = shim.StorePointer(actor.View, World.AddressOf(3), 8, out _);
        int load = shim.LoadPointer(actor.View, World.AddressOf(3), 8, out _);
        actor.Leave();
        *region &= ~RegionEntry.Protect;
        Assert.That((store, load), Is.EqualTo((real ? InlineWriter.Ask : 0, 0)));
    }

    [Test]
    public void Twin_of_another_text_is_refused() =>
        Assert.That(
            () => new HeaderTwin("nothing", ("text that is not there", "")).Alter("a header", "a shim"),
            Throws.InstanceOf<AssertionException>());

    private static void IsCaught(Search search)
    {
        Found found = search.Run(Most, ByLot);
        TestContext.Out.WriteLine(found);
        Assert.That(found.Failure, Is.Not.Null, found.ToString());
        Found? again = search.Again(found.Schedule);
        Assert.That(again?.Failure, Is.EqualTo(found.Failure), "the same schedule shows it again");
    }
}
