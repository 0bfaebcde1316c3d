using System.Linq;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>What gmap_dirty_rate counts: every page once between two takes.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class DirtyRateTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = Segment,
        Size = 2 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    private static TestSpace Make(SplitPolicy policy = SplitPolicy.Lazy, bool freezes = false)
    {
        var options = new EngineOptions { ArenaBytes = 32 << 20 };
        var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, Policy = policy },
            freezes ? options with { Freezing = new Freezing { LeastLines = 1, LeastSegments = 1 } } : options);
        test.Set(s_slot);
        return test;
    }

    private static ulong Pages(TestSpace test)
    {
        Assert.That(Harvester.Rate(test.Space, 1, out RateReading reading), Is.Zero);
        return reading.Pages;
    }

    private static void Write(TestSpace test, params int[] pages)
    {
        foreach (int page in pages)
        {
            _ = test.Write(Segment + ((ulong)page * Page));
        }
    }

    private static void Mark(TestSpace test, int page, int count = 1) =>
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Segment + ((ulong)page * Page), (ulong)count * Page)), Is.Zero);

    [TestCase(false)]
    [TestCase(true)]
    public void A_page_counts_once_between_two_takes_whoever_wrote_it(bool freezes)
    {
        using TestSpace test = Make(freezes: freezes);
        Write(test, 1, 2, 2);
        Mark(test, 2, 3);
        Write(test, 3);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(4), "1 to 4");
        Write(test, 2);
        Mark(test, 2);
        Mark(test, 2);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(5));
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(5));
    }

    [Test]
    public void Looking_keeping_and_unmapping_count_nothing_twice()
    {
        using TestSpace test = Make();
        Write(test, 1, 2);
        Assert.That(test.Get(1, 0, 512, null, out _), Is.Zero);
        Assert.That(Pages(test), Is.EqualTo(2), "what was looked at is known");
        Assert.That(test.Get(1, 0, 512, null, out _), Is.Zero);
        _ = test.Harvest(1, HarvestFlags.NoRearm);
        _ = test.Harvest(1, HarvestFlags.NoRearm);
        Write(test, 300);
        Assert.That(RangeCalls.Unmap(test.Space, 2 * Segment, Segment, out _), Is.Zero);
        Assert.That(Pages(test), Is.EqualTo(3));
        Write(test, 300);
        Assert.That(test.Clear(1, 256, 256, [ulong.MaxValue, 0, 0, 0]), Is.Zero);
        Assert.That(Pages(test), Is.EqualTo(3), "the same page, not taken in between");
        Write(test, 300);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(4 + 2), "and pages 1 and 2, whose marks the harvests that kept them left behind");
    }

    [Test]
    public void What_was_dirty_when_logging_began_does_not_count()
    {
        using TestSpace test = Make();
        test.Set(s_slot with { LogDirty = false });
        Write(test, 7);
        test.Set(s_slot with { InitiallyDirty = true });
        Write(test, 8);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.Zero);
        Write(test, 8, 9);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(2));
    }

    [Test]
    public void A_leaf_is_256_pages()
    {
        using TestSpace test = Make(SplitPolicy.Never);
        Mark(test, 3);
        Write(test, 5);
        _ = test.Harvest(1);
        Assert.That(Pages(test), Is.EqualTo(256));
    }

    [Test]
    public void The_rate_is_that_of_the_last_round_and_parts_make_one()
    {
        using TestSpace test = Make();
        Assert.That(Harvester.Rate(test.Space, 1, out RateReading before), Is.Zero);
        Assert.That((before.Pages, before.PagesPerSecond), Is.EqualTo((0UL, 0UL)));
        long begin = Clock.Now;
        Write(test, [.. Enumerable.Range(0, 100)]);
        _ = test.Harvest(1);
        Write(test, [.. Enumerable.Range(0, 300)]);
        ulong[] bitmap = new ulong[4];
        Assert.That(test.Harvest(1, 0, 256, HarvestFlags.None, bitmap, out _), Is.Zero);
        Assert.That(test.Harvest(1, 256, 256, HarvestFlags.None, bitmap, out _), Is.Zero);
        Assert.That(Harvester.Rate(test.Space, 1, out RateReading after), Is.Zero);
        double longest = Clock.Since(begin) / 1e9;
        Assert.That(after.Pages, Is.EqualTo(400));
        Assert.That(after.PagesPerSecond, Is.GreaterThanOrEqualTo(300 / longest), "300 pages in a part of that time");
        Assert.That(after.Nanoseconds, Is.GreaterThan(before.Nanoseconds));
        _ = test.Harvest(1);
        Assert.That(Harvester.Rate(test.Space, 1, out RateReading last), Is.Zero);
        Assert.That((last.Pages, last.PagesPerSecond), Is.EqualTo((400UL, 0UL)), "nothing since");
    }

    [Test]
    public void Slots_that_are_not_there_or_do_not_log_have_none()
    {
        using TestSpace test = Make();
        Assert.That(Harvester.Rate(test.Space, 2, out _), Is.EqualTo(Status.NoEntry));
        test.Set(s_slot with { LogDirty = false });
        Assert.That(Harvester.Rate(test.Space, 1, out _), Is.EqualTo(Status.NoEntry));
    }
}
