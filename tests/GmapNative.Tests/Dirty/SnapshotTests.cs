using System;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>Snapshots: what was written since is put back, and nothing else is looked at.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class SnapshotTests(bool pgstes) : LoggedSlot(pgstes)
{
    [Test]
    public void A_restore_copies_what_was_written_and_nothing_else()
    {
        using TestSpace test = Make();
        Fill();
        Snapshot snapshot = Take(test);
        for (int round = 0; round < 3; round++)
        {
            Store(test, 3, 64, 65, 66, 300);
            Assert.That(Wrong(snapshot), Is.EqualTo(5));
            Word(400) = 0x77; // nobody told the engine
            Assert.That(Restore(snapshot), Is.EqualTo(5));
            Assert.That(Wrong(snapshot), Is.EqualTo(1), "a write that it was not told of");
            Word(400) = Filling(400);
            Assert.That((Restore(snapshot), Wrong(snapshot)), Is.EqualTo((0UL, 0UL)));
        }
        Free(snapshot);
        Assert.That((snapshot.Restore(out _), snapshot.Verify(out _), snapshot.Free()),
            Is.EqualTo((Status.BadHandle, Status.BadHandle, Status.BadHandle)));
    }

    [Test]
    public void Other_consumers_see_a_restore_as_the_write_it_is()
    {
        using TestSpace test = Make();
        Fill();
        Snapshot snapshot = Take(test);
        Store(test, 7);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }));
        Assert.That(Restore(snapshot), Is.EqualTo(1));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 7 }), "a migration that sent the page has to send it again");
        Assert.That((Restore(snapshot), test.Harvest(1)), Is.EqualTo((0UL, Array.Empty<int>())));
        Free(snapshot);
    }

    [Test]
    public void Discarded_and_unmapped_pages_come_back()
    {
        using TestSpace test = Make();
        Fill();
        Snapshot snapshot = Take(test);
        Store(test, 10, 11);
        Assert.That(RangeCalls.Discard(test.Space, 10 * Page, 2 * Page, out _), Is.Zero);
        Assert.That(test.Harvest(1), Is.Empty);
        Store(test, 20);
        Assert.That(RangeCalls.Unmap(test.Space, 16 * Page, 16 * Page, out _), Is.Zero);
        Assert.That((Restore(snapshot), Wrong(snapshot)), Is.EqualTo((3UL, 0UL)));
        Free(snapshot);
    }

    [Test]
    public void Slots_that_changed_end_it()
    {
        using TestSpace test = Make();
        Fill();
        test.Set(Slot with { LogDirty = false });
        Assert.That(Snapshot.TryTake(test.Space, out _), Is.EqualTo(Status.Invalid), "a slot that may be written unseen");
        test.Set(Slot);
        Snapshot snapshot = Take(test);
        test.Set(Slot with { Id = 5, GuestAddress = 64 * Segment });
        _ = test.Write(64 * Segment);
        Assert.That(Restore(snapshot), Is.Zero, "a slot that came later is not part of it");
        test.Set(Slot with { Size = Segment });
        Assert.That((snapshot.Restore(out _), snapshot.Verify(out _)), Is.EqualTo((Status.NoEntry, Status.NoEntry)));
        Assert.That(test.Space.TryDestroy(), Is.EqualTo(Status.Busy));
        Free(snapshot);
        test.Check();
    }

    [Test]
    public void A_take_that_is_refused_changes_nothing()
    {
        using TestSpace test = Make();
        _ = test.Write(3 * Page);
        test.Set(Slot with { Id = 5, GuestAddress = 64 * Segment, LogDirty = false });
        long taken = test.Counters.PagesTaken;
        Assert.That(Snapshot.TryTake(test.Space, out _), Is.EqualTo(Status.Invalid));
        Assert.That(test.Counters.PagesTaken, Is.EqualTo(taken), "a page was armed");
    }

    [Test]
    public void A_vcpu_that_stays_inside_is_waited_for()
    {
        using TestSpace test = Make(graceTimeout: 2_000_000);
        Fill();
        Snapshot snapshot = Take(test);
        Store(test, 5);
        test.View.Enter();
        (int restored, int taken) = (0, 0);
        var other = new Thread(() =>
        {
            restored = snapshot.Restore(out _);
            taken = Snapshot.TryTake(test.Space, out _);
        });
        other.Start();
        other.Join();
        Assert.That((restored, taken), Is.EqualTo((Status.TimedOut, Status.TimedOut)));
        Assert.That((snapshot.Restore(out _), snapshot.Free()), Is.EqualTo((Status.Deadlock, Status.Deadlock)));
        test.View.Leave();
        Assert.That((Restore(snapshot), Wrong(snapshot)), Is.EqualTo((1UL, 0UL)));
        Free(snapshot);
    }

    [Test]
    public void A_restore_leaves_the_managed_heap_alone()
    {
        using TestSpace test = Make();
        Fill();
        Snapshot snapshot = Take(test);
        Store(test, 1, 2, 3);
        _ = Restore(snapshot);
        Store(test, 1, 2, 200);
        long before = GC.GetAllocatedBytesForCurrentThread();
        int status = snapshot.Restore(out ulong pages);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.That((status, pages, allocated), Is.EqualTo((0, 3UL, 0L)));
        Free(snapshot);
    }

    [Test]
    public void Pages_of_zeroes_take_no_memory()
    {
        const ulong Size = 128 << 20;
        using var memory = new GuestMemory(Size);
        using TestSpace test = Make();
        for (ulong at = 0; at < Size; at += 2 * Segment)
        {
            *(ulong*)(memory.Start + at + (5 * Page)) = 1; // inside that memory: a page in each huge page
        }
        test.Set(Slot with { Id = 2, GuestAddress = 64 * Segment, Size = Size, HostAddress = memory.Start });
        long before = Environment.WorkingSet;
        Snapshot snapshot = Take(test);
        Assert.That(Environment.WorkingSet - before, Is.LessThan(32 << 20), "64 pages");
        Free(snapshot);
    }

    private static Snapshot Take(TestSpace test)
    {
        Assert.That(Snapshot.TryTake(test.Space, out Snapshot? snapshot), Is.Zero);
        Assert.That(Wrong(snapshot!), Is.Zero);
        return snapshot!;
    }

    private static ulong Restore(Snapshot snapshot)
    {
        Assert.That(snapshot.Restore(out ulong pages), Is.Zero);
        return pages;
    }

    private static ulong Wrong(Snapshot snapshot)
    {
        Assert.That(snapshot.Verify(out ulong wrong), Is.Zero);
        return wrong;
    }

    private static void Free(Snapshot snapshot) => Assert.That(snapshot.Free(), Is.Zero);

    /// <summary>A word of each page of the slot; the first 64 pages stay zero.</summary>
    private static void Fill()
    {
        for (int page = 0; page < 512; page++)
        {
            Word(page) = Filling(page);
        }
    }

    private static ulong Filling(int page) => page < 64 ? 0 : (ulong)page * 0x9E37_79B9;

    private static void Store(TestSpace test, params int[] pages)
    {
        foreach (int page in pages)
        {
            _ = test.Write((ulong)page * Page);
            Word(page) = ~Filling(page);
        }
    }

    /// <summary>In the middle of a page of the slot's memory, which this fixture has.</summary>
    private static ref ulong Word(int page) => ref *(ulong*)(Memory.Start + ((ulong)page * Page) + 2048);
}
