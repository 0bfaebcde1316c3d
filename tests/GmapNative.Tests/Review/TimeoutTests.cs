using System;
using GmapNative.Exports;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>
/// Rule 9: a reader that does not leave costs time, never a page. The reader is a second vcpu that holds the right to store
/// to page 3 and stores again after the call that took the right timed out.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class TimeoutTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Timeout = 2_000_000;
    private const ulong Pages = 256;

    [Test]
    public void A_clear_that_timed_out_leaves_the_page_dirty_and_can_be_repeated()
    {
        using var host = new Host(2 * Host.Segment, Timeout);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        using var reader = new OtherThread(host);
        reader.Write(3 * Host.Page);
        Assert.That(host.Clear(1, Pages, 0b1000), Is.EqualTo(Status.TimedOut));
        Assert.That(host.Get(1, Pages, out int[] found), Is.Zero);
        Assert.That(found, Is.EqualTo(new[] { 3 }));
        Assert.That(host.Clear(1, Pages, 0b1000), Is.EqualTo(Status.TimedOut), "the reader is still there");
        reader.Leave();
        Assert.That(host.Clear(1, Pages, 0b1000), Is.Zero);
        Assert.That(host.Get(1, Pages, out found), Is.Zero);
        Assert.That(found, Is.Empty);
    }

    [Test]
    public void An_arming_that_timed_out_reports_what_readers_still_store()
    {
        using var host = new Host(2 * Host.Segment, Timeout);
        Assert.That(host.SetSlot(1, 0, Host.Segment, 0), Is.Zero);
        using var reader = new OtherThread(host);
        reader.Write(3 * Host.Page);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.EqualTo(Status.TimedOut));
        Assert.That(host.Harvest(1, Pages, out _), Is.EqualTo(Status.TimedOut), "nobody may be told 'clean' while the reader stores");
        reader.Leave();
        Assert.That(host.Harvest(1, Pages, out int[] found), Is.Zero);
        Assert.That(found, Has.Member(3));
        Assert.That(host.Harvest(1, Pages, out found), Is.Zero);
        Assert.That(found, Is.Empty);
    }

    [Test]
    public void An_arming_in_time_begins_clean()
    {
        using var host = new Host(2 * Host.Segment, Timeout);
        Assert.That(host.SetSlot(1, 0, Host.Segment, 0), Is.Zero);
        using var reader = new OtherThread(host);
        reader.Write(3 * Host.Page);
        reader.Leave();
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        Assert.That(host.Harvest(1, Pages, out int[] found), Is.Zero);
        Assert.That(found, Is.Empty);
    }

    /// <summary>The timeout is that of a full limbo, and the reader left before the last grace: what the answer promises holds.</summary>
    [Test]
    public void An_arming_that_timed_out_halfway_counts_every_page_as_dirty()
    {
        const int Segments = Limbo.Capacity + 2;
        TestSpace? made = null;
        View? reader = null;
        long first = long.MaxValue;
        using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 }, new EngineOptions
        {
            ArenaBytes = 32 << 20,
            GraceTimeoutNanoseconds = 300_000_000,
            Kick = _ =>
            {
                first = Math.Min(first, made!.Space.Epochs.GracePeriods);
                if (made.Space.Epochs.GracePeriods > first)
                {
                    reader!.Leave(); // in the second grace
                }
            },
        });
        made = test;
        var slot = new SlotRequest { Id = 1, Size = Segments * Host.Segment, HostAddress = 0x6000_0000_0000, ReadOnly = true };
        test.Set(slot); // host memory that is never touched
        Assert.That(RangeCalls.Populate(test.Space, 0, slot.Size, Access.Read, out _), Is.Zero);
        Assert.That(RangeCalls.Split(test.Space, 0, slot.Size, out _), Is.Zero);
        reader = test.OpenView();
        reader.Owner = -1; // as if it were another thread's
        reader.Enter();
        Assert.That(test.Space.Changes.Set(slot with { ReadOnly = false, LogDirty = true }), Is.EqualTo(Status.TimedOut));
        Assert.That(test.Engine.LimboBytes, Is.Zero, "the last grace ended");
        test.CloseView(reader);
        Assert.That(test.Harvest(1), Has.Length.EqualTo(Segments * 256));
    }
}
