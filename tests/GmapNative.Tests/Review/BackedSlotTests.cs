using System.Threading;
using GmapNative.Backing;
using GmapNative.Dirty;
using GmapNative.Exports;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>Rule 21: a slot has one truth. Where it is the kernel, marks in the entries say nothing.</summary>
[TestFixture]
public sealed unsafe class BackedSlotTests
{
    private const ulong Pages = 256;

    [SetUp]
    public void NeedsTheKernel() => Assume.That(Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");

    [Test]
    public void An_unmap_invents_no_dirty_page()
    {
        using var host = new Host(2 * Host.Segment);
        using var reader = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        ulong backing = host.Attach(1);
        host.Memory[5 * Host.Page] = 1;
        reader.Read(0);
        reader.Leave();
        Assert.That(host.Unmap(0, Host.Segment), Is.Zero);
        Assert.That(host.Harvest(1, Pages, out int[] found), Is.Zero);
        Assert.That(found, Is.EqualTo(new[] { 5 }));
        Assert.That(Host.Detach(backing), Is.Zero);
    }

    [Test]
    public void What_the_tables_knew_survives_the_attaching()
    {
        using var host = new Host(2 * Host.Segment);
        using var reader = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        reader.Write(7 * Host.Page);
        reader.Leave();
        ulong backing = host.Attach(1);
        Assert.That(host.Harvest(1, Pages, out int[] found), Is.Zero);
        Assert.That(found, Is.EqualTo(new[] { 7 }));
        Assert.That(Host.Detach(backing), Is.Zero);
    }

    /// <summary>What a restore copies is a store to the kernel, too: it is protected again, and not put back the next time.</summary>
    [Test]
    public void A_restore_leaves_nothing_to_restore()
    {
        using var host = new Host(2 * Host.Segment);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        ulong backing = host.Attach(1);
        Assert.That(Snapshot.TryTake(host.Inside, out Snapshot? snapshot), Is.Zero);
        host.Memory[5 * Host.Page] = 1;
        host.Memory[70 * Host.Page] = 2;
        Assert.That((snapshot!.Restore(out ulong pages), pages), Is.EqualTo((0, 2UL)));
        Assert.That((snapshot.Restore(out pages), pages), Is.EqualTo((0, 0UL)));
        host.Memory[5 * Host.Page] = 3; // is stopped anew
        Assert.That((snapshot.Restore(out pages), pages), Is.EqualTo((0, 1UL)));
        Assert.That((snapshot.Verify(out ulong wrong), wrong), Is.EqualTo((0, 0UL)));
        Assert.That(snapshot.Free(), Is.Zero);
        Assert.That(Host.Detach(backing), Is.Zero);
    }

    [Test]
    public void A_deletion_hands_out_what_was_stored_while_it_waited()
    {
        using var host = new Host(2 * Host.Segment);
        using var reader = new OtherThread(host);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        _ = host.Attach(1);
        reader.Write(9 * Host.Page); // stays inside, and may store
        long before = host.Inside.Epochs.GracePeriods;
        ulong[] final = new ulong[Pages / 64];
        int status = -1;
        var deletion = new Thread(() => status = host.SetSlot(1, 0, 0, 0, final));
        deletion.Start();
        Assert.That(SpinWait.SpinUntil(() => host.Inside.Epochs.GracePeriods > before, 2000));
        reader.Do(() => host.Memory[9 * Host.Page] = 1);
        reader.Leave();
        deletion.Join();
        Assert.That(status, Is.Zero);
        Assert.That(Host.PagesOf(final), Is.EqualTo(new[] { 9 }));
    }
}
