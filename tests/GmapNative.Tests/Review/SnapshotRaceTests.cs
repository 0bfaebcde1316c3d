using System;
using System.Threading;
using GmapNative.Backing;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Review;

/// <summary>Snapshots beside calls that take away what they use: their own end, a slot's, its memory's contents.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class SnapshotRaceTests(bool pgstes) : LoggedSlot(pgstes)
{
    private const byte Mine = 0x55;

    [Test]
    public void It_is_busy_as_long_as_a_restore_copies()
    {
        using TestSpace test = Make();
        Snapshot snapshot = Dirty(test);
        int freed = Status.Ok;
        BehindTheBeginOfARestore(Place.FirstPoured, () => freed = snapshot.Free());
        Assert.That(snapshot.Restore(out ulong pages), Is.Zero);
        Assert.That((freed, pages), Is.EqualTo((Status.Busy, 3UL)));
        Assert.That(snapshot.Free(), Is.Zero);
    }

    [Test]
    public void A_slot_that_is_deleted_is_not_written_to_any_more()
    {
        using TestSpace test = Make();
        Snapshot snapshot = Dirty(test);
        var deletion = new Thread(() =>
        {
            test.Set(Slot with { Size = 0 });
            new Span<byte>((void*)Memory.Start, (int)(2 * Segment)).Fill(Mine); // the host's again
        });
        BehindTheBeginOfARestore(Place.EpochBegun, () =>
        {
            deletion.Start();
            _ = deletion.Join(300); // or it waits for the restore
        });
        Assert.That(snapshot.Restore(out _), Is.Zero);
        deletion.Join();
        Assert.That(new Span<byte>((void*)Memory.Start, (int)(2 * Segment)).ContainsAnyExcept(Mine), Is.False);
        Assert.That((snapshot.Restore(out _), snapshot.Verify(out _)), Is.EqualTo((Status.NoEntry, Status.NoEntry)));
        Assert.That(snapshot.Free(), Is.Zero);
    }

    [Test]
    public void Who_is_inside_may_not_compare()
    {
        using TestSpace test = Make();
        Snapshot snapshot = Dirty(test);
        test.View.Enter();
        Assert.That(snapshot.Verify(out _), Is.EqualTo(Status.Deadlock), "it would wait for a restore, which waits for it");
        test.View.Leave();
        Assert.That(snapshot.Free(), Is.Zero);
    }

    [Test]
    public void Discarded_pages_come_back_where_the_kernel_tracks()
    {
        Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
        using TestSpace test = Make();
        new Span<byte>((void*)Memory.Start, (int)(2 * Segment)).Fill(Mine);
        Assert.That(BackingCalls.Attach(test.Space, 1, BackingRequest.Asynchronous, out ISlotBacking? backing), Is.Zero);
        Assert.That(Snapshot.TryTake(test.Space, out Snapshot? snapshot), Is.Zero);
        Assert.That(RangeCalls.Discard(test.Space, 16 * Page, 2 * Page, out _), Is.Zero);
        Assert.That(snapshot!.Restore(out ulong pages), Is.Zero);
        Assert.That(snapshot.Verify(out ulong wrong), Is.Zero);
        Assert.That((pages, wrong), Is.EqualTo((2UL, 0UL)), "the kernel does not tell of a huge page that is given back");
        Assert.That(snapshot.Free(), Is.Zero);
        Assert.That(BackingCalls.Detach(test.Space, backing!), Is.Zero);
    }

    /// <summary>
    /// A read-only page that is as it should be is not written, since its memory may be read-only too; others are told of it all the same.
    /// </summary>
    [Test]
    public void Read_only_pages_that_did_not_change_are_told([Values] bool kernelTracks)
    {
        Assume.That(!kernelTracks || Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
        using TestSpace test = Make();
        test.Set(Slot with { ReadOnly = true });
        ISlotBacking? backing = null;
        Assert.That(kernelTracks ? BackingCalls.Attach(test.Space, 1, BackingRequest.Asynchronous, out backing) : 0, Is.Zero);
        Assert.That(Snapshot.TryTake(test.Space, out Snapshot? snapshot), Is.Zero);
        _ = test.Harvest(1);
        Assert.That(RangeCalls.Discard(test.Space, 16 * Page, 2 * Page, out _), Is.Zero);
        Assert.That(snapshot!.Restore(out ulong pages), Is.Zero);
        Assert.That(pages, Is.EqualTo(2));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 16, 17 }));
        Assert.That(snapshot.Free(), Is.Zero);
        Assert.That(kernelTracks ? BackingCalls.Detach(test.Space, backing!) : 0, Is.Zero);
    }

    /// <summary>A snapshot, and three pages far from each other that were written since.</summary>
    private static Snapshot Dirty(TestSpace test)
    {
        Assert.That(Snapshot.TryTake(test.Space, out Snapshot? snapshot), Is.Zero);
        foreach (ulong page in new ulong[] { 1, 200, 400 })
        {
            _ = test.Write(page * Page);
            *(ulong*)(Memory.Start + (page * Page)) ^= page; // of the slot's memory, which this fixture has
        }
        return snapshot!;
    }

    /// <summary>Runs an action on a thread of its own in the next restore, at a place behind its begin.</summary>
    private static void BehindTheBeginOfARestore(Place first, ThreadStart action)
    {
        bool begun = false;
        Probe.Visitor = place =>
        {
            begun |= place == Place.EpochBegun;
            if (begun && place == first)
            {
                Probe.Visitor = null;
                var other = new Thread(action);
                other.Start();
                _ = other.Join(1000);
            }
        };
    }
}
