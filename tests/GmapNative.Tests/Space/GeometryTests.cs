using System;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// Slots of any page-aligned geometry, when every page was touched: a leaf wherever one fits, 4 KB pages at the ragged edges, and in the
/// entries of everything else the guest's program-interruption code, which no slot is asked for. Where the host's memory lies, and
/// in pages of what size, is nothing to it: of this one nothing exists.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class GeometryTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong Host = 1UL << 40;
    private const int Segments = 12;

    private readonly record struct Place(SlotRequest Slot)
    {
        public ulong End => Slot.GuestAddress + Slot.Size;

        /// <summary>The words of gmap.h, by themselves: inside, and both addresses agree modulo 1 MB.</summary>
        public bool HasLeafAt(ulong segment) => segment >= Slot.GuestAddress && segment + Segment <= End
            && Slot.GuestAddress % Segment == Slot.HostAddress % Segment;
    }

    [Test]
    public void Each_address_is_mapped_as_large_as_can_be_or_tells_its_code([Range(1, 60)] int seed)
    {
        var random = new Random(seed);
        ulong start = seed % 3 == 0 ? TwoGigabytes - (6 * Segment) : 0; // over the border of two segment tables
        using var test = new TestSpace(new SpaceOptions
        {
            Limit = (4 * TwoGigabytes) - 1,
            Policy = (SplitPolicy)random.Next(3),
            ByGeneration = seed % 5 == 0,
        });
        List<Place> places = Make(random, start);
        places.ForEach(place => test.Set(place.Slot));
        for (ulong at = start; at < start + (Segments * Segment); at += Page)
        {
            int status = test.Fault(at, Access.Read, out FaultOutcome outcome);
            Place? place = PlaceOf(places, at);
            Assert.That(status, Is.EqualTo(place is null ? Status.Addressing : 0), $"{at:x}");
            Assert.That(outcome.Reason, Is.EqualTo(place is null ? FaultReason.NoSlot : FaultReason.None));
        }
        for (ulong at = start; at < start + (Segments * Segment); at += Page)
        {
            Look(test, at, PlaceOf(places, at));
        }
        test.Check();
    }

    /// <summary>A slot that is published, and of which the tables know nothing yet, is not found: it is not looked for.</summary>
    [Test]
    public void Hole_answers_without_the_slots()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = (4 * TwoGigabytes) - 1 });
        test.Set(new SlotRequest { Id = 1, GuestAddress = Page, Size = Page, HostAddress = Host });
        Assert.That(test.Fault(Page, Access.Read, out _), Is.Zero); // a table, and holes around
        SlotMap before = test.Space.Map;
        SlotMap after = before;
        ulong[] holes = [0, 2 * Page, 7 * Segment, 3 * TwoGigabytes]; // in a page table, a segment table, a region table
        for (int i = 0; i < holes.Length; i++)
        {
            after = after.With(new Slot((uint)(2 + i), holes[i], Page, Host + holes[i], IsReadOnly: false));
        }
        test.Space.Publish(after);
        foreach (ulong hole in holes)
        {
            Assert.That(test.Fault(hole, Access.Write, out FaultOutcome outcome), Is.EqualTo(Status.Addressing), $"{hole:x}");
            Assert.That(outcome.Reason, Is.EqualTo(FaultReason.NoSlot));
        }
        test.Space.Publish(before);
        test.Check();
    }

    /// <summary>What the tables alone say of an address.</summary>
    private static void Look(TestSpace test, ulong at, Place? place)
    {
        if (!test.Space.Tree.TryFindCell(at, out SegmentCell cell))
        {
            Assert.That(test.Space.Tree.TryLoadRegion(at, out RegionEntry region), Is.True);
            Assert.That((place, region.Value), Is.EqualTo(((Place?)null, 0x0001_0005_0000_0024UL)), $"{at:x}");
            return;
        }
        SegmentEntry entry = cell.Load();
        Assert.That(entry.IsLeaf, Is.EqualTo(place?.HasLeafAt(at & ~(Segment - 1)) ?? false), $"{at:x}");
        if (entry.IsLeaf)
        {
            Assert.That(entry.Frame + (at % Segment), Is.EqualTo(HostOf(place, at)), $"{at:x}");
        }
        else if (entry.IsTable)
        {
            PageEntry page = new PageTable(entry.TableOrigin).Load(GuestAddress.PageIndex(at));
            Assert.That(page.IsPresent ? page.Frame : page.Value, Is.EqualTo(HostOf(place, at) ?? 0x0001_0005_0000_0400UL), $"{at:x}");
        }
        else
        {
            Assert.That((place, entry.Value), Is.EqualTo(((Place?)null, 0x0001_0005_0000_0020UL)), $"{at:x}");
        }
    }

    private static ulong? HostOf(Place? place, ulong at) => place?.Slot.HostAddress + (at - place?.Slot.GuestAddress);

    private static Place? PlaceOf(List<Place> places, ulong at) =>
        places.FindIndex(place => at >= place.Slot.GuestAddress && at < place.End) is >= 0 and var index ? places[index] : null;

    /// <summary>One behind the other, with holes or without, of a page or of segments; the host agrees modulo 1 MB, or not.</summary>
    private static List<Place> Make(Random random, ulong start)
    {
        List<Place> places = [];
        ulong end = start + (Segments * Segment);
        for (ulong at = start + Pages(random, 300); at < end; at += Pages(random, random.Next(3) == 0 ? 600 : 3))
        {
            at = random.Next(3) == 0 ? Math.Min(end - Page, (at + Segment - 1) & ~(Segment - 1)) : at;
            ulong size = Math.Min(end - at, Page + Pages(random, random.Next(2) == 0 ? 1000 : 40));
            ulong host = Host + ((ulong)random.Next(64) * Segment) + (random.Next(3) == 0 ? Pages(random, 256) : at % Segment);
            places.Add(new(new SlotRequest
            {
                Id = (uint)places.Count,
                GuestAddress = at,
                Size = size,
                HostAddress = host,
                LogDirty = random.Next(2) == 0,
                ReadOnly = random.Next(4) == 0,
            }));
            at += size;
        }
        return places;
    }

    private static ulong Pages(Random random, int most) => (ulong)random.Next(most) * Page;
}
