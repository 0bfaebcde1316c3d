using System;
using System.Collections.Generic;
using System.Diagnostics.Tracing;
using System.Linq;
using GmapNative.Notify;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Shadow;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Tracing;

/// <summary>The event source in this process: each event against what the reference model and the counters say.</summary>
[TestFixture]
[NonParallelizable]
public sealed class EventTests
{
    private static readonly GuestMemory s_memory = new(8 << 20);

    /// <summary>Collects what GmapNative tells at a level, for the life of the object.</summary>
    private sealed class Listener(EventLevel level, EventKeywords keywords) : EventListener
    {
        private readonly List<Told> _events = [];

        public Listener Start()
        {
            EnableEvents(GmapEvents.Log, level, keywords);
            return this;
        }

        public Told[] Of(string name)
        {
            lock (_events)
            {
                return [.. _events.Where(told => told.Name == name)];
            }
        }

        public string[] Names()
        {
            lock (_events)
            {
                return [.. _events.Select(told => told.Name).Distinct().Order(StringComparer.Ordinal)];
            }
        }

        protected override void OnEventWritten(EventWrittenEventArgs told)
        {
            if (told.EventSource != GmapEvents.Log)
            {
                return;
            }
            lock (_events)
            {
                _events.Add(new Told(told.EventId, told.EventName!, [.. told.PayloadNames!], [.. told.Payload!], 0));
            }
        }
    }

    private static SlotRequest Slot(uint id, ulong segment, ulong segments, bool log) => new()
    {
        Id = id,
        GuestAddress = segment * Segment,
        Size = segments * Segment,
        HostAddress = s_memory.Start,
        LogDirty = log,
    };

    [Test]
    public void A_random_run_is_told_as_model_and_counters_have_it([Values(1, 2, 3, 4, 5)] int seed)
    {
        const int segments = 8;
        var random = new Random(seed);
        var model = new ReferenceSpace(TwoGigabytes - 1, SplitPolicy.Lazy, huge: true);
        using Listener listener = new Listener(EventLevel.Verbose, (EventKeywords)0x7F).Start();
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot(1, 0, segments, log: true));
        var slot = new ReferenceSlot(1, 0, segments * Segment, s_memory.Start, ReadOnly: false) { Log = [] };
        model.Create(slot, initiallyDirty: false);
        List<ulong> harvested = [];
        int faults = 0;
        for (int step = 0; step < 400; step++)
        {
            if (random.Next(40) == 0)
            {
                harvested.Add((ulong)model.Harvest(model.Slots[1], 0, segments * 256, rearm: true).Count);
                Assert.That(test.Harvest(1), Has.Length.EqualTo((int)harvested[^1]));
                continue;
            }
            ulong address = (ulong)random.Next(segments * 256) * Page;
            bool write = random.Next(3) == 0;
            _ = model.Fault(address, write);
            _ = write ? test.Write(address) : test.Read(address);
            faults++;
        }

