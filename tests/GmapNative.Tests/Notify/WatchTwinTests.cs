using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>Rules 28 to 31, a scenario for each step: it holds, and with the step left out it does not.</summary>
[TestFixture]
[NonParallelizable] // the probe is the process's
internal sealed class WatchTwinTests
{
    private static readonly Dictionary<Step, Func<WatchedSpace, bool>> s_scenarios = new()
    {
        [Step.ArmAfterWalk] = FaultAfterTheWalk,
        [Step.ArmWithoutWait] = FaultInFlight,
        [Step.InstallDropsMarkers] = ReadMapsAnArmedPage,
        [Step.SplitDropsMarkers] = SplitOfAnArmedLeaf,
        [Step.WatchedTakenFast] = HarvestTellsChange,
        [Step.HarvestForgetsChange] = HarvestTellsChange,
        [Step.UnmapForgetsChange] = UnmapTellsChange,
        [Step.DueBeforeChange] = DueAfterTheEntry,
        [Step.ToldBeforeGrace] = ToldAfterReadersLeft,
        [Step.NoWaitForDelivery] = SecondCallWaits,
        [Step.NotToldAgain] = TakenAgainWhileTold,
        [Step.GrantBeforeTold] = SecondWriterWaits,
        [Step.NoWaitForTold] = SecondWriterWaits,
        [Step.UnregisterWithoutWait] = UnregisterWaits,
    };

    private static readonly Step[] s_steps = [.. s_scenarios.Keys];

    [TearDown]
    public void PutProbeBack()
    {
        Probe.Visitor = null;
        Probe.LeftOut = Step.None;
    }

    [TestCaseSource(nameof(s_steps))]
    public void Holds_with_the_step_and_fails_without(Step step)
    {
        bool with = Run(s_scenarios[step]);
        Probe.LeftOut = step;
        bool without = Run(s_scenarios[step]);
        Assert.That((with, without), Is.EqualTo((true, false)));
    }

    [Test]
    public void Every_step_of_these_rules_has_a_scenario()
    {
        IEnumerable<Step> steps = Enum.GetValues<Step>().Where(step => step is >= Step.ArmAfterWalk and <= Step.UnregisterWithoutWait);
        Assert.That(s_steps, Is.EquivalentTo(steps));
    }

    private static bool Run(Func<WatchedSpace, bool> scenario)
    {
        var watched = new WatchedSpace();
        bool holds = scenario(watched);
        Probe.Visitor = null;
        watched.Callback = null;
        watched.End();
        return holds;
    }

    private static bool FaultAfterTheWalk(WatchedSpace watched)
    {
        bool once = false;
        Probe.Visitor = place =>
        {
            if (place == Place.Walked && !once)
            {
                once = true;
                Probe.Visitor = null;
                watched.ReadPage(3);
            }
        };
        _ = watched.Protect(0, 256, All, Write);
        return once && watched.Test.Violation() is null;
    }

    private static bool FaultInFlight(WatchedSpace watched)
    {
        using var held = new ManualResetEventSlim();
        using var letGo = new ManualResetEventSlim();
        watched.ReadPage(300); // there is a segment table
        var fault = new Thread(() =>
        {
            int self = View.CurrentThread;
            Probe.Visitor = place =>
            {
                if (place == Place.BytesRead && View.CurrentThread == self)
                {
                    held.Set();
                    letGo.Wait();
                }
            };
            View view = watched.Test.OpenView();
            _ = watched.Test.Fault(view, 0, Access.Read, out _);
            view.Leave();
            watched.Test.CloseView(view);
        });
        _ = watched.Protect(1, 1, All, Change); // and watch bytes
        fault.Start();
        held.Wait();
        var protect = new Thread(() => watched.Protect(0, 1, All, Change));
        protect.Start();
        bool waited = !protect.Join(100);
        letGo.Set();
        protect.Join();
        fault.Join();
        _ = watched.Protect(1, 1, All, Change | NotifyFlags.Cancel);
        return waited && watched.Test.Violation() is null;
    }

