using System;
using System.Threading;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Dirty;

/// <summary>No store is lost while everybody runs; and a writer that breaks the protocol is caught by the same stress.</summary>
[TestFixture]
[NonParallelizable]
public sealed class StressTests
{
    private static readonly TimeSpan s_time = TimeSpan.FromSeconds(1.5);
    private static readonly TimeSpan s_timeToCatch = TimeSpan.FromSeconds(20);

    [TestCase(SplitPolicy.Lazy, false, false)]
    [TestCase(SplitPolicy.Lazy, true, false)]
    [TestCase(SplitPolicy.Never, true, false)]
    [TestCase(SplitPolicy.Lazy, true, true)]
    public void No_store_is_lost(object policy, bool unmaps, bool toggles)
    {
        var options = new StressOptions { Policy = (SplitPolicy)policy, Unmaps = unmaps, Toggles = toggles, Time = s_time };
        using var stress = new Stress(options);
        Assert.That(stress.Run(), Is.Null);
        TestContext.Out.WriteLine(
            $"{policy}: {stress.Stores} stores, {stress.Counters.Harvests} harvests, {stress.Delivered} pages delivered, "
            + $"{stress.Counters.Splits} splits, {stress.Counters.PagesUnmapped} pages unmapped, {stress.Counters.Armings} armings");
        Assert.Multiple(() =>
        {
            Assert.That(stress.Stores, Is.GreaterThan(1000));
            Assert.That(stress.Delivered, Is.GreaterThan(100));
            Assert.That(stress.Counters.Harvests, Is.GreaterThan(20));
            Assert.That(stress.Counters.PagesUnmapped > 0, Is.EqualTo(unmaps));
            Assert.That(stress.Counters.Armings > 4, Is.EqualTo(toggles));
        });
    }

    [Test]
    public void No_store_is_lost_where_two_slots_share_a_cache_line_of_entries()
    {
        const int MiddleOfALine = 4;
        using var stress = new Stress(new StressOptions { SecondSlotAt = MiddleOfALine, Time = s_time });
        Assert.That(stress.Run(), Is.Null);
        Assert.That(stress.Delivered, Is.GreaterThan(100));
    }

    [TearDown]
    public void LeaveNothingOut()
    {
        Probe.LeftOut = Step.None;
        Probe.Visitor = null;
    }

    [Test]
    public void No_store_is_lost_in_a_stripe_that_is_forgotten_again_and_again()
    {
        using var stress = new Stress(new StressOptions { Stripes = true, Time = s_time });
        int forgotten = 0;
        Probe.Visitor = place => forgotten += Dawdle(place) ? 1 : 0;
        Assert.That(stress.Run(), Is.Null);
        TestContext.Out.WriteLine($"{stress.Stores} stores, {stress.Counters.Harvests} harvests, {forgotten} times a stripe was forgotten");
        Assert.That(forgotten, Is.GreaterThan(20));
    }

    [TestCase(WriterFlaw.NoStripeForSecond, Step.None)]
    [TestCase(WriterFlaw.None, Step.StripeNotLookedAtAgain)]
    public void Mistake_with_stripes_is_caught(object flaw, object step)
    {
        using var stress = new Stress(new StressOptions { Stripes = true, Flaw = (WriterFlaw)flaw, Time = s_timeToCatch });
        Probe.LeftOut = (Step)step;
        Probe.Visitor = place => _ = Dawdle(place);
        string? caught = stress.Run();
        TestContext.Out.WriteLine($"{flaw}, {step}: {caught} after {stress.Stores} stores, {stress.Counters.Harvests} harvests");
        Assert.That(caught, Does.StartWith("lost: page"), "inconclusive: the mistake did not show");
    }

    [TestCase(WriterFlaw.StoreBeforeMark)]
    [TestCase(WriterFlaw.NoSummaryForSecond)]
    public void Broken_writer_is_caught(object flaw)
    {
        using var stress = new Stress(new StressOptions { Flaw = (WriterFlaw)flaw, Time = s_timeToCatch });
        string? caught = stress.Run();
        TestContext.Out.WriteLine($"{flaw}: {caught} after {stress.Stores} stores, {stress.Counters.Harvests} harvests");
        Assert.That(caught, Does.StartWith("lost: page"), "inconclusive: the flaw did not show");
    }

    /// <summary>Where a harvest has found a stripe empty, and clears its bit next: time for others.</summary>
    private static bool Dawdle(Place place)
    {
        if (place == Place.StripesEmpty)
        {
            Thread.SpinWait(2000);
        }
        return place == Place.StripesEmpty;
    }
}
