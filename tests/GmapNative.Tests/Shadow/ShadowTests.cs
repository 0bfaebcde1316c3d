using System.Threading.Tasks;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Statistics;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>Rules 34 to 36: what shadows map, what takes it away, and that nothing is lost.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
public sealed class ShadowTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong Frames = 4 * Segment;

    private static ShadowSpace OpenSimple(NestedGuest guest, ulong bits = 0)
    {
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames, bits: bits);
        return guest.Open(SegmentAsce(Segments));
    }

    [Test]
    public void Reads_and_writes_end_where_the_tables_lead([Values] bool logs)
    {
        using var guest = new NestedGuest(logs: logs);
        ShadowSpace shadow = OpenSimple(guest);
        Assert.That(guest.Read(shadow, Segment + (5 * Page) + 0x678), Is.EqualTo(Frames + (5 * Page) + 0x678));
        Assert.That(IsMapped(shadow, Segment + (5 * Page)));
        Assert.That(guest.Write(shadow, Segment + (6 * Page)), Is.EqualTo(Frames + (6 * Page)));
        Assert.That(IsMapped(shadow, Segment + (6 * Page), write: true));
        Assert.That(guest.Read(shadow, 2 * Segment), Is.EqualTo(-Status.SegmentTranslation));
        guest.Check();
    }

    [Test]
    public void A_write_dirties_the_root_once_and_a_harvest_takes_the_right_away()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        int page = (int)((Frames / Page) + 6);
        Assert.That(guest.Root.Harvest(SlotId), Is.Empty);
        Assert.That(guest.Write(shadow, Segment + (6 * Page)), Is.EqualTo(page * (long)Page));
        Assert.That(guest.Write(shadow, Segment + (6 * Page)), Is.EqualTo(page * (long)Page));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { page }));
        Assert.That(IsMapped(shadow, Segment + (6 * Page), write: true), Is.False);
        Assert.That(guest.Root.Harvest(SlotId), Is.Empty);
        Assert.That(guest.Write(shadow, Segment + (6 * Page)), Is.EqualTo(page * (long)Page));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { page }));
        guest.Check();
    }

    [Test]
    public void A_store_to_a_table_takes_away_what_hung_on_it_and_no_more()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        guest.PlantSegment(Segments, 2, Pages + 0x1000, Frames + Segment);
        _ = guest.Read(shadow, Segment);
        _ = guest.Read(shadow, 2 * Segment);
        Assert.That(guest.Store(Pages, (Frames + (9 * Page)) | 0), Is.Zero);
        Assert.That((IsMapped(shadow, Segment), IsMapped(shadow, 2 * Segment)), Is.EqualTo((false, true)));
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo(Frames + (9 * Page)));
        Assert.That(guest.Store(Segments + 16, 0x20), Is.Zero);
        Assert.That((IsMapped(shadow, Segment), IsMapped(shadow, 2 * Segment)), Is.EqualTo((false, false)));
        Assert.That(guest.Read(shadow, 2 * Segment), Is.EqualTo(-Status.SegmentTranslation));
        guest.Check();
    }

    [Test]
    public void Unmapping_memory_or_tables_takes_entries_away()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        _ = guest.Write(shadow, Segment + Page);
        Assert.That(RangeCalls.Unmap(guest.Root.Space, Frames, Page, out _), Is.Zero);
        Assert.That((IsMapped(shadow, Segment), IsMapped(shadow, Segment + Page)), Is.EqualTo((false, true)));
        guest.Check();
        Assert.That(RangeCalls.Unmap(guest.Root.Space, Segments, Page, out _), Is.Zero);
        Assert.That(IsMapped(shadow, Segment + Page), Is.False);
        Assert.That(guest.Write(shadow, Segment), Is.EqualTo((long)Frames));
        guest.Check();
    }

    [Test]
    public void A_leaf_on_a_leaf_stays_a_leaf_and_a_page_on_a_leaf_splits_the_root([Values] bool logs)
    {
        using var guest = new NestedGuest(logs: logs);
        guest.PlantEmptySegments(Segments);
        guest.Plant(Segments + 8, Frames | 0x400); // FC: 1 MB at Frames
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        Assert.That(guest.Try(shadow, Segment + (7 * Page), Access.Read, out FaultOutcome outcome), Is.Zero);
        Assert.That(outcome.LeafSize, Is.EqualTo(Segment));
        guest.Check();
        Assert.That(guest.Try(shadow, Segment + (7 * Page), Access.Write, out outcome), Is.Zero);
        Assert.That(outcome.LeafSize, Is.EqualTo(logs ? Page : Segment), "a logging root splits for the first store");
        guest.Check();
    }

    [Test]
    public void Policy_never_refuses_what_would_split_the_root()
    {
        using var guest = new NestedGuest(policy: SplitPolicy.Never);
        ShadowSpace shadow = OpenSimple(guest);
        Assert.That(guest.Try(shadow, Segment, Access.Read, out _), Is.EqualTo(Status.NotSupported));
        ShadowSpace real = guest.Open(RealSpaceAsce);
        Assert.That(guest.Try(real, Segment + 8, Access.Write, out FaultOutcome outcome), Is.Zero);
        Assert.That((outcome.LeafSize, outcome.HostAddress), Is.EqualTo((Segment, guest.Host + Segment + 8)));
        guest.Check();
    }

    [Test]
    public void Protection_of_the_guest_is_the_inner_guests_condition()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest, bits: 0x200);
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo((long)Frames));
        Assert.That(guest.Try(shadow, Segment, Access.Write, out FaultOutcome outcome), Is.EqualTo(Status.Protection));
        Assert.That((outcome.Reason, outcome.Depth, outcome.TableAddress), Is.EqualTo((FaultReason.GuestTables, 0u, Pages)));
        Assert.That(guest.Root.Harvest(SlotId), Is.Empty, "nothing was written");
        guest.Check();
    }

    [Test]
    public void What_the_host_forbids_of_memory_or_tables_is_the_spaces_below([Values(Frames, Pages)] ulong page)
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        Assert.That(guest.Root.Protect(page, Page, Protection.None, NotifyFlags.None), Is.Zero);
        Assert.That(guest.Try(shadow, Segment, Access.Read, out FaultOutcome outcome), Is.EqualTo(Status.Protection));
        Assert.That((outcome.Depth, outcome.Reason), Is.EqualTo((1u, FaultReason.Protected)));
        Assert.That(IsMapped(shadow, Segment), Is.False);
        guest.Check();
    }

    [Test]
    public void Memory_outside_of_the_slots_is_addressing_and_tables_too()
    {
        using var guest = new NestedGuest(segments: 16);
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, 32 * Segment);
        guest.Plant(Segments + 16, 40 * Segment);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        Assert.That((guest.Read(shadow, Segment), guest.Read(shadow, 2 * Segment)), Is.EqualTo((-5L, -5L)));
        Assert.That(guest.Try(shadow, Segment, Access.Read, out FaultOutcome faulted), Is.EqualTo(Status.Addressing));
        Assert.That(shadow.Faults.Translate(Segment, Access.Read, out FaultOutcome translated), Is.EqualTo(Status.Addressing));
        Assert.That((faulted.Depth, faulted.Reason), Is.EqualTo((1u, FaultReason.NoSlot)), "of the space below");
        Assert.That((translated.Depth, translated.Reason), Is.EqualTo((1u, FaultReason.NoSlot)), "and so a translation says");
        guest.Check();
    }

    [Test]
    public void A_store_into_the_tables_that_lead_to_it_goes_through_uncached()
    {
        using var guest = new NestedGuest();
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Pages & ~0xFFFUL); // page 0 of the segment is the page table itself
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo((long)Pages));
        Assert.That(guest.Root.Harvest(SlotId), Is.Empty);
        Assert.That(guest.Try(shadow, Segment + 8, Access.Write, out FaultOutcome outcome), Is.Zero);
        Assert.That((outcome.HostAddress, outcome.Rights), Is.EqualTo((guest.Host + Pages + 8, Access.None)));
        Assert.That(IsMapped(shadow, Segment, write: true), Is.False);
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Pages / Page) }));
        Assert.That(guest.Read(shadow, Segment), Is.EqualTo((long)Pages));
        guest.Check();
    }

    [Test]
    public void Shadows_of_shadows_combine_all_tables()
    {
        using var guest = new NestedGuest();
        // The guest maps its guest's 1 MB at Segment to Frames; that one keeps tables there, and maps its own guest's to its page 64 on.
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        ShadowSpace first = guest.Open(SegmentAsce(Segments));
        ulong inner = Segment; // the second table of segments, an address of the first shadow: Frames in the root
        for (int i = 0; i < 512; i++)
        {
            guest.Plant(Frames + ((ulong)i * 8), 0x20);
        }
        guest.Plant(Frames + 8, inner + (8 * Page));
        for (int page = 0; page < 256; page++)
        {
            guest.Plant(Frames + (8 * Page) + ((ulong)page * 8), page < 16 ? inner + ((ulong)(page + 64) * Page) : 0x400);
        }
        ShadowSpace second = guest.Open(SegmentAsce(inner), below: first);
        Assert.That(guest.Write(second, Segment + (3 * Page) + 8), Is.EqualTo((long)(Frames + (67 * Page) + 8)));
        guest.Check();
        Assert.That(guest.Read(second, Segment + (20 * Page)), Is.EqualTo(-Status.PageTranslation));
        Assert.That(guest.Store(Pages + (67 * 8), 0x400), Is.Zero);
        Assert.That(IsMapped(second, Segment + (3 * Page)), Is.False, "a table two below was written");
        Assert.That(guest.Try(second, Segment + (3 * Page), Access.Read, out FaultOutcome outcome), Is.EqualTo(Status.PageTranslation));
        Assert.That((outcome.Depth, outcome.Reason), Is.EqualTo((1u, FaultReason.GuestTables)));
        Assert.That(guest.Read(second, Segment + (4 * Page)), Is.EqualTo((long)(Frames + (68 * Page))));
        Assert.That(guest.Write(first, Segment + (8 * Page)), Is.EqualTo((long)(Frames + (8 * Page))), "its guest writes its table");
        Assert.That(IsMapped(second, Segment + (4 * Page)), Is.False);
        guest.Check();
        guest.Close(second);
    }

    [Test]
    public void The_same_shadow_is_found_again_and_the_oldest_idle_one_is_dropped()
    {
        using var guest = new NestedGuest(mostShadows: 2);
        ShadowSpace one = OpenSimple(guest);
        Assert.That(guest.Open(SegmentAsce(Segments)), Is.SameAs(one));
        ShadowSpace other = guest.Open(SegmentAsce(Segments), EdatLevel.None);
        Assert.That(other, Is.Not.SameAs(one));
        _ = guest.Read(other, Segment);
        Assert.That(ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, 1, out _), Is.EqualTo(Status.Busy));
        guest.Close(other);
        ShadowSpace third = guest.Open(RealSpaceAsce);
        Assert.That(third.Family.Hangs.Count, Is.Zero, "what the dropped one had is gone");
        Assert.That(guest.Read(third, Segment), Is.EqualTo((long)Segment));
        guest.Check();
    }

    /// <summary>Who ends a space holds its configuration lock, and waits for all who stay.</summary>
    [Test]
    public void The_first_open_does_not_keep_a_space_from_its_end_while_it_waits_for_it()
    {
        using var guest = new NestedGuest();
        Task<int> opening;
        ShadowSpace? opened = null;
        bool free;
        using (guest.Root.Space.Configuration.Hold())
        {
            opening = Task.Run(() => ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, 1, out opened));
            System.Threading.Thread.Sleep(200); // it is at the lock by now; if not, this passes all the same
            free = Task.Run(guest.Root.Space.Stays.WaitForAll).Wait(5_000);
        }
        Assert.That(opening.Result, Is.Zero);
        Assert.That(opened!.Family.Close(opened), Is.Zero);
        Assert.That(free, "the end of the space would wait for ever");
    }

    [Test]
    public void Hosts_hear_of_what_they_armed_and_of_nothing_else()
    {
        using var guest = new NestedGuest();
        int heard = 0;
        Assert.That(Notify.NotifierOf(guest, () => heard++, out var notifier), Is.Zero);
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        _ = guest.Write(shadow, Segment + Page);
        Assert.That(guest.Root.Protect(Frames, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        Assert.That(guest.Root.Harvest(SlotId), Has.Length.EqualTo(2));
        Assert.That(heard, Is.EqualTo(1));
        Assert.That(guest.Store(Pages, 0x400), Is.Zero);
        Assert.That(heard, Is.EqualTo(1));
        Assert.That(notifier!.Unregister(), Is.Zero);
        guest.Check();
    }

    /// <summary>Its pages lose what is known of them before the grace that empties.</summary>
    [Test]
    public void Hosts_do_not_hear_of_what_went_with_its_slot()
    {
        using var guest = new NestedGuest();
        int heard = 0;
        Assert.That(Notify.NotifierOf(guest, () => heard++, out var notifier), Is.Zero);
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        guest.Root.Set(guest.TheSlot with { Size = 0 });
        Assert.That((heard, shadow.Tables.Entries, shadow.Family.Hangs.Count), Is.EqualTo((0, 0UL, 0)));
        guest.Root.Set(guest.TheSlot);
        _ = guest.Write(shadow, Segment);
        Assert.That(guest.Root.Protect(Frames, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        guest.Root.Set(guest.TheSlot with { Size = 0 });
        Assert.That(heard, Is.EqualTo(1), "what it armed itself");
        guest.Root.Set(guest.TheSlot);
        Assert.That(notifier!.Unregister(), Is.Zero);
        guest.Check();
    }

    /// <summary>Tables and memory are taken by one call; whichever is emptied first takes what hangs on the other along.</summary>
    [Test]
    public void Hosts_do_not_hear_of_what_went_with_its_table([Values] bool memoryFirst)
    {
        ulong segments = memoryFirst ? 8 * Segment : Segments;
        ulong pages = segments + 0x10000;
        using var guest = new NestedGuest();
        int heard = 0;
        Assert.That(Notify.NotifierOf(guest, () => heard++, out var notifier), Is.Zero);
        guest.PlantEmptySegments(segments);
        guest.PlantSegment(segments, 1, pages, Frames);
        ShadowSpace shadow = guest.Open(SegmentAsce(segments));
        for (ulong page = 0; page < 3; page++)
        {
            _ = guest.Write(shadow, Segment + (2 * page * Page));
        }
        Assert.That(RangeCalls.Unmap(guest.Root.Space, 0, 16 * Segment, out _), Is.Zero);
        Assert.That((heard, shadow.Tables.Entries, shadow.Family.Hangs.Count), Is.EqualTo((0, 0UL, 0)));
        _ = guest.Write(shadow, Segment);
        Assert.That(guest.Root.Protect(Frames, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        Assert.That(RangeCalls.Unmap(guest.Root.Space, 0, 16 * Segment, out _), Is.Zero);
        Assert.That(heard, Is.EqualTo(1), "what it armed itself");
        Assert.That(notifier!.Unregister(), Is.Zero);
        guest.Check();
    }

    [Test]
    public void Cancelling_what_shadows_need_does_not_take_it()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Write(shadow, Segment);
        NotifyFlags all = NotifyFlags.Change | NotifyFlags.Shadow | NotifyFlags.Write | NotifyFlags.Cancel;
        Assert.That(guest.Root.Protect(0, 16 * Segment, Protection.Read | Protection.Write, all), Is.Zero);
        guest.Check();
        Assert.That(guest.Root.Harvest(SlotId), Has.Length.EqualTo(1));
        Assert.That(IsMapped(shadow, Segment, write: true), Is.False);
        _ = guest.Read(shadow, Segment);
        Assert.That(guest.Store(Pages, 0x400), Is.Zero);
        Assert.That(IsMapped(shadow, Segment), Is.False);
    }

    [Test]
    [Covers("space." + nameof(SpaceStats.shadows), "space." + nameof(SpaceStats.shadow_entries),
        "space." + nameof(SpaceStats.shadow_bytes), "space." + nameof(SpaceStats.unshadows))]
    public void Figures_of_a_space_tell_of_its_shadows()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Read(shadow, Segment);
        _ = guest.Write(shadow, Segment + Page);
        SpaceStats stats = SpaceReport.Of(guest.Root.Space);
        Assert.That((stats.shadows, stats.shadow_entries, stats.unshadows), Is.EqualTo((1UL, 2UL, 0UL)));
        Assert.That(stats.shadow_bytes, Is.GreaterThanOrEqualTo((4UL << 10) + (32UL << 10)));
        _ = guest.Root.Harvest(SlotId);
        Assert.That(guest.Store(Pages, 0x400), Is.Zero);
        stats = SpaceReport.Of(guest.Root.Space);
        Assert.That((stats.shadow_entries, stats.unshadows), Is.EqualTo((0UL, 2UL)));
    }

    [Test]
    public void Figures_are_read_in_a_section_and_do_not_wait_for_the_family_lock()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        using (shadow.Family.Gate.Hold()) // as gmap_protect does while it waits for calls
        {
            Assert.That(Task.Run(() => guest.Root.Call(() => (int)SpaceReport.Of(guest.Root.Space).shadows)).Wait(10_000));
        }
    }

    [Test]
    public void What_shadows_take_is_bounded_and_the_oldest_is_emptied_first()
    {
        using var guest = new NestedGuest(shadowBytes: 256 << 10);
        ShadowSpace first = guest.Open(RealSpaceAsce);
        ShadowSpace second = guest.Open(RealSpaceAsce, EdatLevel.Two);
        _ = guest.Read(first, 0);
        for (ulong segment = 0; segment < 16; segment++)
        {
            guest.SplitRoot(segment * Segment);
            _ = guest.Write(second, segment * Segment);
        }
        Assert.That(guest.Root.Space.Shadows!.Count().Bytes, Is.LessThanOrEqualTo(256UL << 10));
        Assert.That(IsMapped(second, 15 * Segment, write: true));
        guest.Check();
    }

    private static class Notify
    {
        public static int NotifierOf(NestedGuest guest, System.Action heard, out GmapNative.Notify.Notifier? notifier) =>
            GmapNative.Notify.Notifier.TryRegister(guest.Root.Space, NotifyFlags.None, (_, _, _) => heard(), out notifier);
    }
}