    private static bool ReadMapsAnArmedPage(WatchedSpace watched)
    {
        watched.ReadPage(1);
        _ = RangeCalls.Split(watched.Test.Space, 0, Segment, out _);
        _ = watched.Unmap(3, 1);
        _ = watched.Protect(3, 1, All, Write);
        watched.ReadPage(3);
        return AsksToStore(watched, 3);
    }

    private static bool SplitOfAnArmedLeaf(WatchedSpace watched)
    {
        watched.ReadPage(3);
        _ = watched.Protect(3, 1, All, Write);
        _ = watched.Test.Fault(9 * Page, Access.Write, out _);
        return AsksToStore(watched, 3);
    }

    private static bool AsksToStore(WatchedSpace watched, int page)
    {
        var writer = new InlineWriter(watched.Test.View);
        writer.Enter();
        int status = writer.Store((ulong)page * Page, out _);
        writer.Leave();
        return status == InlineWriter.Ask;
    }

    private static bool HarvestTellsChange(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        _ = watched.Test.Harvest(1);
        return watched.Heard.Length == 1;
    }

    private static bool UnmapTellsChange(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        _ = watched.Unmap(3, 1);
        return watched.Heard.Length == 1;
    }

    private static bool DueAfterTheEntry(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        bool changed = false;
        Probe.Visitor = place => changed |= place == Place.DueTaken && !watched.TakesStores(3);
        _ = watched.Unmap(3, 1);
        return changed;
    }

    private static bool ToldAfterReadersLeft(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        View reader = watched.Test.OpenView();
        reader.Owner = -1; // as if it were another thread's: ours may wait for it
        reader.Enter();
        using var told = new ManualResetEventSlim();
        watched.Callback = (_, _, _) => told.Set();
        var unmap = new Thread(() => watched.Unmap(3, 1));
        unmap.Start();
        bool early = told.Wait(100);
        reader.Leave();
        unmap.Join();
        watched.Test.CloseView(reader);
        return !early && told.IsSet;
    }

    private static bool SecondCallWaits(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        return WaitsForCallback(watched, () => watched.Unmap(3, 1), () => watched.Unmap(0, 8));
    }

    private static bool SecondWriterWaits(WatchedSpace watched)
    {
        _ = watched.Protect(3, 1, All, Write);
        return WaitsForCallback(watched, () => watched.Test.HostWrite(3 * Page, 1), () => watched.Test.HostWrite(3 * Page, 2));
    }

    private static bool UnregisterWaits(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        return WaitsForCallback(watched, () => watched.Unmap(3, 1), watched.Unregister);
    }

    /// <summary>Whether a second call returns only after the callback of the first.</summary>
    private static bool WaitsForCallback(WatchedSpace watched, Func<int> first, Func<int> second)
    {
        using var inCallback = new ManualResetEventSlim();
        using var letGo = new ManualResetEventSlim();
        watched.Callback = (_, _, _) =>
        {
            inCallback.Set();
            letGo.Wait();
        };
        var one = new Thread(() => first());
        one.Start();
        inCallback.Wait();
        var other = new Thread(() => second());
        other.Start();
        bool waited = !other.Join(100);
        letGo.Set();
        one.Join();
        other.Join();
        return waited;
    }

    private static bool TakenAgainWhileTold(WatchedSpace watched)
    {
        _ = watched.Test.Fault(3 * Page, Access.Write, out _);
        _ = watched.Protect(3, 1, All, Change);
        watched.Callback = (_, _, _) =>
        {
            watched.Callback = null;
            _ = watched.Test.Fault(3 * Page, Access.Write, out _);
            _ = watched.Protect(3, 1, All, Change);
            _ = watched.Unmap(3, 1);
        };
        _ = watched.Unmap(3, 1);
        return watched.Heard.Length == 2;
    }
}
