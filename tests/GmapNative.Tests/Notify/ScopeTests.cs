using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>
/// Rule 29 where the dirty scope is the space: the call that turns logging on or off for one slot weakens mappings of all.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class ScopeTests(bool pgstes) : FormatFixture(pgstes)
{
    private static SlotRequest Second { get; } = TheSlot with { Id = 2, GuestAddress = 16 * Segment, LogDirty = true };

    /// <summary>Slot 2 is the first that asks; page 3 of slot 1 loses its right to be written.</summary>
    [TestCase("new")]
    [TestCase("there, and asks from now on")]
    [TestCase("moved, and asks from now on")]
    public void Who_is_armed_for_a_change_hears_of_logging_that_begins_for_another_slot(string how)
    {
        using var watched = new WatchedSpace(logs: false, global: true);
        if (how != "new")
        {
            watched.Test.Set(Second with { LogDirty = false });
        }
        _ = watched.WritePage(3);
        watched.Arm(3, 1, Change);
        watched.Callback = (_, _, _) => Assert.That(watched.TakesStores(3), Is.False, "it is told after the change");
        watched.Test.Set(Second with { GuestAddress = (how[0] == 'm' ? 32UL : 16) * Segment });
        Assert.That(watched.Heard, Is.EqualTo(Once(0, 255, Change)), "before the call returned; the leaf is weakened");
        watched.Callback = null;
        watched.Test.Check();
        _ = watched.WritePage(3);
        Assert.That((watched.Test.Harvest(1), watched.Heard), Is.EqualTo((new[] { 3 }, Nothing)), "one-shot");
    }

    /// <summary>Slot 2 is the last that asks; what a consumer still gets of slot 1 is taken out of the tables.</summary>
    [TestCase("turned off")]
    [TestCase("deleted")]
    [TestCase("moved, and asks no more")]
    public void Who_is_armed_for_a_change_hears_of_logging_that_ends_with_another_slot(string how)
    {
        using var watched = new WatchedSpace(logs: false, global: true);
        watched.Test.Set(Second);
        Assert.That(Consumer.TryOpen(watched.Test.Space, 1, ConsumerKind.Plain, out Consumer? consumer), Is.Zero);
        _ = watched.WritePage(3);
        watched.Arm(3, 1, Change);
        watched.Test.Set(how switch
        {
            "turned off" => Second with { LogDirty = false },
            "deleted" => new SlotRequest { Id = 2 },
            _ => Second with { LogDirty = false, GuestAddress = 32 * Segment },
        });
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        watched.Test.Check();
        Assert.That(consumer!.Begin(rearm: true, out ConsumerEpoch epoch), Is.Zero);
        Assert.That((epoch.DirtyPages, consumer.Commit(), consumer.Close()), Is.EqualTo((1UL, 0, 0)));
    }
}
