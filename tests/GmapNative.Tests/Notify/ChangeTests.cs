using System;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>Rule 29: whoever weakens an armed mapping tells it, once, after the change and before it returns.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class ChangeTests(bool pgstes) : FormatFixture(pgstes)
{
    private static void Weaken(WatchedSpace watched, string how)
    {
        TestSpace test = watched.Test;
        int status = how switch
        {
            "unmap" => watched.Unmap(3, 1),
            "discard" => RangeCalls.Discard(test.Space, 3 * Page, Page, out _),
            "read-only" => watched.Protect(3, 1, Protection.Read),
            "hidden" => watched.Protect(3, 1, Protection.None),
            "armed for a write" => watched.Protect(3, 1, All, NotifyFlags.Write),
            "slot read-only" => test.Space.Changes.Set(TheSlot with { ReadOnly = true }),
            "slot deleted" => test.Space.Changes.Set(new SlotRequest { Id = 1 }),
            "slot moved" => test.Space.Changes.Set(TheSlot with { GuestAddress = 16 * Segment }),
            "harvest" => test.Harvest(1, 0, 2048, HarvestFlags.None, new ulong[32], out _),
            "harvest of the page" => test.Harvest(1, 3, 1, HarvestFlags.None, new ulong[1], out _),
            "clear" => test.Clear(1, 0, 64, [8]),
            "consumer opens" => OpenAndClose(test, begin: false),
            "consumer begins" => OpenAndClose(test, begin: true),
            _ => throw new ArgumentException(how),
        };
        Assert.That(status, Is.Zero);
    }

    private static int OpenAndClose(TestSpace test, bool begin)
    {
        ConsumerKind kind = begin ? ConsumerKind.InitiallyDirty : ConsumerKind.Plain;
        Assert.That(Consumer.TryOpen(test.Space, 1, kind, out Consumer? opened), Is.Zero);
        int status = begin ? opened!.Begin(rearm: true, out _) : 0;
        return status != 0 ? status : opened!.Close();
    }

    [Test]
    public void Everything_that_weakens_tells_once(
        [Values] bool shadow,
        [Values("unmap", "discard", "read-only", "hidden", "armed for a write", "slot read-only", "slot deleted", "slot moved", "harvest",
            "harvest of the page", "clear", "consumer opens", "consumer begins")] string how)
    {
        using var watched = new WatchedSpace();
        NotifyFlags kind = shadow ? ShadowKind : Change;
        watched.WritePage(3);
        watched.WritePage(4);
        watched.Arm(3, 1, kind);
        Assert.That(watched.TakesStores(3), Is.EqualTo(!shadow), "to be armed for a change costs nothing");
        Assert.That(watched.TakesStores(4), Is.True, "nor does it for its neighbours");
        bool weakens = !shadow || how is not ("read-only" or "armed for a write" or "harvest" or "harvest of the page" or "clear"
            or "consumer opens" or "consumer begins"); // armed for SHADOW it is not writable already
        watched.Callback = (_, _, _) => Assert.That(watched.TakesStores(3), Is.False, "it is told after the change");
        Weaken(watched, how);
        Assert.That(watched.Heard, Is.EqualTo(weakens ? Once(3, 3, kind) : Nothing));
        watched.Callback = null;
        watched.Test.Check();
        if (!how.StartsWith("slot", StringComparison.Ordinal))
        {
            Weaken(watched, how);
            Assert.That(watched.Heard, Is.Empty, "one-shot");
        }
    }

    [Test]
    public void Stores_loads_aging_and_marks_tell_nothing()
    {
        using var watched = new WatchedSpace();
        watched.ReadPage(3);
        watched.Arm(3, 1, Change);
        watched.WritePage(3);
        watched.ReadPage(3);
        Assert.That(watched.Test.HostWrite(3 * Page, 1), Is.Zero);
        Assert.That(RangeCalls.Age(watched.Test.Space, 0, Segment, out ulong young), Is.Zero);
        Assert.That(RangeCalls.Split(watched.Test.Space, 0, Segment, out _), Is.Zero);
        Assert.That((young, watched.TakesStores(3)), Is.EqualTo((256UL, true)), "it counts as used, and stays usable");
        Assert.That(watched.Heard, Is.Empty);
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
    }

    /// <summary>What happens to a leaf is told for the leaf; what happens to the pages of a table for those that were armed.</summary>
    [Test]
    public void Leaf_tells_for_the_leaf([Values] SplitPolicy policy)
    {
        using var watched = new WatchedSpace(policy, logs: false);
        watched.WritePage(300);
        watched.Arm(300, 2, Change);
        bool split = policy == SplitPolicy.Eager;
        Assert.That(watched.SizeAt(300), Is.EqualTo(split ? Page : Segment));
        watched.Test.Set(TheSlot);
        Assert.That(watched.Heard, Is.EqualTo(split ? Once(300, 301, Change) : Once(256, 511, Change)));
        watched.Test.Check();
    }

    [Test]
    public void Neighbours_are_told_in_one_call_across_segments()
    {
        using var watched = new WatchedSpace(huge: false);
        for (int page = 250; page < 270; page++)
        {
            watched.WritePage(page);
        }
        watched.Arm(250, 10, Change);
        watched.Arm(262, 2, Change | ShadowKind);
        Assert.That(watched.Unmap(0, 512), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(new[] { (250, 259, Change), (262, 263, Change), (262, 263, ShadowKind) }));
    }

    [Test]
    public void Armed_while_it_is_not_mapped_it_is_told_when_a_later_mapping_goes([Values] bool huge)
    {
        using var watched = new WatchedSpace(huge: huge);
        watched.Arm(3, 1, Change);
        Assert.That(watched.Unmap(0, 256), Is.Zero);
        Assert.That(watched.Heard, Is.Empty, "nothing was mapped");
        watched.WritePage(3);
        watched.WritePage(4);
        Assert.That(watched.Unmap(4, 1), Is.Zero);
        Assert.That(watched.Heard, Is.Empty, "another page");
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
    }

    [Test]
    public void Cancelled_it_is_not_told()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 2, Change | ShadowKind);
        watched.Arm(3, 1, Change | ShadowKind | NotifyFlags.Cancel);
        Assert.That(watched.TakesStores(3), Is.True);
        Assert.That(watched.Unmap(0, 256), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(new[] { (4, 4, Change), (4, 4, ShadowKind) }));
    }

    [Test]
    public void Arming_that_weakens_tells_what_was_armed_before_and_not_itself()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.WritePage(4);
        watched.Arm(3, 1, Change);
        watched.Arm(3, 2, Change | Write);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        Assert.That(watched.Unmap(3, 2), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 4, Change)));
    }

    [Test]
    public void Callback_may_arm_again_and_call_anything()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        int nested = -1;
        watched.Callback = (_, _, _) =>
        {
            watched.Callback = null;
            nested = watched.Test.Fault(3 * Page, Access.Write, out _);
            nested |= watched.Protect(3, 1, All, Change | NotifyFlags.Mapped);
            nested |= watched.Unmap(300, 10);
            nested |= watched.Test.Harvest(1, 512, 64, HarvestFlags.None, new ulong[1], out _);
        };
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(nested, Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)), "armed again in the callback");
    }

    /// <summary>A page that is weakened once more while it is being told is told again.</summary>
    [Test]
    public void Weakened_again_in_the_callback_it_is_told_again()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        watched.Callback = (_, _, _) =>
        {
            watched.Callback = null;
            Assert.That(watched.Test.Fault(3 * Page, Access.Write, out _), Is.Zero);
            Assert.That(watched.Protect(3, 1, All, Change), Is.Zero);
            Assert.That(watched.Unmap(3, 1), Is.Zero);
        };
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(new[] { (3, 3, Change), (3, 3, Change) }));
        watched.Test.Check();
    }

    [Test]
    public void Mapped_is_refused_where_a_page_is_not_usable_now([Values] bool huge)
    {
        using var watched = new WatchedSpace(huge: huge);
        Assert.That(watched.Protect(3, 2, All, Change | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain));
        watched.WritePage(3);
        watched.ReadPage(4);
        Assert.That(watched.Protect(3, 2, All, Change | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain), "4 is not writable");
        Assert.That(watched.Protect(3, 2, Protection.Read, Change | NotifyFlags.Mapped), Is.Zero);
        watched.Arm(3, 2, Change | NotifyFlags.Cancel);
        watched.WritePage(4);
        watched.WritePage(3);
        Assert.That(RangeCalls.Age(watched.Test.Space, 0, Segment, out _), Is.Zero);
        watched.Arm(3, 2, Change | NotifyFlags.Mapped);
        Assert.That((watched.TakesStores(3), watched.TakesStores(4)), Is.EqualTo((true, true)), "aged is mapped, and used now");
        Assert.That(watched.Heard, Is.Empty);
    }

    [Test]
    public void Call_that_times_out_tells_too()
    {
        using var watched = new WatchedSpace(graceTimeout: 5_000_000);
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        View reader = watched.Test.OpenView();
        reader.Owner = -1; // as if it were another thread's: ours may wait for it
        reader.Enter();
        Assert.That(watched.Unmap(3, 1), Is.EqualTo(Status.TimedOut));
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        Assert.That(watched.Test.Harvest(1, 0, 2048, HarvestFlags.None, new ulong[32], out _), Is.EqualTo(Status.TimedOut));
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
        reader.Leave();
        watched.Test.CloseView(reader);
    }

    /// <summary>A call whose pages another one is telling returns after that.</summary>
    [Test]
    public void Second_call_waits_for_what_the_first_one_tells()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        using var inCallback = new ManualResetEventSlim();
        using var letGo = new ManualResetEventSlim();
        watched.Callback = (_, _, _) =>
        {
            inCallback.Set();
            letGo.Wait();
        };
        var first = new Thread(() => watched.Unmap(3, 1));
        first.Start();
        inCallback.Wait();
        bool returned = false;
        var second = new Thread(() =>
        {
            watched.Unmap(0, 8);
            Volatile.Write(ref returned, true);
        });
        second.Start();
        Assert.That(second.Join(50), Is.False);
        Assert.That(Volatile.Read(ref returned), Is.False);
        Assert.That(watched.Unmap(512, 256), Is.Zero, "others do not wait");
        letGo.Set();
        first.Join();
        second.Join();
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Change)));
    }

    /// <summary>
    /// The prefix page of a vcpu: armed writable, weakened by each harvest, faulted in and armed anew. The page stays dirty, its 255
    /// neighbours do not become it, and each harvest kicks once.
    /// </summary>
    [Test]
    public void Prefix_pages_are_refreshed_and_nobody_is_kicked_for_ever([Values] bool split)
    {
        using var watched = new WatchedSpace();
        if (split)
        {
            watched.WritePage(8);
            Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 8 }));
        }
        void Refresh()
        {
            while (watched.Protect(4, 2, All, Change | NotifyFlags.Mapped) is int status && status != 0)
            {
                Assert.That(status, Is.EqualTo(Status.TryAgain));
                Assert.That(watched.Test.Fault(4 * Page, Access.Write, out _) | watched.Test.Fault(5 * Page, Access.Write, out _), Is.Zero);
            }
        }
        for (int round = 0; round < 5; round++)
        {
            Refresh();
            watched.WritePage(4);
            Assert.That(watched.Heard, Is.Empty);
            Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 4, 5 }));
            Assert.That(watched.Heard, Is.EqualTo(Once(4, 5, Change)));
            Assert.That(watched.Test.Harvest(1), Is.Empty);
            Assert.That(watched.Heard, Is.Empty);
        }
    }

    /// <summary>
    /// The same in a leaf that stays one: a pair of pages armed writable, and weakened by a harvest (policy never), or, where nothing
    /// logs, by a restriction of the leaf or an unmap. One mapping of 1 MB serves both after each refresh.
    /// </summary>
    [TestCase("harvest", true)]
    [TestCase("read-only", true)]
    [TestCase("read-only", false)]
    [TestCase("unmap", true)]
    [TestCase("unmap", false)]
    [TestCase("armed for writes", false)]
    public void Prefix_pages_in_a_leaf_are_refreshed_and_it_stays_one(string by, bool never)
    {
        using var watched = new WatchedSpace(never ? SplitPolicy.Never : SplitPolicy.Lazy, logs: by == "harvest");
        for (int round = 0; round < 5; round++)
        {
            while (watched.Protect(260, 2, All, Change | NotifyFlags.Mapped) is int status && status != 0)
            {
                Assert.That(status, Is.EqualTo(Status.TryAgain));
                Assert.That((watched.WritePage(260).LeafSize, watched.WritePage(261).LeafSize), Is.EqualTo((Segment, Segment)));
            }
            Assert.That((watched.SizeAt(260), watched.SizeAt(261)), Is.EqualTo((Segment, Segment)), $"round {round}");
            Assert.That((watched.TakesStores(260), watched.TakesStores(261)), Is.EqualTo((true, true)));
            Assert.That(watched.Heard, Is.Empty);
            int weakened = by switch
            {
                "harvest" => watched.Test.Harvest(1).Length - 256, // all of the leaf
                "read-only" => watched.Protect(256, 256, Protection.Read),
                "unmap" => watched.Unmap(256, 256),
                _ => watched.Protect(300, 1, All, Write),
            };
            Assert.That(weakened, Is.Zero);
            Assert.That(watched.Heard, Is.EqualTo(Once(256, 511, Change)), "once, for the leaf with both");
            Assert.That(watched.TakesStores(261), Is.False);
            Assert.That(watched.SizeAt(260), Is.EqualTo(by == "unmap" ? 0 : Segment), "weakened, and not split");
            watched.Arm(256, 256, Write | NotifyFlags.Cancel); // what weakened it ends, but for the mapping
            Assert.That(watched.Heard, Is.Empty);
        }
        Assert.That(watched.Test.PageTables, Is.Zero);
        Assert.That(watched.Test.Counters.Splits, Is.Zero);
    }
}
