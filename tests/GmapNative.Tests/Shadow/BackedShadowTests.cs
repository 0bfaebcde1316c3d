using System;
using GmapNative.Backing;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;
using static GmapNative.Tests.Shadow.NestedGuest;

namespace GmapNative.Tests.Shadow;

/// <summary>Nothing of a slot whose entries are not the truth is shadowed, neither memory nor tables (rules 21 and 35).</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
public sealed class BackedShadowTests(bool pgstes) : FormatFixture(pgstes)
{
    private const uint MemorySlot = 2;
    private const ulong Segments = 0x10000;
    private const ulong Pages = 0x20000;
    private const ulong Memory = 16 * Segment;

    /// <summary>Every kind that there is (GMAP_BACKING_*).</summary>
    public enum Kind
    {
        Asynchronous,
        Synchronous,
        Missing,
        UserfaultfdMissing,
    }

    /// <summary>Tables in one slot, the inner guest's memory in the other; one gets a backing, before or during the fault.</summary>
    [Test]
    public void A_fault_that_needs_it_is_refused([Values] Kind kind, [Values] bool tables, [Values] bool meanwhile)
    {
        AssumeThereIs(kind);
        using var guest = new NestedGuest();
        using var memory = new GuestMemory(Segment);
        guest.Root.Set(
            new SlotRequest { Id = MemorySlot, GuestAddress = Memory, Size = Segment, HostAddress = memory.Start, LogDirty = true });
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Memory);
        guest.Plant(Pages + 8, 4 * Segment); // of the slot of the tables
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        foreach (ulong page in (ulong[])[Segments, Memory]) // so that there are bytes to arm
        {
            Assert.That(guest.Root.Protect(page, Page, All, NotifyFlags.Change), Is.Zero);
            Assert.That(guest.Root.Protect(page, Page, All, NotifyFlags.Change | NotifyFlags.Cancel), Is.Zero);
        }
        if (!tables)
        {
            Assert.That(guest.Read(shadow, Segment + Page), Is.EqualTo(4L * (long)Segment), "the tables are armed and graced");
        }
        Func<int> detach = () => 1;
        int attached = 1;
        void Attach(Place place)
        {
            if (place == Place.RootResolved && attached == 1)
            {
                attached = AttachTo(guest, tables ? SlotId : MemorySlot, kind, lacksAll: false, out detach);
                guest.SplitRoot(0); // mapped anew, by pages, with the backing: what is armed is not missing there
                guest.SplitRoot(Memory);
                _ = (guest.Root.Read(Segments), guest.Root.Read(Pages), guest.Root.Read(Memory));
            }
        }
        if (meanwhile)
        {
            Probe.Visitor = Attach;
        }
        else
        {
            Attach(Place.RootResolved);
        }
        Assert.That(guest.Try(shadow, Segment, Access.Read, out _), Is.EqualTo(Status.NotSupported));
        Probe.Visitor = null;
        Assert.That((attached, IsMapped(shadow, Segment)), Is.EqualTo((0, false)));
        Slot slot = guest.Root.Space.Map.ById(tables ? SlotId : MemorySlot)!;
        Assert.That(guest.Root.Space.Watches.Knows(slot.GuestAddress, slot.End), Is.False, "nothing of it is armed");
        Assert.That(detach(), Is.Zero);
        Assert.That(guest.Try(shadow, Segment, Access.Read, out _), Is.Zero, "without its backing");
        guest.Check();
        guest.Root.Set(new SlotRequest { Id = MemorySlot, GuestAddress = Memory, Size = 0 });
    }

    /// <summary>What is still to come is not waited for either: no shadow wants it.</summary>
    [Test]
    public void Pages_that_are_to_come_are_refused(
        [Values(Kind.Missing, Kind.UserfaultfdMissing)] Kind kind, [Values] bool write)
    {
        AssumeThereIs(kind);
        using var guest = new NestedGuest();
        using var memory = new GuestMemory(Segment);
        guest.Root.Set(
            new SlotRequest { Id = MemorySlot, GuestAddress = Memory, Size = Segment, HostAddress = memory.Start, LogDirty = true });
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, Memory);
        guest.Plant(Pages + 8, 4 * Segment);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        Assert.That(AttachTo(guest, MemorySlot, kind, lacksAll: true, out Func<int> detach), Is.Zero);
        int status = guest.Try(shadow, Segment, write ? Access.Write : Access.Read, out FaultOutcome outcome);
        Assert.That(status, Is.EqualTo(Status.NotSupported));
        Assert.That((outcome.Reason, IsMapped(shadow, Segment)), Is.EqualTo((FaultReason.None, false)), "not said to be missing");
        Assert.That(guest.Read(shadow, Segment + Page), Is.EqualTo(4L * (long)Segment), "its neighbour lies in another slot");
        guest.Check();
        Assert.That(detach(), Is.EqualTo(Status.Busy), "they are missing still");
        guest.Root.Set(new SlotRequest { Id = MemorySlot, GuestAddress = Memory, Size = 0 });
    }

    [Test]
    public void A_slot_gets_no_backing_while_something_of_it_is_shadowed([Values] Kind kind)
    {
        using var guest = new NestedGuest();
        guest.PlantEmptySegments(Segments);
        guest.PlantSegment(Segments, 1, Pages, 4 * Segment);
        ShadowSpace shadow = guest.Open(SegmentAsce(Segments));
        _ = guest.Read(shadow, Segment);
        Assert.That(AttachTo(guest, SlotId, kind, lacksAll: true, out _), Is.EqualTo(Status.Busy));
        Assert.That((IsMapped(shadow, Segment), guest.Root.Space.Map.ById(SlotId)!.IsPlain), Is.EqualTo((true, true)), "nothing changed");
        guest.Check();
    }

    private static void AssumeThereIs(Kind kind) =>
        Assume.That(kind == Kind.Missing || Userfaultfd.IsAvailable, "no asynchronous userfaultfd here");

    /// <summary>A status, and what ends it. Pages that are to come: none, so that the slot's can be mapped, or all.</summary>
    private static unsafe int AttachTo(NestedGuest guest, uint slot, Kind kind, bool lacksAll, out Func<int> detach)
    {
        AddressSpace space = guest.Root.Space;
        if (kind is Kind.Missing or Kind.UserfaultfdMissing)
        {
            ulong[] words = new ulong[(space.Map.ById(slot)!.Pages + 63) / 64];
            Array.Fill(words, lacksAll ? ulong.MaxValue : 0);
            fixed (ulong* bitmap = words)
            {
                int status = MissingCalls.Attach(
                    space, slot, stops: kind == Kind.UserfaultfdMissing, bitmap, (ulong)words.Length, out MissingPages? missing);
                detach = () => MissingCalls.Detach(space, missing!);
                return status;
            }
        }
        var request = new BackingRequest(Synchronous: kind == Kind.Synchronous, -1, false);
        int attached = BackingCalls.Attach(space, slot, request, out ISlotBacking? backing);
        detach = () => BackingCalls.Detach(space, backing!);
        return attached;
    }
}
