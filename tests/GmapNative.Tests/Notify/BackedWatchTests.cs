using GmapNative.Backing;
using GmapNative.Space;
using GmapNative.Tables;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>Nothing of a slot whose entries are not the truth is watched (rules 21 and 28).</summary>
[TestFixture]
[NonParallelizable] // the probe is the process's
internal sealed class BackedWatchTests
{
    [Test]
    public void No_backing_for_a_slot_of_which_a_page_is_watched([Values] bool logs, [Values] bool restricted)
    {
        using var watched = new WatchedSpace(logs: logs);
        _ = watched.WritePage(3);
        watched.Arm(2047, 1, restricted ? NotifyFlags.None : Change, restricted ? Protection.Read : All);
        int refused = BackingCalls.Attach(watched.Test.Space, 1, BackingRequest.Asynchronous, out ISlotBacking? backing);
        Assert.That(refused, Is.EqualTo(Status.Busy));
        Assert.That((backing, watched.Test.Space.Map.ById(1)!.Backing), Is.EqualTo(((ISlotBacking?)null, (ISlotBacking?)null)));
        Assert.That(watched.TakesStores(3), Is.True, "nothing changed");
        watched.Arm(2047, 1, Change | NotifyFlags.Cancel);
        Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
        Assert.That(BackingCalls.Attach(watched.Test.Space, 1, BackingRequest.Asynchronous, out backing), Is.Zero);
        Assert.That(watched.Protect(2047, 1, All, Change), Is.EqualTo(Status.NotSupported));
        Assert.That(BackingCalls.Detach(watched.Test.Space, backing!), Is.Zero);
    }

    /// <summary>
    /// A call in flight that arms a page by the slot as it was: the slot gets its backing taken away again, and is what it was.
    /// </summary>
    [Test]
    public void Nor_where_a_page_is_armed_while_it_comes()
    {
        Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");
        using var watched = new WatchedSpace();
        watched.Arm(300, 1, Change);
        watched.Arm(300, 1, Change | NotifyFlags.Cancel); // the table of bytes stays
        _ = watched.WritePage(3);
        Assert.That(watched.Test.Space.Tree.TryFindCell(300 * Page, out SegmentCell cell), Is.True);
        Probe.Visitor = place =>
        {
            WatchBits none = WatchBits.None;
            _ = place == Place.Poured && cell.Watch.TryReplace(300 - 256, ref none, WatchBits.Change); // between the look and the backing
        };
        int refused = BackingCalls.Attach(watched.Test.Space, 1, BackingRequest.Asynchronous, out ISlotBacking? backing);
        Assert.That(refused, Is.EqualTo(Status.Busy));
        Probe.Visitor = null;
        Assert.That(cell.Watch.Of(300 - 256), Is.EqualTo(WatchBits.Change), "it was armed");
        Assert.That((backing, watched.Test.Space.Map.ById(1)!.Backing), Is.EqualTo(((ISlotBacking?)null, (ISlotBacking?)null)));
        watched.Test.Check();
        _ = watched.WritePage(5);
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 3, 5 }));
        watched.ReadPage(300);
        Assert.That(watched.Unmap(300, 1), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(300, 300, Change)));
    }
}
