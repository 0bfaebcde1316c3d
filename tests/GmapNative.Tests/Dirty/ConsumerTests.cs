using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>Consumers: each sees its own history, whatever the others do (rule 25).</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class ConsumerTests(bool pgstes) : LoggedSlot(pgstes)
{
    private static readonly SlotRequest s_second =
        Slot with { Id = 2, GuestAddress = 16 * Segment, HostAddress = Memory.Start + (4 * Segment) };

    [Test]
    public void Each_consumer_sees_its_own_history()
    {
        using TestSpace test = Make();
        Write(test, 3, 4);
        Consumer early = Open(test);
        Assert.That(Epoch(early), Is.Empty, "written before it was opened");
        Write(test, 3, 9);
        Consumer late = Open(test);
        Assert.That(Epoch(late), Is.Empty);
        Write(test, 300);
        Assert.That(Epoch(early), Is.EqualTo(new[] { 3, 9, 300 }));
        Assert.That(Epoch(late), Is.EqualTo(new[] { 300 }));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3, 4, 9, 300 }));
        Assert.That((Epoch(early), Epoch(late)), Is.EqualTo((Array.Empty<int>(), Array.Empty<int>())));
        Write(test, 7);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }));
        Assert.That((Epoch(early), Epoch(late)), Is.EqualTo((new[] { 7 }, new[] { 7 })));
        Close(early, late);
    }

    [Test]
    public void Marks_and_unmaps_reach_every_consumer()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Consumer two = Open(test, 1);
        Assert.That(test.HostWrite(5 * Page, 1), Is.Zero);
        Write(test, 6);
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        Assert.That((Epoch(one), Epoch(two), test.Harvest(1)), Is.EqualTo((new[] { 5, 6 }, new[] { 5, 6 }, new[] { 5, 6 })));
        Assert.That(test.HostWrite(8 * Page, 1), Is.Zero);
        Assert.That(RangeCalls.Discard(test.Space, 0, Segment, out _), Is.Zero);
        Assert.That((Epoch(one), Epoch(two), test.Harvest(1)), Is.EqualTo((Array.Empty<int>(), Array.Empty<int>(), Array.Empty<int>())));
        Close(one, two);
    }

    [Test]
    public void Abort_and_redirty_bring_pages_back_to_one_consumer()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Consumer two = Open(test);
        Write(test, 10, 11);
        Assert.That(Begin(one, out ConsumerEpoch first), Is.Zero);
        Assert.That((first.Number, first.DirtyPages, first.Slots), Is.EqualTo((1UL, 2UL, 1UL)));
        Assert.That(Begin(one, out _), Is.EqualTo(Status.Busy));
        Write(test, 12);
        Assert.That(Read(one), Is.EqualTo(new[] { 10, 11 }), "what comes later belongs to the next epoch");
        Assert.That(one.Abort(), Is.Zero);
        Assert.That(one.Abort(), Is.EqualTo(Status.Invalid));
        Assert.That(Epoch(one), Is.EqualTo(new[] { 10, 11, 12 }));
        ulong bitmap = 0b101;
        Assert.That(one.Redirty(1, 64, 2, &bitmap), Is.Zero, "bits past the range are not looked at");
        Assert.That(Epoch(one), Is.EqualTo(new[] { 64 }));
        Assert.That(Epoch(two), Is.EqualTo(new[] { 10, 11, 12 }));
        Assert.That((one.Redirty(1, 512, 1, &bitmap), one.Redirty(9, 0, 1, &bitmap)), Is.EqualTo((Status.Invalid, Status.NoEntry)));
        Close(one, two);
        Assert.That((one.Close(), Begin(one, out _), one.Commit()), Is.EqualTo((Status.BadHandle, Status.BadHandle, Status.BadHandle)));
    }

    [Test]
    public void Slots_come_and_go_under_a_consumer_of_all()
    {
        using TestSpace test = Make();
        Consumer all = Open(test);
        Consumer initially = Open(test, Consumer.AllSlots, initiallyDirty: true);
        test.Set(s_second);
        Write(test, 1);
        _ = test.Write(s_second.GuestAddress + (2 * Page));
        Assert.That(test.SetWithFinal(s_second with { Size = 0 }), Is.EqualTo(new[] { 2 }));
        test.Set(s_second with { Size = Segment });
        _ = test.Write(s_second.GuestAddress + (5 * Page));
        Assert.That(Begin(all, out ConsumerEpoch epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, epoch.Slots), Is.EqualTo((3UL, 3UL)));
        Assert.That(Runs(all), Is.EqualTo(new[] { (1U, 0U, 1UL, 1UL), (2U, DirtyRun.Gone, 2UL, 1UL), (2U, 0U, 5UL, 1UL) }));
        test.Check();
        Assert.That(all.Commit(), Is.Zero);
        test.Check();
        Assert.That(Begin(all, out epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, epoch.Slots), Is.EqualTo((0UL, 2UL)), "the part that went was committed");
        Assert.That(all.Abort(), Is.Zero);
        test.Set(Slot with { LogDirty = false });
        Assert.That(Begin(initially, out epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, epoch.Slots), Is.EqualTo((512UL + 2, 3UL)));
        Close(all, initially);
        test.Check();
    }

    [Test]
    public void Runs_read_through_a_small_array_are_the_bitmap([Values(1, 2, 7, 600)] int capacity)
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        var random = new Random(capacity);
        for (int round = 0; round < 20; round++)
        {
            int[] pages = [.. Enumerable.Range(0, 512).Where(page => round == 0 || random.Next(1 + round) == 0)];
            Write(test, pages);
            Assert.That(Begin(one, out _), Is.Zero);
            Assert.That(Read(one), Is.EqualTo(pages));
            List<int> read = [.. Runs(one, capacity).SelectMany(run => Range((int)run.First, (int)run.Count))];
            Assert.That(read, Is.EqualTo(pages));
            Assert.That(one.Commit(), Is.Zero);
            Assert.That(HarvestedRuns(test, capacity), Is.EqualTo(pages));
        }
        Close(one);
    }

    [Test]
    public void A_reader_that_stays_costs_no_page()
    {
        using TestSpace test = Make(graceTimeout: 2_000_000);
        Consumer one = Open(test);
        Write(test, 20);
        test.Harvest(1);
        test.View.Enter();
        int opened = 0;
        int begun = 0;
        var other = new Thread(() =>
        {
            opened = Consumer.TryOpen(test.Space, Consumer.AllSlots, ConsumerKind.Plain, out _);
            begun = Begin(one, out _);
        });
        other.Start();
        other.Join();
        Assert.That((opened, begun), Is.EqualTo((Status.TimedOut, Status.TimedOut)));
        Assert.That((Begin(one, out _), one.Close()), Is.EqualTo((Status.Deadlock, Status.Deadlock)));
        test.View.Leave();
        test.Check();
        Assert.That(Epoch(one), Is.EqualTo(new[] { 20 }));
        Close(one);
    }

    [Test]
    public void Neither_memory_nor_a_missing_slot_leaves_half_a_consumer()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 }, new EngineOptions { ArenaBytes = 512 << 10 });
        test.Set(Slot);
        Assert.That(Consumer.TryOpen(test.Space, 7, ConsumerKind.Plain, out _), Is.EqualTo(Status.NoEntry));
        List<Consumer> opened = [];
        int status;
        while ((status = Consumer.TryOpen(test.Space, 1, ConsumerKind.Plain, out Consumer? consumer)) == Status.Ok)
        {
            opened.Add(consumer!);
        }
        Assert.That((status, opened.Count), Is.EqualTo((Status.NoMemory, opened.Count)));
        Assert.That(opened, Is.Not.Empty);
        test.Check();
        Assert.That(test.Space.Changes.Set(Slot with { Size = 0 }), Is.Zero);
        Assert.That(test.Space.TryDestroy(), Is.EqualTo(Status.Busy));
        Close([.. opened]);
    }

    /// <summary>Found: what the tables knew was dropped where nobody asked for a final bitmap.</summary>
    [Test]
    public void Logging_that_ends_leaves_the_last_pages_to_consumers()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Consumer two = Open(test, 1);
        Write(test, 1, 2, 300);
        test.Set(Slot with { LogDirty = false });
        Assert.That((Epoch(one), Epoch(two)), Is.EqualTo((new[] { 1, 2, 300 }, new[] { 1, 2, 300 })));
        Close(one, two);
    }

    /// <summary>Found: the pages were counted when another thread could end the epoch already, and give its memory back.</summary>
    [Test]
    public void Epoch_is_counted_before_anybody_can_end_it()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Write(test, 1, 2);
        int committed = 1;
        Probe.Visitor = place => committed = place == Place.EpochBegun ? one.Commit() : committed;
        Assert.That(Begin(one, out ConsumerEpoch epoch), Is.Zero);
        Assert.That((committed, epoch.DirtyPages), Is.EqualTo((Status.Ok, 2UL)));
        Close(one);
    }

    /// <summary>Found: it was looked twice which parts are finished, and what became so in between was never freed.</summary>
    [Test]
    public void Slot_that_goes_while_another_is_let_go_is_not_leaked()
    {
        using TestSpace test = Make();
        test.Set(s_second);
        Consumer one = Open(test);
        test.Set(s_second with { Size = 0 });
        Assert.That(Begin(one, out _), Is.Zero);
        int looked = 0;
        Probe.Visitor = place =>
        {
            if (place == Place.PartLooked && ++looked == 2)
            {
                Probe.Visitor = null;
                test.Set(Slot with { Size = 0 });
            }
        };
        Assert.That(one.Commit(), Is.Zero);
        Assert.That(looked, Is.EqualTo(2));
        test.Check();
        Assert.That(Epoch(one), Is.Empty);
        Close(one);
        test.Check();
    }

    /// <summary>Found: a slot that was made anew hid the pages that the epoch had of the old one.</summary>
    [Test]
    public void Epoch_that_is_begun_keeps_to_the_slots_that_it_looked_at()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Write(test, 3);
        Assert.That(Begin(one, out _), Is.Zero);
        test.Set(Slot with { GuestAddress = 8 * Segment });
        _ = test.Write((8 * Segment) + (7 * Page));
        Assert.That(Read(one), Is.EqualTo(new[] { 3 }));
        Assert.That(Runs(one), Is.EqualTo(new[] { (1U, DirtyRun.Gone, 3UL, 1UL) }));
        ulong bit = 1;
        Assert.That((one.Redirty(1, 3, 1, &bit), one.Commit()), Is.EqualTo((Status.Ok, Status.Ok)), "of the old one");
        Assert.That(Begin(one, out ConsumerEpoch epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, epoch.Slots), Is.EqualTo((2UL, 2UL)));
        Assert.That(Read(one), Is.EqualTo(new[] { 7 }), "the later one");
        Assert.That(Runs(one), Is.EqualTo(new[] { (1U, DirtyRun.Gone, 3UL, 1UL), (1U, 0U, 7UL, 1UL) }));
        Close(one);
    }

    /// <summary>Found: a read said that no epoch is begun, without saying that one is on its way.</summary>
    [Test]
    public void Everything_but_redirty_is_busy_while_an_epoch_is_being_begun()
    {
        using TestSpace test = Make();
        Consumer one = Open(test);
        Write(test, 1);
        List<int> answers = [];
        Probe.Visitor = place =>
        {
            if (place == Place.Collected)
            {
                ulong bit = 1;
                ulong resume = 0;
                var runs = new DirtyRuns(null, 0);
                answers.AddRange([Begin(one, out _), one.Commit(), one.Abort(), one.Close(), one.ReadRuns(ref runs, ref resume),
                    one.ReadBitmap(1, 0, 1, or: false, &bit, 1, out _)]);
                Assert.That(one.Redirty(1, 9, 1, &bit), Is.Zero);
            }
        };
        Assert.That(Begin(one, out _), Is.Zero);
        Probe.Visitor = null;
        Assert.That(answers, Is.EqualTo(Enumerable.Repeat(Status.Busy, 6)));
        Assert.That(Read(one), Is.EqualTo(new[] { 1 }));
        Assert.That(one.Commit(), Is.Zero);
        Assert.That(Epoch(one), Is.EqualTo(new[] { 9 }));
        Close(one);
    }

    private static void Write(TestSpace test, params int[] pages)
    {
        foreach (int page in pages)
        {
            _ = test.Write((ulong)page * Page);
        }
    }

    private static Consumer Open(TestSpace test, uint slot = Consumer.AllSlots, bool initiallyDirty = false)
    {
        ConsumerKind kind = initiallyDirty ? ConsumerKind.InitiallyDirty : ConsumerKind.Plain;
        Assert.That(Consumer.TryOpen(test.Space, slot, kind, out Consumer? consumer), Is.Zero);
        return consumer!;
    }

    private static void Close(params Consumer[] consumers) => Assert.That(consumers.Select(one => one.Close()), Is.All.Zero);

    private static int Begin(Consumer consumer, out ConsumerEpoch epoch) => consumer.Begin(rearm: true, out epoch);

    /// <summary>The pages of slot 1 in an epoch that is begun and committed.</summary>
    private static int[] Epoch(Consumer consumer)
    {
        Assert.That(Begin(consumer, out ConsumerEpoch epoch), Is.Zero);
        int[] pages = Read(consumer);
        Assert.That(epoch.DirtyPages, Is.EqualTo((ulong)pages.Length));
        Assert.That(consumer.Commit(), Is.Zero);
        return pages;
    }

    private static int[] Read(Consumer consumer)
    {
        ulong[] bitmap = new ulong[8];
        Array.Fill(bitmap, ulong.MaxValue);
        fixed (ulong* words = bitmap)
        {
            Assert.That(consumer.ReadBitmap(1, 0, 512, or: false, words, 7, out _), Is.EqualTo(Status.NoBuffer));
            Assert.That(consumer.ReadBitmap(1, 0, 512, or: false, words, 8, out _), Is.Zero);
        }
        return PagesOf(bitmap);
    }

    private static List<(uint Slot, uint Flags, ulong First, ulong Count)> Runs(Consumer consumer, int capacity = 16)
    {
        List<(uint, uint, ulong, ulong)> all = [];
        ulong resume = 0;
        var array = new DirtyRun[capacity];
        while (resume != ulong.MaxValue)
        {
            fixed (DirtyRun* at = array)
            {
                var runs = new DirtyRuns(at, (nuint)capacity);
                Assert.That(consumer.ReadRuns(ref runs, ref resume), Is.Zero);
                all.AddRange(array.Take((int)runs.Count).Select(run => (run.Slot, run.Flags, run.FirstPage, run.Count)));
            }
        }
        return all;
    }

    private static List<int> HarvestedRuns(TestSpace test, int capacity)
    {
        List<int> pages = [];
        var array = new DirtyRun[capacity];
        for (ulong at = 0; at < 512;)
        {
            fixed (DirtyRun* first = array)
            {
                var runs = new DirtyRuns(first, (nuint)capacity);
                Assert.That(Harvester.HarvestRuns(test.Space, 1, at, 512 - at, HarvestFlags.None, ref runs, out at), Is.Zero);
                pages.AddRange(array.Take((int)runs.Count).SelectMany(run => Range((int)run.FirstPage, (int)run.Count)));
            }
        }
        return pages;
    }
}
