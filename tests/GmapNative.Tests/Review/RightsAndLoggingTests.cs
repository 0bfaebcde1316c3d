using System.Threading;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Review;

/// <summary>Rule 12: nobody waits for readers under a slot's harvest lock, which <c>gmap_dirty_get</c> takes inside sections.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class RightsAndLoggingTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Size = 1100 * Segment; // more page tables than may wait for a grace

    [Test]
    public void A_slot_that_becomes_writable_and_logs_waits_for_no_look_that_waits_for_it()
    {
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, Huge = false },
            new EngineOptions { ArenaBytes = 32 << 20, GraceTimeoutNanoseconds = 2_000_000_000 });
        // Nothing looks at the host's memory.
        var slot = new SlotRequest { Id = 1, Size = Size, HostAddress = 1UL << 40, ReadOnly = true };
        test.Set(slot);
        Assert.That(RangeCalls.Populate(test.Space, 0, Size, Access.Read, out _), Is.Zero);
        using var inside = new ManualResetEventSlim();
        int looked = -1;
        var looker = new Thread(() =>
        {
            var view = test.OpenView();
            view.Enter();
            inside.Set();
            // As a vcpu would that looks while the change is under way, and leaves.
            SpinWait.SpinUntil(() => !test.Space.Map.ById(1)!.IsReadOnly);
            looked = test.Get(1, 0, 64, null, out _);
            view.Leave();
            test.CloseView(view);
        });
        looker.Start();
        inside.Wait();
        int set = test.Space.Changes.Set(slot with { ReadOnly = false, LogDirty = true });
        looker.Join();
        Assert.That(set, Is.Zero);
        Assert.That(looked, Is.EqualTo(Status.NoEntry).Or.Zero);
        _ = test.Write(5 * Page);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 5 }));
    }
}
