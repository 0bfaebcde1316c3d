using System;
using System.Threading.Tasks;
using GmapNative.Bits;
using GmapNative.Shadow;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>A guest's guest without translation: its addresses are those of the space below, however far that comes to reach.</summary>
internal sealed class RealSpaceTests
{
    private const ulong Thirds = 8 * Segment;
    private const ulong Segments = Thirds + 0x4000;
    private const ulong Pages = Thirds + 0x10000;
    private const ulong Frames = 2 * Segment;
    private const ulong Far = 2 * TwoGigabytes; // beyond what a segment table reaches
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    /// <summary>The space below is a shadow itself, whose guest has addresses that the root has not.</summary>
    [Test]
    public void Over_a_shadow_it_reaches_as_far_as_that()
    {
        using var guest = new NestedGuest();
        ShadowSpace below = guest.Open(PlantFarPages(guest));
        ShadowSpace real = guest.Open(RealSpaceAsce, below: below);
        Assert.That(Soon(() => guest.Write(real, Far + Page)), Is.EqualTo((long)(Frames + Page)));
        Assert.That(Soon(() => guest.Read(real, Far + (7 * Page))), Is.EqualTo((long)(Frames + (7 * Page))));
        Assert.That(IsMapped(real, Far + Page, write: true), Is.True);
        guest.Check();
        Assert.That(guest.Store(Pages + 8, Frames + (9 * Page)), Is.Zero, "the guest's table, which both hang on");
        Assert.That(IsMapped(real, Far + Page), Is.False);
        Assert.That(guest.Read(real, Far + Page), Is.EqualTo((long)(Frames + (9 * Page))));
        guest.Check();
    }

    /// <summary>The root grows while it is there: past each kind of top, with one real space on another.</summary>
    [Test]
    public void It_grows_with_the_root([Values(TableType.RegionThird, TableType.RegionSecond, TableType.RegionFirst)] TableType top)
    {
        using var guest = new NestedGuest();
        ShadowSpace real = guest.Open(RealSpaceAsce);
        ShadowSpace above = guest.Open(RealSpaceAsce, below: real);
        Assert.That(guest.Write(above, Frames), Is.EqualTo((long)Frames));
        ulong far = Asce.SpanOf(top - 1);
        Assert.That(guest.Root.Space.SetLimit(far + TwoGigabytes - 1), Is.Zero);
        var slot = guest.TheSlot with { Id = 9, GuestAddress = far };
        guest.Root.Set(slot);
        Assert.That(Soon(() => guest.Write(above, far + (5 * Page))), Is.EqualTo((long)(5 * Page)), "the same memory, by another slot");
        Assert.That(Soon(() => guest.Read(real, far)), Is.Zero);
        Assert.That(IsMapped(above, Frames, write: true), Is.True, "what was mapped stays");
        guest.Check();
        Assert.That(guest.Root.Harvest(9), Is.EqualTo(new[] { 5 }));
        Assert.That(IsMapped(above, far + (5 * Page), write: true), Is.False);
        guest.Root.Set(slot with { Size = 0 });
        Assert.That(IsMapped(real, far), Is.False);
        guest.Check();
    }

    /// <summary>Larger tops count for <c>shadow_bytes</c>: where there is no room, it says so, and what is mapped stays.</summary>
    [Test]
    public void Its_top_is_counted()
    {
        using var guest = new NestedGuest(shadowBytes: 80 << 10);
        ShadowSpace real = guest.Open(RealSpaceAsce);
        Assert.That(guest.Write(real, Frames), Is.EqualTo((long)Frames));
        ulong far = Asce.SpanOf(TableType.RegionSecond);
        Assert.That(guest.Root.Space.SetLimit(far + TwoGigabytes - 1), Is.Zero);
        guest.Root.Set(guest.TheSlot with { Id = 9, GuestAddress = far });
        Assert.That(Soon(() => guest.Read(real, far)), Is.EqualTo(-Status.NoMemory));
        guest.Check();
        Assert.That(guest.Write(real, Frames), Is.EqualTo((long)Frames));
        guest.Root.Set(guest.TheSlot with { Id = 9, GuestAddress = far, Size = 0 });
        guest.Check();
    }

    /// <summary>Tables of a guest for the 2 GB from <see cref="Far"/> on: its first segment. The ASCE.</summary>
    private static ulong PlantFarPages(NestedGuest guest)
    {
        for (ulong index = 0; index < 512; index++)
        {
            guest.Plant(Thirds + (index * 8), 0x24); // invalid
        }
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 0, Pages, Frames);
        guest.Plant(Thirds + (Far / TwoGigabytes * 8), Segments | 0x4 | 0x3);
        return Thirds | 0x4;
    }

    private static long Soon(Func<long> access)
    {
        Task<long> done = Task.Factory.StartNew(access, TaskCreationOptions.LongRunning);
        Assert.That(done.Wait(s_patience), Is.True, "the fault comes to no end");
        return done.Result;
    }
}
