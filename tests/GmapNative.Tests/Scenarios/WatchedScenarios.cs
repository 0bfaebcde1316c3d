using System.Linq;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Notify;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Scenarios;

/// <summary>Scenarios 12, 21 and 26 to 30: pages that gmap_protect watches. The numbers are those of tests/README.md.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
public sealed class WatchedScenarios(bool pgstes) : FormatFixture(pgstes)
{
    [TestCase(0u)]
    [TestCase(1u)]
    [TestCase(2u)]
    [Property("Scenario", 12)]
    public void S12_ProtectingAPartOfALeafProtectsThatPartOrNothing(uint policy)
    {
        const int First = 100;
        const int Count = 4;
        var split = (SplitPolicy)policy;
        using var watched = new WatchedSpace(split, logs: false);
        watched.WritePage(0);
        Assert.That(watched.SizeAt(0), Is.EqualTo(Segment));
        bool refused = split == SplitPolicy.Never;
        Assert.That(watched.Protect(First, Count, Protection.Read), Is.EqualTo(refused ? Status.NotSupported : Status.Ok));
        Assert.That(watched.SizeAt(First), Is.EqualTo(refused ? Segment : Page));
        int[] forbidden = [.. Range(0, 256).Where(page => watched.Try(page, Access.Write).Status == Status.Protection)];
        Assert.That(forbidden, Is.EqualTo(refused ? [] : Range(First, Count)));
        Assert.That(Range(0, 256).Select(page => watched.Try(page, Access.Read).Status), Is.All.Zero);
    }

    /// <summary>A vcpu that always has its page writable: each harvest kicks it once, and it comes back.</summary>
    [TestCase(true)]
    [TestCase(false)]
    [Property("Scenario", 21)]
    public void S21_TheHomePageOfAVcpuIsDirtyEachRoundAndItsNeighboursNever(bool leaf)
    {
        const int Rounds = 100;
        const int Home = 7;
        using var watched = new WatchedSpace(huge: leaf);
        watched.ReadPage(0);
        int told = 0;
        bool ends = false;
        long stores = 0;
        watched.Callback = (_, _, _) => Interlocked.Increment(ref told);
        using var vcpu = new Background(() =>
        {
            View view = watched.Test.OpenView();
            int seen = -1;
            while (!Volatile.Read(ref ends))
            {
                if (Volatile.Read(ref told) is int now && now != seen)
                {
                    seen = now;
                    while (watched.Protect(Home, 1, All, Change | NotifyFlags.Mapped) == Status.TryAgain)
                    {
                        Assert.That(watched.Test.Fault(view, Home * Page, Access.Write, out _), Is.Zero);
                        view.Leave();
                    }
                }
                Assert.That(watched.Test.Fault(view, Home * Page, Access.Write, out _), Is.Zero);
                view.Leave();
                Volatile.Write(ref stores, stores + 1);
            }
            watched.Test.CloseView(view);
        });
        int dirty = 0;
        for (int round = 0; round < Rounds; round++)
        {
            long before = Volatile.Read(ref stores);
            Assert.That(SpinWait.SpinUntil(() => Volatile.Read(ref stores) >= before + 2 || vcpu.IsDone, 60_000), Is.True);
            int[] found = watched.Test.Harvest(1);
            Assert.That(found, Is.EqualTo(new[] { Home }), $"round {round}");
            dirty += found.Length;
        }
        Volatile.Write(ref ends, true);
        vcpu.Join();
        Assert.That((dirty, told), Is.EqualTo((Rounds, told)));
        Assert.That(told, Is.InRange(1, Rounds), "no kick without a harvest");
        TestContext.Out.WriteLine($"{told} kicks, {stores} stores in {Rounds} harvests");
        watched.Callback = null;
    }