        ulong space = test.Space.Number;
        Assert.Multiple(() =>
        {
            Assert.That(listener.Of("Fault"), Has.Length.EqualTo(faults));
            Assert.That(test.Counters.ReadFaults + test.Counters.WriteFaults, Is.EqualTo(faults));
            Assert.That(listener.Of("Split").Count(told => !told.Get<bool>("lost")), Is.EqualTo(model.Splits));
            Assert.That(model.Splits, Is.EqualTo(test.Counters.Splits).And.Positive);
            Assert.That(listener.Of("HarvestEnd").Select(told => told.Get<ulong>("dirtyPages")), Is.EqualTo(harvested));
            Assert.That(harvested.Sum(pages => (long)pages), Is.EqualTo(test.Counters.PagesHarvested));
            Assert.That(listener.Of("HarvestBegin"), Has.Length.EqualTo((int)test.Counters.Harvests));
            Assert.That(listener.Of("GraceWait").Sum(told => told.Get<long>("ns")), Is.EqualTo(test.Space.Epochs.GraceNanoseconds));
            Assert.That(
                listener.Of("SlowFault").Count(told => (told.Get<uint>("done") & (uint)FaultDone.Mapped) != 0),
                Is.EqualTo(test.Counters.SegmentsMapped + test.Counters.PagesMapped));
            Assert.That(listener.Of("Fault").Select(told => told.Get<ulong>("space")), Is.All.EqualTo(space));
            Assert.That(listener.Of("Arm"), Has.Length.EqualTo((int)test.Counters.Armings));
        });
    }

    [Test]
    public void Informational_tells_of_faults_only_where_something_changed_or_took_long()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot(1, 0, 2, log: true));
        test.Read(0); // compiles what a fault runs
        using Listener listener = new Listener(EventLevel.Informational, GmapEvents.Keywords.Faults).Start();
        test.Read(Segment);
        test.Write(Segment);
        for (ulong page = 1; page < 64; page++)
        {
            test.Write(Segment + (page * Page));
        }
        Told[] changed = [.. listener.Of("SlowFault").Where(told => (told.Get<uint>("done") & 3) != 0)];
        Assert.That(changed.Select(told => told.Get<uint>("done")), Is.EqualTo(new[] { 1u, 6u }));
        Assert.That(listener.Of("SlowFault").Except(changed).Select(told => told.Get<long>("ns")), Is.All.GreaterThan(20_000));
        Assert.That(listener.Names(), Is.EqualTo(new[] { "SlowFault" }));
    }

    [Test]
    public void Slots_unmaps_and_refusals_are_told_with_their_status()
    {
        using Listener listener = new Listener(EventLevel.Informational, (EventKeywords)0x7F).Start();
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 }, new EngineOptions { ArenaBytes = 256 << 10 });
        test.Set(Slot(1, 0, 4, log: true) with { InitiallyDirty = true });
        test.Set(Slot(2, 4, 4, log: false) with { ReadOnly = true });
        Assert.That(test.Space.Changes.Set(Slot(3, 0, 1, log: false)), Is.EqualTo(Status.Exists));
        test.Set(Slot(2, 4, 0, log: false));
        test.Read(0);
        Assert.That(RangeCalls.Unmap(test.Space, Page, Page, out _), Is.Zero);
        int taken = 0;
        for (uint id = 10; test.Space.Changes.Set(Slot(id, id, 1, log: true)) == Status.Ok; id++)
        {
            taken++;
        }
        Told unmap = listener.Of("Unmap").Single();
        Assert.Multiple(() =>
        {
            Assert.That(
                listener.Of("SlotChange").Take(4)
                    .Select(told => (told.Get<uint>("slot"), told.Get<uint>("flags"), told.Get<int>("status"))),
                Is.EqualTo(new[] { (1u, 6u, 0), (2u, 1u, 0), (3u, 0u, Status.Exists), (2u, 0u, 0) }));
            Assert.That(listener.Of("SlotChange")[3].Get<ulong>("size"), Is.Zero);
            Assert.That((unmap.Get<ulong>("address"), unmap.Get<ulong>("size"), unmap.Get<int>("status")), Is.EqualTo((Page, Page, 0)));
            Assert.That(listener.Of("Split").Single().Get<ulong>("address"), Is.Zero, "the unmapped page's segment");
            Assert.That(taken, Is.Positive);
            Assert.That(listener.Of("MemoryRefused").Select(told => told.Get<string>("what")), Has.One.Contains("arena's limit"));
            Assert.That(listener.Of("ArenaGrowth")[^1].Get<ulong>("committed"), Is.EqualTo((ulong)test.Engine.Arena.Committed));
            Assert.That(listener.Of("ArenaGrowth")[^1].Get<ulong>("locked"), Is.EqualTo((ulong)test.Engine.Arena.Locked));
        });
    }

    [Test]
    public void Collapses_are_told_by_segment()
    {
        using Listener listener = new Listener(EventLevel.Informational, GmapEvents.Keywords.Splits).Start();
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot(1, 0, 512, log: true));
        test.Write(Segment);
        test.Set(Slot(1, 0, 512, log: false));
        Assert.That(listener.Of("Collapse").Single().Get<ulong>("address"), Is.EqualTo(Segment));
    }

    [Test]
    public void Shadows_what_is_taken_from_them_and_notifications_are_told()
    {
        using Listener listener = new Listener(EventLevel.Informational, (EventKeywords)0x180).Start();
        using var guest = new NestedGuest();
        Assert.That(ShadowFamily.Open(guest.Root.Space, 0, 3, out _), Is.EqualTo(Status.Invalid), "no such level: not told");
        guest.PlantEmptySegments(8 * Segment);
        guest.PlantSegment(8 * Segment, 1, 9 * Segment, 2 * Segment);
        ShadowSpace shadow = guest.Open(8 * Segment);
        Assert.That(Notifier.TryRegister(guest.Root.Space, NotifyFlags.None, (_, _, _) => { }, out Notifier? notifier), Is.Zero);
        _ = guest.Write(shadow, Segment);
        Assert.That(guest.Root.Protect(2 * Segment, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        _ = guest.Root.Harvest(NestedGuest.SlotId);
        Told opened = listener.Of("ShadowOpen").Single();
        Assert.That(
            (opened.Get<ulong>("space"), opened.Get<ulong>("shadow"), opened.Get<ulong>("asce")),
            Is.EqualTo((guest.Root.Space.Number, shadow.Space.Number, 8 * Segment)));
        Assert.That((opened.Get<uint>("edat"), opened.Get<int>("status")), Is.EqualTo((1u, 0)));
        Told taken = listener.Of("Unshadow").Single();
        Assert.That((taken.Get<ulong>("space"), taken.Get<long>("hangs")), Is.EqualTo((guest.Root.Space.Number, 1L)));
        Told told = listener.Of("Notify").Single();
        Assert.That(
            (told.Get<ulong>("first"), told.Get<ulong>("last"), told.Get<uint>("kind")),
            Is.EqualTo((2 * Segment, (2 * Segment) + Page - 1, (uint)NotifyFlags.Change)));
        Assert.That(notifier!.Unregister(), Is.Zero);
    }

    /// <summary>The schema of traces on disk: numbers, names and payloads.</summary>
    [Test]
    public void Schema_is_what_it_was()
    {
        string[] events =
        [
            .. typeof(GmapEvents).GetMethods(System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.Public)
                .Select(method => (method, told: (EventAttribute?)Attribute.GetCustomAttribute(method, typeof(EventAttribute))))
                .Where(pair => pair.told is not null)
                .OrderBy(pair => pair.told!.EventId)
                .Select(pair => $"{pair.told!.EventId} {pair.method.Name} {pair.told.Level} {(long)pair.told.Keywords:x} "
                    + string.Join(' ', pair.method.GetParameters().Select(p => $"{p.ParameterType.Name}:{p.Name}"))),
        ];
        Assert.That(events, Is.EqualTo(new[]
        {
            "1 SlowFault Informational 1 UInt64:space UInt64:address UInt32:access UInt32:done Int64:ns",
            "2 Fault Verbose 1 UInt64:space UInt64:address UInt32:access UInt32:done Int64:ns",
            "3 Split Informational 2 UInt64:space UInt64:address Boolean:lost",
            "4 Arm Informational 10 UInt64:space UInt32:slot UInt64:pages Int64:ns",
            "5 HarvestBegin Informational 4 UInt64:space UInt32:slot UInt64:firstPage UInt64:pages UInt32:flags",
            "6 HarvestEnd Informational 4 UInt64:space UInt32:slot UInt64:dirtyPages Int64:ns Int32:status",
            "7 GraceWait Informational 8 UInt64:space Int64:ns Int32:status",
            "8 SlotChange Informational 10 UInt64:space UInt32:slot UInt64:guestAddress UInt64:size UInt32:flags Int32:status",
            "9 Unmap Informational 10 UInt64:space UInt64:address UInt64:size Int64:ns Int32:status",
            "10 ArenaGrowth Informational 20 UInt64:bytes UInt64:committed UInt64:locked",
            "11 BackingTrouble Warning 40 String:message",
            "12 MemoryRefused Warning 20 String:what",
            "13 Collapse Informational 2 UInt64:space UInt64:address",
            "14 ShadowOpen Informational 80 UInt64:space UInt64:shadow UInt64:asce UInt32:edat Int32:status",
            "15 Unshadow Informational 80 UInt64:space Int64:hangs Int64:ns",
            "16 Notify Informational 100 UInt64:space UInt64:first UInt64:last UInt32:kind Int64:ns",
        }));
        Assert.That(GmapEvents.Log.ConstructionException, Is.Null);
        Assert.That(GmapEvents.Log.Name, Is.EqualTo("GmapNative"));
    }
}
