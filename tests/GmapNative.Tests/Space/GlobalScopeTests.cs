using System.Linq;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// Dirty scope of a space: as long as one slot asks, all log. Random sequences are among <see cref="SpaceProperties"/>.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class GlobalScopeTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(16 << 20);

    [Test]
    public void The_first_that_asks_arms_all_and_the_last_stops_all()
    {
        using TestSpace test = Make();
        test.Set(Slot(1));
        test.Set(Slot(2));
        _ = test.Write(Segment);
        Assert.That((test.Write(0).LeafSize, Logging(test)), Is.EqualTo((Segment, "")), "none logs");
        test.Set(Slot(2) with { LogDirty = true });
        Assert.That((Logging(test), test.Counters.Armings), Is.EqualTo(("1 2", 2L)));
        _ = test.Write(3 * Page);
        _ = test.Write((2 * Segment) + Page);
        Assert.That((test.Harvest(1), test.Harvest(2)), Is.EqualTo((new[] { 3 }, new[] { 1 })), "exactly, and from the call on");
        test.Set(Slot(3)); // begins to log by itself
        _ = test.Write(5 * Segment);
        Assert.That(test.Harvest(3), Is.EqualTo(new[] { 256 }));
        test.Set(Slot(1) with { LogDirty = true });
        test.Set(Slot(2));
        Assert.That(Logging(test), Is.EqualTo("1 2 3"), "slot 1 asks, too");
        _ = test.Write(7 * Page);
        Assert.That(test.SetWithFinal(Slot(1)), Is.EqualTo(new[] { 7 }));
        Assert.That((Logging(test), test.PageTables, test.Engine.Arena.Charged), Is.EqualTo(("", 0L, (nuint)0)), "leaves again");
    }

    [TestCase("deleted")]
    [TestCase("moved")]
    public void It_ends_with_the_slot_that_asked(string by)
    {
        using TestSpace test = Make();
        test.Set(Slot(1));
        test.Set(Slot(2) with { LogDirty = true });
        _ = test.Write(2 * Segment);
        Assert.That(test.SetWithFinal(by == "deleted" ? new SlotRequest { Id = 2 } : Slot(2) with { GuestAddress = 32 * Segment }),
            Is.EqualTo(new[] { 0 }));
        Assert.That(Logging(test), Is.Empty);
    }

    [Test]
    public void A_slot_that_is_moved_and_goes_on_asking_changes_nothing_for_others()
    {
        using TestSpace test = Make();
        test.Set(Slot(1));
        test.Set(Slot(2) with { LogDirty = true });
        _ = test.Write(9 * Page);
        test.Set(Slot(2) with { LogDirty = true, GuestAddress = 32 * Segment });
        Assert.That((Logging(test), test.Harvest(1)), Is.EqualTo(("1 2", new[] { 9 })));
    }

    [Test]
    public void Initially_dirty_is_every_slot_that_begins_with_it()
    {
        using TestSpace test = Make();
        test.Set(Slot(1));
        _ = test.Write(0);
        test.Set(Slot(2) with { LogDirty = true, InitiallyDirty = true });
        Assert.That((test.Harvest(1).Length, test.Harvest(2).Length), Is.EqualTo((512, 512)));
        test.Set(Slot(3));
        test.Set(Slot(1) with { LogDirty = true, InitiallyDirty = true });
        Assert.That((test.Harvest(1).Length, test.Harvest(3).Length), Is.EqualTo((0, 0)), "these logged already, or began by themselves");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Without_memory_for_all_nothing_changed(bool creates)
    {
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, GlobalDirty = true }, new EngineOptions { ArenaBytes = 512 << 10 });
        test.Set(Slot(1));
        test.Set(Slot(3));
        _ = creates ? 0 : test.Space.Changes.Set(Slot(2));
        _ = test.Write(0);
        for (int allowed = 0; ; allowed++)
        {
            test.Engine.Arena.FailAfter = allowed;
            int status = test.Space.Changes.Set(Slot(2) with { LogDirty = true });
            test.Engine.Arena.FailAfter = -1;
            if (status == Status.Ok)
            {
                Assert.That(allowed, Is.GreaterThan(2), "one for each slot at least");
                break;
            }
            Assert.That((status, Logging(test), test.Engine.Arena.Charged), Is.EqualTo((Status.NoMemory, "", (nuint)0)), $"{allowed}");
            Assert.That((test.Space.Map.ById(2) is null, test.Write(0).Done), Is.EqualTo((creates, FaultDone.None)));
            test.Check();
        }
        Assert.That(Logging(test), Is.EqualTo("1 2 3"));
    }

    [Test]
    public void Consumers_of_the_others_get_their_last_pages()
    {
        using TestSpace test = Make();
        test.Set(Slot(1));
        test.Set(Slot(2) with { LogDirty = true });
        Assert.That(Consumer.TryOpen(test.Space, Consumer.AllSlots, ConsumerKind.Plain, out Consumer? consumer), Is.Zero);
        _ = test.Write(4 * Page);
        test.Set(Slot(2));
        Assert.That(consumer!.Begin(rearm: true, out ConsumerEpoch epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, epoch.Slots), Is.EqualTo((1UL, 2UL)));
        Assert.That((consumer.Commit(), consumer.Close()), Is.EqualTo((0, 0)));
    }

    [Test]
    public void By_the_slot_each_logs_for_itself()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot(1));
        test.Set(Slot(2) with { LogDirty = true });
        Assert.That(Logging(test), Is.EqualTo("2"));
    }

    private static TestSpace Make() => new(new SpaceOptions { Limit = TwoGigabytes - 1, GlobalDirty = true });

    /// <summary>Two segments each, side by side.</summary>
    private static SlotRequest Slot(uint id) => new()
    {
        Id = id,
        GuestAddress = (id - 1) * 2 * Segment,
        Size = 2 * Segment,
        HostAddress = s_memory.Start + ((id - 1) * 2 * Segment),
    };

    private static string Logging(TestSpace test) =>
        string.Join(' ', test.Space.Map.Slots.ToArray().Where(slot => slot.Tracking is not null).Select(slot => slot.Id));
}
