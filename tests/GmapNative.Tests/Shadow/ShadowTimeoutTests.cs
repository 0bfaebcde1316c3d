using GmapNative.Notify;
using GmapNative.Shadow;
using GmapNative.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>An inner vcpu that does not leave in time: nobody writes into the tables that it may be using (rule 36).</summary>
internal sealed class ShadowTimeoutTests
{
    private const ulong Segments = 8 * Segment;
    private const ulong Pages = Segments + 0x10000;
    private const ulong Frames = 2 * Segment;
    private const ulong Timeout = 2_000_000;

    [Test]
    public void A_table_is_not_written_while_who_may_use_it_is_inside([Values] bool unmaps, [Values] bool hostArms)
    {
        using var guest = new NestedGuest(graceTimeout: Timeout);
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        int heard = 0;
        AddressSpace root = guest.Root.Space;
        Assert.That(Notifier.TryRegister(root, NotifyFlags.None, (_, _, _) => heard++, out Notifier? notifier), Is.Zero);
        using var inner = new InsideVcpu(guest, shadow, Segment);
        if (hostArms)
        {
            const Protection All = Protection.Read | Protection.Write;
            Assert.That(guest.Root.Protect(Pages, Page, All, NotifyFlags.Shadow), Is.EqualTo(Status.TimedOut));
        }
        if (unmaps)
        {
            Assert.That(RangeCalls.Unmap(root, Pages, Page, out _), Is.EqualTo(Status.TimedOut));
        }
        for (int tries = 0; tries < 2; tries++)
        {
            Assert.That(guest.Store(Pages, Frames + Page), Is.EqualTo(Status.TimedOut), "it may be using the old entry");
        }
        Assert.That(heard, Is.EqualTo(hostArms && unmaps ? 1 : 0), "of the weaker mapping only: nobody wrote");
        inner.Leave();
        Assert.That(guest.Store(Pages, Frames + Page), Is.Zero);
        Assert.That(heard, Is.EqualTo(hostArms ? 1 : 0));
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo((long)(Frames + Page)));
        Assert.That(notifier!.Unregister(), Is.Zero);
        guest.Check();
    }
}
