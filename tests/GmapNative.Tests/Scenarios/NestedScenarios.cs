using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using GmapNative.Tests.Shadow;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Scenarios;

/// <summary>Shadows whose tables and memory change while they are built, with chosen winners (rules 34 to 36).</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class NestedScenarios(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong OtherPages = 0x21000;
    private const ulong Frames = 4 * Segment;

    [Test]
    [Property("Scenario", 31)]
    public void S31_AFaultWhoseTablesChangedBelowItBeginsAgain()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Read(shadow, Segment); // all is armed
        View view = guest.OpenView(shadow);
        ulong led = 0;
        using (var fault = new HeldThread(Place.GuestWalked, () => led = ReadBy(guest, shadow, view, Segment + (3 * Page))))
        {
            Assert.That(guest.Store(Pages + 24, Frames + (9 * Page)), Is.Zero);
            fault.GoOn();
        }
        Assert.That(led, Is.EqualTo(guest.Host + Frames + (9 * Page)), "not where it had been led before");
        guest.Check();
        guest.CloseView(shadow, view);
        Assert.That(guest.Store(Pages + 24, Frames + (10 * Page)), Is.Zero);
        Assert.That(IsMapped(shadow, Segment + (3 * Page)), Is.False, "it hung on its table");
    }

    [Test]
    [Property("Scenario", 32)]
    public void S32_AStoreThatTakesItsOwnShadowApartIsBuiltAllTheSame()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        guest.PlantSegment(Segments, 2, OtherPages, Frames);
        guest.Plant(Pages + 16, OtherPages); // page 2 of segment 1 is the table of segment 2
        _ = guest.Read(shadow, 2 * Segment);
        Assert.That(guest.Write(shadow, Segment + (2 * Page)), Is.EqualTo((long)OtherPages));
        Assert.That((IsMapped(shadow, 2 * Segment), IsMapped(shadow, Segment + (2 * Page), write: true)), Is.EqualTo((false, true)));
        guest.Check();
        Assert.That(guest.Read(shadow, 2 * Segment), Is.EqualTo((long)Frames));
        Assert.That(IsMapped(shadow, Segment + (2 * Page), write: true), Is.False, "a table again");
        guest.Check();
    }

    [Test]
    [Property("Scenario", 33)]
    public void S33_ATableTwoBelowThatChangesDuringABuildIsSeen()
    {
        using var guest = new NestedGuest();
        ShadowSpace first = OpenSimple(guest);
        ShadowSpace second = OpenSecond(guest, first);
        _ = guest.Read(second, Segment);
        View view = guest.OpenView(second);
        ulong led = 0;
        using (var fault = new HeldThread(Place.GuestWalked, () => led = ReadBy(guest, second, view, Segment + (3 * Page))))
        {
            Assert.That(guest.Store(Pages + (67 * 8), Frames + (99 * Page)), Is.Zero); // the page that the second guest's page 3 is
            fault.GoOn();
        }
        Assert.That(led, Is.EqualTo(guest.Host + Frames + (99 * Page)));
        guest.Check();
        guest.CloseView(second, view);
        guest.Close(second);
    }

    [Test]
    [Property("Scenario", 34)]
    public void S34_AFaultOnAShadowThatWasEmptiedBuildsItAnew()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        ShadowSpace other = guest.Open(RealSpaceAsce);
        _ = guest.Read(shadow, Segment);
        View view = guest.OpenView(shadow);
        ulong led = 0;
        using (var fault = new HeldThread(Place.GuestWalked, () => led = ReadBy(guest, shadow, view, Segment + (3 * Page))))
        {
            Assert.That(shadow.Family.TryEmptyOldest(other, out _), Is.True);
            Assert.That((shadow.Tables.Entries, shadow.Family.Hangs.Count), Is.EqualTo((0UL, 0)));
            Assert.That(shadow.Family.Close(shadow), Is.EqualTo(Status.Busy), "a vcpu is in it");
            fault.GoOn();
        }
        Assert.That(led, Is.EqualTo(guest.Host + Frames + (3 * Page)));
        guest.Check();
        guest.CloseView(shadow, view);
    }

    [Test]
    [Property("Scenario", 37)]
    public void S37_AnEntryThatIsThereForReadingIsMadeAnewForAStore()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        _ = guest.Read(shadow, Segment);
        Assert.That((IsMapped(shadow, Segment), IsMapped(shadow, Segment, write: true)), Is.EqualTo((true, false)));
        Assert.That(guest.Write(shadow, Segment), Is.EqualTo((long)Frames));
        Assert.That(IsMapped(shadow, Segment, write: true));
        Assert.That(guest.Store(Pages, Frames | 0x200), Is.Zero);
        Assert.That((guest.Read(shadow, Segment), guest.Write(shadow, Segment)), Is.EqualTo(((long)Frames, -(long)Status.Protection)));
        Assert.That(guest.Store(Pages, Frames), Is.Zero);
        Assert.That(guest.Write(shadow, Segment), Is.EqualTo((long)Frames));
        guest.Check();
    }

    /// <summary>Every level of the longest walk.</summary>
    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(4)]
    [Property("Scenario", 38)]
    public void S38_AStoreIntoTheTableOfAnyLevelIsSeen(int level)
    {
        using var guest = new NestedGuest();
        ulong[] tables = [0x100000, 0x110000, 0x120000, 0x130000, Pages]; // region-first to page
        for (int i = 0; i < 3; i++)
        {
            guest.Plant(tables[i] + 8, tables[i + 1] | ((ulong)(3 - i) << 2) | 3); // TL: all of it
        }
        guest.Plant(tables[3] + 8, Pages);
        guest.Plant(Pages + 8, Frames);
        ulong address = (1UL << 53) | (1UL << 42) | (1UL << 31) | Segment | Page;
        ShadowSpace shadow = guest.Open(tables[0] | 0xC | 3);
        Assert.That(guest.Read(shadow, address), Is.EqualTo((long)Frames));
        Assert.That(guest.Store(tables[level] + 8, level == 4 ? 0x400UL : 0x20), Is.Zero);
        Assert.That(IsMapped(shadow, address), Is.False);
        Assert.That(guest.Read(shadow, address), Is.Negative);
        guest.Check();
    }

    [Test]
    [Property("Scenario", 39)]
    public void S39_ARealSpaceHasOneShadowAndNoTables()
    {
        using var guest = new NestedGuest();
        ShadowSpace real = guest.Open(RealSpaceAsce);
        Assert.That(guest.Open(RealSpaceAsce | 0x7000 | 0xC), Is.SameAs(real), "origin and type say nothing");
        Assert.That(guest.Write(real, Frames + 8), Is.EqualTo((long)Frames + 8));
        Assert.That((real.Family.Hangs.CountOf(HangKind.Table), real.Family.Hangs.CountOf(HangKind.Memory)), Is.EqualTo((0, 1)));
        Assert.That(guest.Read(real, 64 * Segment), Is.EqualTo(-(long)Status.Addressing));
        guest.Check();
    }

    /// <summary>Whoever asks while another vcpu runs in it gets the same, or another's, and waits for nobody.</summary>
    [Test]
    [Property("Scenario", 39)]
    public void S39_ASecondRealSpaceComesWhileAVcpuRunsInTheFirst()
    {
        using var guest = new NestedGuest(mostShadows: 2);
        ShadowSpace first = guest.Open(RealSpaceAsce);
        View inside = guest.OpenView(first);
        Assert.That(ReadBy(guest, first, inside, Frames), Is.EqualTo(guest.Host + Frames));
        inside.Owner = -1; // as if it were another thread's
        inside.Enter();
        View view = guest.OpenView(first);
        ulong led = 0;
        using (var fault = new HeldThread(Place.GuestWalked, () => led = ReadBy(guest, first, view, Frames + Segment)))
        {
            Assert.That(guest.Open(RealSpaceAsce | 0x5000 | 8), Is.SameAs(first), "one is inside, one is in a fault");
            ShadowSpace second = guest.Open(RealSpaceAsce, EdatLevel.Two);
            Assert.That(second, Is.Not.SameAs(first), "another facility");
            Assert.That(ShadowFamily.Open(guest.Root.Space, RealSpaceAsce, 0, out _), Is.EqualTo(Status.Busy));
            Assert.That(guest.Read(second, Frames + Segment), Is.EqualTo((long)(Frames + Segment)));
            Assert.That(IsMapped(first, Frames), "what the first has stays");
            fault.GoOn();
        }
        Assert.That(led, Is.EqualTo(guest.Host + Frames + Segment));
        inside.Leave();
        guest.Check();
        Assert.That(guest.Write(first, Frames + 8), Is.EqualTo((long)Frames + 8));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Frames / Page) }));
        guest.CloseView(first, view);
        guest.CloseView(first, inside);
    }

    /// <summary>Tables whose last entries lead to the last page of all: no address is above it, and no loop wraps.</summary>
    [Test, CancelAfter(20_000)]
    [Property("Scenario", 43)]
    public void S43_TheLastAddressOfAllLeadsThroughAShadow()
    {
        using var guest = new NestedGuest();
        ulong[] tables = [0x100000, 0x110000, 0x120000, 0x130000, Pages]; // region-first to page
        for (int i = 0; i < 4; i++)
        {
            guest.Plant(tables[i] + (0x7FF * 8), i == 3 ? Pages : tables[i + 1] | ((ulong)(3 - i) << 2) | 3);
        }
        guest.Plant(Pages + (0xFF * 8), Frames);
        ShadowSpace shadow = guest.Open(tables[0] | 0xC | 3);
        Assert.That(guest.Read(shadow, ulong.MaxValue), Is.EqualTo((long)Frames + 0xFFF));
        Assert.That(guest.Write(shadow, ulong.MaxValue - 7), Is.EqualTo((long)Frames + 0xFF8));
        Assert.That(IsMapped(shadow, ulong.MaxValue, write: true));
        Assert.That(shadow.Faults.Translate(ulong.MaxValue, Access.Write, out FaultOutcome outcome), Is.Zero);
        Assert.That(outcome.HostAddress, Is.EqualTo(guest.Host + Frames + 0xFFF));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Frames / Page) }));
        Assert.That(guest.Read(shadow, ulong.MaxValue - Page), Is.EqualTo(0xFFFL), "an entry of zeros leads to page 0");
        guest.Check();
        Assert.That(guest.Store(Pages + (0xFF * 8), 0x400), Is.Zero);
        Assert.That(IsMapped(shadow, ulong.MaxValue), Is.False, "it hung on its table");
        Assert.That(guest.Read(shadow, ulong.MaxValue), Is.EqualTo(-(long)Status.PageTranslation));
        guest.Check();
    }

    [Test]
    [Property("Scenario", 40)]
    public void S40_OnlyThePageThatIsWrittenBecomesDirty()
    {
        using var guest = new NestedGuest();
        ShadowSpace first = OpenSimple(guest);
        ShadowSpace second = OpenSecond(guest, first);
        _ = guest.Read(second, Segment + (3 * Page));
        _ = guest.Read(first, Segment + Page);
        Assert.That(guest.Root.Harvest(SlotId), Is.Empty, "reads, and the tables of both");
        Assert.That(guest.Write(second, Segment + (3 * Page)), Is.EqualTo((long)(Frames + (67 * Page))));
        int page = (int)((Frames / Page) + 67);
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { page }));
        _ = guest.Read(first, Segment + (67 * Page)); // the same page, clean in the root
        Assert.That((IsMapped(first, Segment + (67 * Page), write: true), guest.Root.Harvest(SlotId).Length), Is.EqualTo((false, 0)));
        Assert.That(guest.Write(first, Segment + (67 * Page)), Is.EqualTo((long)(Frames + (67 * Page))));
        Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { page }));
        guest.Check();
        guest.Close(second);
    }

    [Test]
    [Property("Scenario", 45)]
    public void S45_ATableThatIsUsedAtTwoLevelsAndRewritesItself()
    {
        using var guest = new NestedGuest();
        guest.PlantEmptySegments(Segments);
        guest.Plant(Segments + 8, Segments); // as a segment entry: the page table is the segment table; as a page entry: its own page
        guest.Plant(Segments + 40, Frames);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments), EdatLevel.None);
        Assert.That(guest.Read(shadow, Segment + (5 * Page)), Is.EqualTo((long)Frames));
        for (ulong i = 1; i < 20; i++)
        {
            Assert.That(guest.Try(shadow, Segment + Page + 40, Access.Write, out FaultOutcome outcome), Is.Zero);
            Assert.That((outcome.HostAddress, outcome.Rights), Is.EqualTo((guest.Host + Segments + 40, Access.None)));
            guest.Plant(Segments + 40, Frames + (i * Page));
            Assert.That(guest.Read(shadow, Segment + (5 * Page)), Is.EqualTo((long)(Frames + (i * Page))));
            Assert.That(guest.Root.Harvest(SlotId), Is.EqualTo(new[] { (int)(Segments / Page) }), "the table, and nothing else");
        }
        guest.Check();
    }

    [Test]
    [Property("Scenario", 47)]
    public void S47_AnAsceThatComesBackFindsItsShadowAndNothingStale()
    {
        using var guest = new NestedGuest();
        ShadowSpace shadow = OpenSimple(guest);
        guest.PlantSegment(Segments, 2, OtherPages, Frames);
        _ = guest.Read(shadow, 2 * Segment);
        _ = guest.Read(shadow, Segment + Page);
        guest.Close(shadow);
        ShadowSpace other = guest.Open(SegmentAsce(Segments), EdatLevel.Two);
        Assert.That((other, IsMapped(other, Segment)), Is.Not.EqualTo((shadow, true)), "another EDAT, another shadow");
        Assert.That(guest.Store(Pages + 8, Frames + (9 * Page)), Is.Zero, "while nobody has it open");
        guest.Close(other);
        Assert.That(guest.Open(SegmentAsce(Segments)), Is.SameAs(shadow));
        Assert.That((IsMapped(shadow, 2 * Segment), IsMapped(shadow, Segment + Page)), Is.EqualTo((true, false)));
        Assert.That(guest.Read(shadow, Segment + Page), Is.EqualTo((long)(Frames + (9 * Page))));
        guest.Check();
    }

    internal static ShadowSpace OpenSimple(NestedGuest guest)
    {
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Frames);
        return guest.Open(SegmentAsce(Segments));
    }

    /// <summary>The guest's guest has tables in its pages 0 and 8, and maps its guest's page i to its page 64 + i.</summary>
    internal static ShadowSpace OpenSecond(NestedGuest guest, ShadowSpace first)
    {
        guest.PlantEmptySegments(Frames);
        guest.Plant(Frames + 8, Segment + (8 * Page));
        for (ulong page = 0; page < 256; page++)
        {
            guest.Plant(Frames + (8 * Page) + (page * 8), page < 16 ? Segment + ((page + 64) * Page) : 0x400);
        }
        return guest.Open(SegmentAsce(Segment), below: first);
    }

    /// <summary>On the calling thread, which the view becomes: where a load ends.</summary>
    private static ulong ReadBy(NestedGuest guest, ShadowSpace shadow, View view, ulong address)
    {
        view.Owner = View.CurrentThread;
        view.EnterCall();
        int status = shadow.Space.Faults.Resolve(view, address, Access.Read, View.CurrentThread, out FaultOutcome outcome);
        view.LeaveCall();
        view.Leave();
        return status == 0 ? outcome.HostAddress : guest.Host;
    }
}
