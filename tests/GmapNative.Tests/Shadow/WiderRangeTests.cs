using System.Threading;
using System.Threading.Tasks;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// What hangs on one page of tables goes with a range that others describe a part of: their pages stay armed until nobody uses what was
/// made of them (rule 36). An inner vcpu is inside meanwhile.
/// </summary>
internal sealed class WiderRangeTests
{
    private const ulong Segments = 8 * Segment;
    private const ulong Pages = Segments + 0x10000;
    private const ulong Frames = 2 * Segment;
    private const ulong OtherFrames = 4 * Segment;
    private const int PatienceMilliseconds = 100;

    public enum Way
    {
        Unmap,
        Discard,
        Store,
        Room,
        TimedOut,
    }

    [Test]
    public void A_table_below_is_not_written_while_who_may_use_it_is_inside([Values] Way way)
    {
        using var guest = new NestedGuest(graceTimeout: way == Way.TimedOut ? 2_000_000UL : 0);
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        ShadowSpace other = guest.Open(RealSpaceAsce);
        using var inner = new InsideVcpu(guest, shadow, Segment);
        Task taker = Run(() => Assert.That(Take(guest, shadow, other, way), Is.EqualTo(way == Way.TimedOut ? Status.TimedOut : 0)));
        Assert.That(SpinWait.SpinUntil(() => !IsMapped(shadow, Segment), 10_000), Is.True, "emptied, and not over");
        if (way == Way.TimedOut)
        {
            taker.Wait();
        }
        View outer = guest.Root.OpenView(); // a vcpu of its own: the other one may be in the fault that waits
        int answer = int.MinValue;
        Task writer = Run(() =>
        {
            answer = guest.Root.Fault(outer, Pages, Access.Write, out _);
            outer.Leave();
        });
        bool early = writer.Wait(PatienceMilliseconds) && answer == 0;
        inner.Leave();
        Task.WaitAll(taker, writer);
        guest.Root.CloseView(outer);
        Assert.That(early, Is.False, "granted while the inner vcpu may use what the table says");
        Assert.That(answer, Is.AnyOf(0, way == Way.TimedOut ? Status.TimedOut : 0));
        Assert.That(guest.Store(Pages, OtherFrames), Is.Zero);
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo((long)OtherFrames));
        guest.Check();
    }

    private static Task Run(System.Action body) => Task.Factory.StartNew(body, TaskCreationOptions.LongRunning);

    private static int Take(NestedGuest guest, ShadowSpace shadow, ShadowSpace other, Way way) => way switch
    {
        Way.Discard => RangeCalls.Discard(guest.Root.Space, Segments, Page, out _),
        Way.Store => guest.Store(Segments + (2 * 8), 0x20),
        Way.Room => shadow.Family.TryEmptyOldest(other, out _) ? 0 : Status.NoMemory,
        _ => RangeCalls.Unmap(guest.Root.Space, Segments, Page, out _),
    };
}
