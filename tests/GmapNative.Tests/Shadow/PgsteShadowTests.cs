using GmapNative.Bits;
using GmapNative.Shadow;
using GmapNative.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// A root with PGSTEs: they are the host's, whatever shadows do with the page (rule 32), and changing them is nothing that shadows see.
/// <see cref="ShadowTests"/> run for both formats.
/// </summary>
[TestFixture]
internal sealed class PgsteShadowTests
{
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong Frames = 4 * Segment;
    private const ulong KeyAndNotify = Pgste.AccessKeyMask | Pgste.FetchProtection | Pgste.NotifyMarker | Pgste.ShadowMarker
        | Pgste.GuestChanged | Pgste.GuestReferenced;

    private static readonly ulong[] s_pages = [Segments, Pages, Frames, Frames + Page];

    private static NestedGuest Make(SplitPolicy policy = SplitPolicy.Lazy) => new(policy: policy, pgstes: true);

    private static ShadowSpace OpenSimple(NestedGuest guest)
    {
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        return guest.Open(SegmentAsce(Segments));
    }

    private static void SetAll(NestedGuest guest)
    {
        foreach (ulong page in s_pages)
        {
            Assert.That(Pgstes.Update(guest.Root.Space, page, KeyAndNotify, KeyAndNotify, out _), Is.Zero);
        }
    }

    private static void AllAreAsSet(NestedGuest guest, string after)
    {
        foreach (ulong page in s_pages)
        {
            ulong found = 0;
            Assert.That(guest.Root.Call(() => Pgstes.Get(guest.Root.Space, page, out found)), Is.Zero);
            Assert.That(found, Is.EqualTo(KeyAndNotify), $"{page:x} {after}");
        }
        guest.Check();
    }

    [Test]
    public void Keys_and_notify_bits_outlast_all_that_shadows_do()
    {
        using NestedGuest guest = Make();
        ShadowSpace shadow = OpenSimple(guest);
        SetAll(guest);
        Assert.That((guest.Read(shadow, Segment), guest.Write(shadow, Segment + Page)), Is.EqualTo(((long)Frames, (long)(Frames + Page))));
        AllAreAsSet(guest, "after tables and memory were armed");
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)((Frames / Page) + 1) }));
        Assert.That(IsMapped(shadow, Segment + Page, write: true), Is.False);
        AllAreAsSet(guest, "after a harvest took the right away");
        Assert.That(guest.Store(Pages, Frames + Page), Is.Zero);
        Assert.That(IsMapped(shadow, Segment), Is.False);
        AllAreAsSet(guest, "after a table was written");
        Assert.That(guest.Write(shadow, Segment), Is.EqualTo((long)(Frames + Page)));
        Assert.That(RangeCalls.Unmap(guest.Root.Space, Frames, Segment, out _), Is.Zero);
        Assert.That(RangeCalls.Unmap(guest.Root.Space, 0, Segment, out _), Is.Zero);
        Assert.That((shadow.Tables.Entries, shadow.Family.Hangs.Count), Is.EqualTo((0UL, 0)));
        AllAreAsSet(guest, "after memory and tables were unmapped");
        Assert.That(guest.Write(shadow, Segment), Is.EqualTo((long)(Frames + Page)));
        AllAreAsSet(guest, "after they were mapped anew");
    }

    [Test]
    public void Changing_a_PGSTE_takes_nothing_of_a_shadow_away_and_makes_nothing_dirty()
    {
        using NestedGuest guest = Make();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Frames / Page) }));
        _ = guest.Write(shadow, Segment);
        SetAll(guest);
        Assert.That(IsMapped(shadow, Segment, write: true));
        AllAreAsSet(guest, "where shadows had armed first");
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Frames / Page) }), "what the inner guest wrote, and no more");
        Assert.That(guest.Store(Pages, 0x400), Is.Zero);
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo(-Status.PageTranslation), "tables are still watched");
        guest.Check();
    }

    /// <summary>A PGSTE that is not zero wants a page table: the leaf that a shadow maps in one piece is split below it.</summary>
    [Test]
    public void A_leaf_that_a_PGSTE_splits_below_a_shadow_stays_tracked()
    {
        using NestedGuest guest = Make();
        guest.PlantEmptySegments(Segments);
        guest.Plant(Segments + 8, Frames | 0x400); // FC: 1 MB at Frames
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        Assert.That(guest.Try(shadow, Segment, Access.Read, out FaultOutcome outcome), Is.Zero);
        Assert.That(outcome.LeafSize, Is.EqualTo(Segment));
        SetAll(guest);
        AllAreAsSet(guest, "after the split");
        Assert.That(guest.Read(shadow, Segment + (9 * Page)), Is.EqualTo((long)(Frames + (9 * Page))));
        Assert.That(guest.Write(shadow, Segment + (9 * Page)), Is.EqualTo((long)(Frames + (9 * Page))));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)((Frames / Page) + 9) }));
        Assert.That(IsMapped(shadow, Segment + (9 * Page), write: true), Is.False);
        _ = guest.Read(shadow, Segment + (9 * Page));
        Assert.That(RangeCalls.Unmap(guest.Root.Space, Frames + (9 * Page), Page, out _), Is.Zero);
        Assert.That(IsMapped(shadow, Segment + (9 * Page)), Is.False);
        AllAreAsSet(guest, "after a part was unmapped");
    }
}