    [Test]
    [Property("Scenario", 26)]
    public void S26_OneArmingIsToldOnceAndWhatIsGoneIsNotArmed()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Change | NotifyFlags.Mapped);
        Assert.That((watched.Unmap(3, 1), watched.Unmap(3, 1)), Is.EqualTo((0, 0)));
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        Assert.That(watched.Protect(3, 1, All, Change | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain), "it is gone");
        watched.WritePage(3);
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Is.Empty, "what was refused has armed nothing");
        watched.ReadPage(3);
        Assert.That(watched.Protect(3, 1, All, Change | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain), "not writable");
        watched.Arm(3, 1, Change | NotifyFlags.Mapped, Protection.Read);
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
    }

    [Test]
    [Property("Scenario", 27)]
    public void S27_NoCallbackRunsAfterItsNotifierHasEnded()
    {
        const int Rounds = 300;
        using var watched = new WatchedSpace();
        bool ends = false;
        int late = 0;
        int heard = 0;
        using var weakens = new Background(() =>
        {
            View view = watched.Test.OpenView();
            while (!Volatile.Read(ref ends))
            {
                Assert.That(watched.Test.Fault(view, 3 * Page, Access.Write, out _), Is.Zero);
                view.Leave();
                Assert.That(watched.Protect(3, 1, All, Change), Is.Zero);
                Assert.That(watched.Unmap(3, 1), Is.Zero);
            }
            watched.Test.CloseView(view);
        });
        for (int round = 0; round < Rounds; round++)
        {
            bool gone = false;
            int before = Volatile.Read(ref heard);
            void Hear(ulong first, ulong last, NotifyFlags kind)
            {
                _ = Interlocked.Increment(ref heard);
                Thread.SpinWait(200);
                late += Volatile.Read(ref gone) ? 1 : 0;
            }
            Assert.That(Notifier.TryRegister(watched.Test.Space, Change, Hear, out Notifier? notifier), Is.Zero);
            Assert.That(SpinWait.SpinUntil(() => Volatile.Read(ref heard) != before || weakens.IsDone, 60_000), Is.True);
            Assert.That(notifier!.Unregister(), Is.Zero);
            Volatile.Write(ref gone, true);
        }
        Volatile.Write(ref ends, true);
        weakens.Join();
        Assert.That((late, heard >= Rounds), Is.EqualTo((0, true)));
    }

    /// <summary>Whatever it is called for, it may call what the host may, and nobody waits for himself.</summary>
    [TestCase(true)]
    [TestCase(false)]
    [Property("Scenario", 28)]
    public void S28_ACallbackCallsBackIntoTheEngine(bool beforeWrite)
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.WritePage(9);
        watched.Arm(3, 1, beforeWrite ? Write : Change);
        int depth = 0;
        watched.Callback = (_, _, _) =>
        {
            if (Interlocked.Increment(ref depth) != 1)
            {
                return;
            }
            TestSpace test = watched.Test;
            View view = test.OpenView();
            Assert.That(test.Fault(view, 20 * Page, Access.Write, out _), Is.Zero);
            view.Leave();
            test.CloseView(view);
            Assert.That(test.HostWrite(21 * Page, 1), Is.Zero);
            _ = test.Harvest(1);
            Assert.That(watched.Protect(30, 4, All, Change), Is.Zero);
            Assert.That(watched.Unmap(0, 64), Is.Zero, "the page that it is told of with the rest");
            Assert.That(watched.Protect(0, 64, Protection.Read), Is.Zero);
            Assert.That(watched.Protect(0, 64, All), Is.Zero);
            test.Set(TheSlot with { LogDirty = false });
        };
        using (var other = new Background(() => Ask(watched, beforeWrite)))
        {
            other.Join();
        }
        Assert.That(depth, Is.GreaterThanOrEqualTo(1));
        watched.Callback = null;
        watched.Test.Check();
        Assert.That(watched.Try(3, Access.Write).Status, Is.Zero);
    }

    /// <summary>P set, I set, the mapping taken: whatever covers them reaches both pages of the vcpu in a leaf.</summary>
    [TestCase("protected")]
    [TestCase("hidden")]
    [TestCase("unmapped")]
    [TestCase("armed for writes")]
    [Property("Scenario", 29)]
    public void S29_AChangeOfALeafReachesEveryArmedPageInIt(string change)
    {
        using var watched = new WatchedSpace(SplitPolicy.Never, logs: false);
        watched.WritePage(0);
        watched.Arm(4, 1, Change | NotifyFlags.Mapped);
        watched.Arm(200, 1, Change | NotifyFlags.Mapped);
        Assert.That((watched.SizeAt(4), watched.TakesStores(4)), Is.EqualTo((Segment, true)), "to be armed changes nothing");
        int status = change switch
        {
            "protected" => watched.Protect(0, 256, Protection.Read),
            "hidden" => watched.Protect(0, 256, Protection.None),
            "armed for writes" => watched.Protect(90, 1, All, Write),
            _ => watched.Unmap(0, 256),
        };
        Assert.That(status, Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(0, 255, Change)), "both, in one call for the leaf");
        watched.Test.Check();
    }

    /// <summary>What a callback maps again meanwhile is mapped after the unmap.</summary>
    [TestCase(false)]
    [TestCase(true)]
    [Property("Scenario", 30)]
    public void S30_AnUnmapOfAMarkedLeafSucceedsAtOnce(bool mapsAgain)
    {
        using var watched = new WatchedSpace();
        watched.ReadPage(0);
        watched.Arm(5, 1, Change);
        bool wasGone = false;
        watched.Callback = (_, _, _) =>
        {
            wasGone = watched.SizeAt(5) == 0;
            if (mapsAgain)
            {
                watched.Test.Fault(watched.Test.View, 5 * Page, Access.Read, out _);
                watched.Test.View.Leave();
            }
        };
        Assert.That(RangeCalls.Unmap(watched.Test.Space, 0, Segment, out ulong next), Is.Zero);
        Assert.That((next, wasGone), Is.EqualTo((Segment, true)), "gone when it was told");
        Assert.That(watched.SizeAt(5), Is.EqualTo(mapsAgain ? Segment : 0));
        Assert.That(watched.Heard, Is.EqualTo(Once(0, 255, Change)));
        watched.Callback = null;
    }

    private static void Ask(WatchedSpace watched, bool beforeWrite)
    {
        if (!beforeWrite)
        {
            Assert.That(watched.Unmap(3, 1), Is.Zero);
            return;
        }
        View view = watched.Test.OpenView();
        Assert.That(watched.Test.Fault(view, 3 * Page, Access.Write, out _), Is.Zero);
        view.Leave();
        watched.Test.CloseView(view);
    }
}
