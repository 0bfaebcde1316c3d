using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Shadow;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Scenarios;

/// <summary>How shadows, and what hangs on a root because of them, come and go.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
internal sealed class ShadowLifeScenarios(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong Frames = 4 * Segment;

    /// <summary>There is room for one, so that each open drops what another thread has just closed.</summary>
    [Test]
    [Property("Scenario", 35)]
    public void S35_AShadowThatIsFoundIsThere()
    {
        using var guest = new NestedGuest(mostShadows: 1);
        int stored = 0;
        InParallel(3, own =>
        {
            for (int i = 0; i < 100; i++)
            {
                int status = ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, (uint)((own + i) % 2), out ShadowSpace? shadow);
                if (status == Status.Busy)
                {
                    continue; // another one is open
                }
                Assert.That(status, Is.Zero);
                View view = guest.OpenView(shadow!);
                Assert.That(WriteBy(shadow!, view, Frames), Is.EqualTo(guest.Host + Frames));
                guest.CloseView(shadow!, view);
                Assert.That(shadow!.Family.Close(shadow), Is.Zero);
                _ = Interlocked.Increment(ref stored);
            }
        });
        Assert.That(stored, Is.Positive);
        guest.Check();
    }

    [Test]
    [Property("Scenario", 36)]
    public void S36_EveryReferenceIsGivenBack()
    {
        using var guest = new NestedGuest(mostShadows: 2);
        ShadowSpace first = NestedScenarios.OpenSimple(guest);
        ShadowSpace second = NestedScenarios.OpenSecond(guest, first);
        _ = guest.Write(second, Segment + Page);
        for (int i = 0; i < 10; i++)
        {
            Assert.That(guest.Open(SegmentAsce(Segments)), Is.SameAs(first));
        }
        Assert.That(ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, 0, out _), Is.EqualTo(Status.Busy), "both are open");
        for (int i = 0; i < 11; i++)
        {
            guest.Close(first);
        }
        Assert.That(ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, 0, out _), Is.EqualTo(Status.Busy), "the upper one holds the lower");
        guest.Close(second);
        ShadowSpace[] others = [guest.Open(RealSpaceAsce, EdatLevel.None), guest.Open(RealSpaceAsce)];
        Assert.That(others[0].Family.Spaces, Is.EquivalentTo(others.Select(one => one.Space)), "both were dropped, the upper one first");
        Assert.That(others[0].Family.Hangs.Count, Is.Zero);
        guest.Check();
    }

    /// <summary>What one needs is what the other takes away, again and again; each comes to its end at once.</summary>
    [Test]
    [Property("Scenario", 41)]
    public void S41_WhatIsTableOfOneAndMemoryOfTheOtherServesBoth()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = NestedScenarios.OpenSimple(guest);
        ShadowSpace real = guest.Open(RealSpaceAsce);
        for (ulong i = 0; i < 50; i++)
        {
            Assert.That(guest.Write(real, Pages + 8), Is.EqualTo((long)Pages + 8));
            guest.Plant(Pages + 8, Frames + (i * Page));
            Assert.That(guest.Write(shadow, Segment + Page), Is.EqualTo((long)(Frames + (i * Page))));
        }
        guest.Check();
    }

    /// <summary>Tables of others are taken where there is no memory; one's own work is never undone by that.</summary>
    [Test]
    [Property("Scenario", 41)]
    public void S41_ShadowsThatDoNotFitTogetherTakeTurns()
    {
        using var guest = new NestedGuest(arena: 1 << 20);
        EdatLevel[] levels = [EdatLevel.None, EdatLevel.One, EdatLevel.Two];
        ShadowSpace[] shadows = [.. levels.Select(level => guest.Open(RealSpaceAsce, level))];
        int failed = 0;
        for (ulong i = 0; i < 300; i++)
        {
            ulong address = i % 16 * Segment;
            int status = guest.Try(shadows[i % 3], address, Access.Read, out FaultOutcome outcome);
            failed += status == Status.NoMemory ? 1 : 0;
            Assert.That(status, Is.Zero.Or.EqualTo(Status.NoMemory));
            Assert.That(status != 0 || outcome.HostAddress == guest.Host + address);
        }
        Assert.That(failed, Is.Zero);
        guest.Check();
    }

    [Test]
    [Property("Scenario", 42)]
    public void S42_WhatHangsSomewhereHangsThereOnce()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = NestedScenarios.OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        _ = guest.Write(shadow, Segment + Page);
        RootHangs hangs = shadow.Family.Hangs;
        (int Tables, int Memory) before = (hangs.CountOf(HangKind.Table), hangs.CountOf(HangKind.Memory));
        Assert.That(before.Memory, Is.EqualTo(2));
        for (int i = 0; i < 100; i++)
        {
            _ = guest.Root.Harvest(SlotId); // takes away what is written
            _ = guest.Write(shadow, Segment);
            _ = guest.Read(shadow, Segment + Page);
            Assert.That(guest.Store(Pages + 16, 0x400), Is.Zero); // and what hangs on the table
            _ = guest.Write(shadow, Segment);
            _ = guest.Read(shadow, Segment + Page);
            _ = guest.Write(shadow, Segment + Page);
        }
        Assert.That((hangs.CountOf(HangKind.Table), hangs.CountOf(HangKind.Memory)), Is.EqualTo(before));
        Assert.That(guest.Store(Segments + 8, 0x20), Is.Zero);
        Assert.That(hangs.Count, Is.Zero, "the segment hung on both tables");
        guest.Check();
    }

    /// <summary>Its creator is held when it is made and nobody knows it: nobody finds it, and then it can be used.</summary>
    [Test]
    [Property("Scenario", 44)]
    public void S44_AShadowCannotBeFoundBeforeItIsComplete()
    {
        using var guest = new NestedGuest();
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        guest.Close(guest.Open(RealSpaceAsce)); // so that there is a family
        IShadowFamily family = guest.Root.Space.Shadows!;
        ShadowSpace? made = null;
        ShadowSpace? found = null;
        ulong led = 0;
        using var creator = new HeldThread(
            Place.ShadowBuilt, () => Assert.That(ShadowFamily.Open(guest.Root.Space, SegmentAsce(Segments), 1, out made), Is.Zero));
        using var other = new Background(() =>
        {
            Assert.That(ShadowFamily.Open(guest.Root.Space, SegmentAsce(Segments), 1, out found), Is.Zero);
            View view = guest.OpenView(found!);
            led = WriteBy(found!, view, Segment + Page);
            guest.CloseView(found!, view);
        });
        Assert.That((other.EndsSoon(), family.Count().Count), Is.EqualTo((false, 1)));
        Assert.That(guest.Root.Write(Frames).HostAddress, Is.EqualTo(guest.Host + Frames), "the root's vcpus do not wait for it");
        creator.GoOn();
        other.Join();
        Assert.That((found, family.Count().Count, led), Is.EqualTo((made, 2, guest.Host + Frames + Page)));
        guest.Check();
        Assert.That((made!.Opened, made.Family.Close(made), made.Family.Close(made)), Is.EqualTo((2, 0, 0)));
    }

    /// <summary>Whoever finds it can use it at once.</summary>
    [Test]
    [Property("Scenario", 44)]
    [Property("Scenario", 46)]
    public void S46_ThreadsThatOpenOneShadowGetTheSameAndItIsComplete()
    {
        for (int round = 0; round < 20; round++)
        {
            using var guest = new NestedGuest();
            guest.PlantEmptySegments(Segments);
            guest.PlantSegment(Segments, 1, Pages, Frames);
            ShadowSpace?[] found = new ShadowSpace?[4];
            ulong[] led = new ulong[found.Length];
            InParallel(found.Length, own =>
            {
                Assert.That(ShadowFamily.Open(guest.Root.Space, SegmentAsce(Segments), 1, out found[own]), Is.Zero);
                View view = guest.OpenView(found[own]!);
                led[own] = WriteBy(found[own]!, view, Segment + Page);
                guest.CloseView(found[own]!, view);
            });
            Assert.That(found, Has.All.SameAs(found[0]));
            Assert.That(led, Has.All.EqualTo(guest.Host + Frames + Page));
            guest.Check();
            foreach (ShadowSpace? one in found)
            {
                Assert.That(one!.Family.Close(one), Is.Zero);
            }
        }
    }

    private static void InParallel(int threads, Action<int> body)
    {
        using var start = new Barrier(threads);
        List<Background> all = [];
        for (int i = 0; i < threads; i++)
        {
            int own = i;
            all.Add(new Background(() =>
            {
                _ = start.SignalAndWait(TimeSpan.FromSeconds(30));
                body(own);
            }));
        }
        all.ForEach(one => one.Join());
    }

    private static ulong WriteBy(ShadowSpace shadow, View view, ulong address)
    {
        view.EnterCall();
        int status = shadow.Space.Faults.Resolve(view, address, Access.Write, View.CurrentThread, out FaultOutcome outcome);
        view.LeaveCall();
        view.Leave();
        return status == 0 ? outcome.HostAddress : 0;
    }
}
