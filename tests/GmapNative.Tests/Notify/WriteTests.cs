using System;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>Rule 30: before the first write is granted it is told, and nobody writes before that; and rule 31.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class WriteTests(bool pgstes) : FormatFixture(pgstes)
{
    [Test]
    public void First_write_tells_before_it_is_granted(
        [Values] bool shadow, [Values] SplitPolicy policy, [Values] bool logs, [Values("unmapped", "read", "written")] string before)
    {
        using var watched = new WatchedSpace(policy, logs);
        NotifyFlags kind = shadow ? ShadowKind : Write;
        _ = before == "unmapped" ? default : watched.Try(300, before == "read" ? Access.Read : Access.Write);
        watched.Arm(300, 1, kind);
        watched.ReadPage(300);
        Assert.That(watched.Heard, Is.Empty, "loads tell nothing");
        bool wasWritable = true;
        watched.Callback = (_, _, _) => wasWritable = watched.TakesStores(300);
        watched.WritePage(300);
        Assert.That(wasWritable, Is.False);
        (int, int, NotifyFlags)[] expected = policy == SplitPolicy.Never ? Once(256, 511, kind) : Once(300, 300, kind);
        Assert.That(watched.Heard, Is.EqualTo(expected));
        Assert.That(watched.TakesStores(300), Is.True);
        watched.WritePage(300);
        watched.WritePage(301);
        Assert.That(watched.Heard, Is.Empty);
        int[] dirty = !logs ? [] : policy == SplitPolicy.Never ? Range(256, 256) : [300, 301];
        Assert.That(logs ? watched.Test.Harvest(1) : [], Is.EqualTo(dirty));
        watched.Test.Check();
    }

    [Test]
    public void Inline_header_asks_for_an_armed_page_and_not_for_others()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.WritePage(4);
        watched.Arm(3, 1, Write);
        var writer = new InlineWriter(watched.Test.View);
        writer.Enter();
        Assert.That((writer.Store(3 * Page, out _), writer.Store(4 * Page, out _), writer.Load(3 * Page, out _)),
            Is.EqualTo((InlineWriter.Ask, 0, 0)));
        writer.Leave();
        watched.WritePage(3);
        writer.Enter();
        Assert.That(writer.Store(3 * Page, out _), Is.Zero);
        writer.Leave();
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Write)));
    }

    [Test]
    public void It_waits_through_unmap_and_remap_and_goes_untold_with_the_slot()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 2, Write);
        Assert.That(watched.Unmap(0, 256), Is.Zero);
        watched.ReadPage(3);
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Assert.That(watched.Heard, Is.Empty);
        watched.WritePage(3);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Write)));
        watched.Test.Set(new SlotRequest { Id = 1 });
        Assert.That(watched.Heard, Is.Empty);
        watched.Test.Set(TheSlot);
        watched.WritePage(4);
        Assert.That(watched.Heard, Is.Empty);
    }

    [Test]
    public void Host_write_populate_and_restore_tell_before_they_copy([Values("host", "populate", "restore")] string how)
    {
        using var watched = new WatchedSpace();
        Assert.That(watched.Test.HostWrite(3 * Page, 1), Is.Zero);
        Assert.That(Snapshot.TryTake(watched.Test.Space, out Snapshot? snapshot), Is.Zero);
        Assert.That(watched.Test.HostWrite(3 * Page, 2), Is.Zero);
        watched.Arm(3, 1, Write | ShadowKind);
        List<ulong> seen = [];
        watched.Callback = (_, _, _) =>
        {
            Assert.That(watched.Test.HostRead(3 * Page, out ulong value), Is.Zero);
            seen.Add(value);
        };
        int status = how switch
        {
            "host" => watched.Test.HostWrite(3 * Page, 3),
            "populate" => RangeCalls.Populate(watched.Test.Space, 0, Segment, Access.Write, out _),
            _ => snapshot!.Restore(out _),
        };
        Assert.That(status, Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(new[] { (3, 3, Write), (3, 3, ShadowKind) }));
        Assert.That(seen, Is.EqualTo(new[] { 2, 2 }), "the old bytes");
        Assert.That(watched.Test.HostRead(3 * Page, out ulong now), Is.Zero);
        Assert.That(now, Is.EqualTo(how == "host" ? 3 : how == "restore" ? 1 : 2));
        watched.Callback = null;
        Assert.That(snapshot!.Free(), Is.Zero);
        watched.Test.Check();
    }

    [Test]
    public void Restore_may_not_be_nested_in_what_it_tells()
    {
        using var watched = new WatchedSpace();
        Assert.That(Snapshot.TryTake(watched.Test.Space, out Snapshot? snapshot), Is.Zero);
        watched.WritePage(3);
        watched.Arm(3, 1, Write);
        int nested = 0;
        watched.Callback = (_, _, _) => nested = snapshot!.Restore(out _);
        Assert.That(snapshot!.Restore(out ulong pages), Is.Zero);
        Assert.That((nested, pages), Is.EqualTo((Status.Busy, 1UL)));
        watched.Callback = null;
        Assert.That(snapshot.Free(), Is.Zero);
    }

    /// <summary>Two vcpus write at once: one tells, the other waits, and both are granted.</summary>
    [Test]
    public void Second_writer_waits_until_it_is_told([Values] bool host)
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Write);
        using var inCallback = new ManualResetEventSlim();
        using var letGo = new ManualResetEventSlim();
        watched.Callback = (_, _, _) =>
        {
            inCallback.Set();
            letGo.Wait();
        };
        var first = new Thread(() => WriteWithOwnView(watched.Test));
        first.Start();
        inCallback.Wait();
        var second = new Thread(() => _ = host ? watched.Test.HostWrite(3 * Page, 5) : WriteWithOwnView(watched.Test));
        second.Start();
        Assert.That(second.Join(50), Is.False);
        Assert.That(watched.TakesStores(3), Is.False);
        Assert.That(watched.Test.Fault(4 * Page, Access.Write, out _), Is.Zero, "others do not wait");
        letGo.Set();
        first.Join();
        second.Join();
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Write)));
    }

    private static int WriteWithOwnView(TestSpace test)
    {
        View view = test.OpenView();
        int status = test.Fault(view, 3 * Page, Access.Write, out _);
        view.Leave();
        test.CloseView(view);
        return status;
    }

    /// <summary>
    /// The host's copy of the thread that tells goes through. A fault of its own would open the page to every vcpu while the callback, or
    /// the next notifier's, still reads the old bytes: it is refused.
    /// </summary>
    [Test]
    public void Telling_thread_copies_but_does_not_open_the_page()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Write);
        (int Copied, int Faulted, bool Opened) nested = default;
        watched.Callback = (_, _, _) => nested = (
            watched.Test.HostWrite(3 * Page, 9), watched.Test.Fault(3 * Page, Access.Write, out _), watched.TakesStores(3));
        watched.WritePage(3);
        Assert.That(nested, Is.EqualTo((Status.Ok, Status.Deadlock, false)));
        Assert.That(watched.TakesStores(3), Is.True);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Write)));
    }

    /// <summary>Two callbacks that write to each other's page would wait for each other: both are refused instead.</summary>
    [Test]
    public void Callback_does_not_wait_for_another_one()
    {
        using var watched = new WatchedSpace();
        watched.Arm(3, 1, Write);
        watched.Arm(5, 1, Write);
        using var both = new Barrier(2);
        int refused = 0;
        watched.Callback = (first, _, _) =>
        {
            both.SignalAndWait();
            int status = watched.Test.HostWrite(first == 3 * Page ? 5 * Page : 3 * Page, 1);
            Interlocked.Add(ref refused, status == Status.Deadlock ? 1 : 0);
            both.SignalAndWait();
        };
        var other = new Thread(() => watched.Test.HostWrite(5 * Page, 2));
        other.Start();
        Assert.That(watched.Test.HostWrite(3 * Page, 2), Is.Zero);
        other.Join();
        Assert.That(refused, Is.EqualTo(2));
        watched.Callback = null;
    }

    [Test]
    public void From_inside_a_host_write_to_an_armed_page_is_refused()
    {
        using var watched = new WatchedSpace();
        watched.Arm(3, 1, Write);
        watched.Test.View.Enter();
        int armed = watched.Test.HostWrite(3 * Page, 2);
        int other = watched.Test.HostWrite(4 * Page, 2);
        int populated = RangeCalls.Populate(watched.Test.Space, 3 * Page, Page, Access.Write, out _);
        watched.Test.View.Leave();
        Assert.That((armed, other, populated), Is.EqualTo((Status.Deadlock, 0, Status.Deadlock)));
        Assert.That(watched.Heard, Is.Empty);
        Assert.That(watched.Test.HostWrite(3 * Page, 2), Is.Zero);
        Assert.That(watched.Heard, Is.EqualTo(Once(3, 3, Write)), "it is armed still");
    }

    /// <summary>The worked example of WRITE: a copy in the background of memory that the guest goes on writing.</summary>
    [Test]
    public void Copy_on_write_in_the_background_is_a_picture_of_one_moment([Values] SplitPolicy policy)
    {
        using var watched = new WatchedSpace(policy);
        TestSpace test = watched.Test;
        const int Pages = 512;
        for (int page = 0; page < Pages; page++)
        {
            Assert.That(test.HostWrite((ulong)page * Page, (ulong)page + 1000), Is.Zero);
        }
        ulong?[] copy = new ulong?[Pages];
        Lock gate = new();
        void Save(int first, int last)
        {
            for (int page = first; page <= last; page++)
            {
                lock (gate)
                {
                    Assert.That(test.HostRead((ulong)page * Page, out ulong value), Is.Zero);
                    copy[page] ??= value;
                }
            }
        }
        watched.Callback = (first, last, _) => Save((int)(first / Page), (int)(last / Page));
        watched.Arm(0, Pages, Write);
        bool stop = false;
        var guest = new Thread(() =>
        {
            View view = test.OpenView();
            var writer = new HeaderWriter(view);
            var random = new Random(1);
            while (!Volatile.Read(ref stop))
            {
                writer.Enter();
                ulong address = (ulong)random.Next(Pages) * Page;
                Assert.That(writer.Write(address, 7, at => test.Fault(view, at, Access.Write, out _)), Is.Zero);
                writer.Leave();
            }
            test.CloseView(view);
        });
        guest.Start();
        for (int page = 0; page < Pages; page++)
        {
            Save(page, page);
            Assert.That(watched.Protect(page, 1, All, Write | NotifyFlags.Cancel), Is.Zero);
        }
        Volatile.Write(ref stop, true);
        guest.Join();
        for (int page = 0; page < Pages; page++)
        {
            Assert.That(copy[page], Is.EqualTo((ulong)page + 1000), $"page {page}");
        }
        test.Check();
    }

    [Test]
    public void Unregister_waits_for_a_callback_and_is_refused_in_one()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        using var inCallback = new ManualResetEventSlim();
        using var letGo = new ManualResetEventSlim();
        Notifier? second = null;
        int inside = 0;
        void Hear(ulong first, ulong last, NotifyFlags kind)
        {
            inside = second!.Unregister();
            inCallback.Set();
            letGo.Wait();
        }
        Assert.That(Notifier.TryRegister(watched.Test.Space, Change, Hear, out second), Is.Zero);
        Assert.That(watched.Test.Space.TryDestroy(), Is.EqualTo(Status.Busy));
        var unmaps = new Thread(() => watched.Unmap(3, 1));
        unmaps.Start();
        inCallback.Wait();
        int status = -1;
        var ends = new Thread(() => status = second!.Unregister());
        ends.Start();
        Assert.That(ends.Join(50), Is.False);
        letGo.Set();
        ends.Join();
        unmaps.Join();
        Assert.That((inside, status, second!.Unregister()), Is.EqualTo((Status.Deadlock, 0, Status.BadHandle)));
        watched.WritePage(3);
        watched.Arm(3, 1, Change);
        Assert.That(watched.Unmap(3, 1), Is.Zero);
        Assert.That(watched.Heard, Has.Length.EqualTo(2), "the other one goes on");
    }

    [Test]
    public void Nobody_listens_and_nothing_waits()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(TheSlot);
        test.Write(3 * Page);
        Assert.That(test.Protect(3 * Page, Page, All, Change | Write), Is.Zero);
        test.Write(3 * Page);
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        test.Check();
        Assert.That(Notifier.TryRegister(test.Space, Change, (_, _, _) => Assert.Fail("it was dropped"), out Notifier? late), Is.Zero);
        test.Write(3 * Page);
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        Assert.That(late!.Unregister(), Is.Zero);
    }
}
