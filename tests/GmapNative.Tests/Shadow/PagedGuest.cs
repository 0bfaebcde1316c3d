using System;
using System.Buffers.Binary;
using System.Threading;
using GmapNative.Shadow;
using GmapNative.Space;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// A guest with a guest, which has one too: where their tables and their memory are in the root, and where an address of theirs leads by
/// what the tables say at that moment.
/// </summary>
internal sealed unsafe class PagedGuest : IDisposable
{
    public const int Pages = 64; // that each of the two inner guests uses, all in its segment 1
    public const int FirstFrame = 1024; // four segments of frames
    public const int Frames = 1024;

    /// <summary>Page table entries of the first guest, two tables that its segment entry is changed between.</summary>
    public const ulong FirstTables = 0x20000;

    private const ulong FirstSegments = 0x10000;
    private const ulong SecondSegments = 0x30000;
    private const ulong SecondTables = 0x31000; // two, for the same page of the first guest
    private const int SegmentsPage = 200; // of the first guest, where the second's tables are
    private const int TablesPage = 201;

    public PagedGuest(Freezing? freezing = null)
    {
        Guest = new NestedGuest(mostShadows: 3, freezing: freezing);
        Guest.PlantEmptySegments(FirstSegments);
        Guest.PlantEmptySegments(SecondSegments);
        for (int table = 0; table < 2; table++)
        {
            Guest.PlantSegment(FirstSegments, 1, FirstTables + ((ulong)table * Page), FirstFrame * Page, Pages);
            Guest.Plant(FirstTables + ((ulong)table * Page) + (SegmentsPage * 8), SecondSegments);
            Guest.Plant(FirstTables + ((ulong)table * Page) + (TablesPage * 8), SecondTables);
            for (int page = 0; page < 256; page++)
            {
                ulong frame = Segment + ((ulong)page * Page);
                Guest.Plant(SecondTables + ((ulong)table * Page) + ((ulong)page * 8), page < Pages ? frame : Invalid);
            }
        }
        Guest.Plant(SecondSegments + 8, Segment + (TablesPage * Page));
        First = Guest.Open(NestedGuest.SegmentAsce(FirstSegments));
        Second = Guest.Open(NestedGuest.SegmentAsce(Segment + (SegmentsPage * Page)), below: First);
    }

    public static ulong Invalid => 0x400;

    public NestedGuest Guest { get; }

    public ShadowSpace First { get; }

    public ShadowSpace Second { get; }

    public ulong Host => Guest.Host;

    /// <summary>The entry of a page of the first guest, in one of its tables, and a frame for it.</summary>
    public static (ulong At, ulong Entry) AnyFirst(Random random)
    {
        ulong at = FirstTables + ((ulong)random.Next(2) * Page) + ((ulong)random.Next(Pages) * 8);
        ulong frame = (ulong)(FirstFrame + random.Next(Frames)) * Page;
        return (at, random.Next(8) == 0 ? Invalid : random.Next(8) == 0 ? frame | 0x200 : frame);
    }

    /// <summary>Another table for the first guest's segment.</summary>
    public static (ulong At, ulong Entry) AnySegment(Random random) => (FirstSegments + 8, FirstTables + ((ulong)random.Next(2) * Page));

    /// <summary>Another page for the second guest's table.</summary>
    public static (ulong At, ulong Entry) AnyMove(Random random) =>
        (FirstTables + ((ulong)random.Next(2) * Page) + (TablesPage * 8), SecondTables + ((ulong)random.Next(2) * Page));

    /// <summary>The entry of a page of the second guest, by its address in the first, and a page of the first for it.</summary>
    public static (ulong At, ulong Entry) AnySecond(Random random) =>
        (Segment + (TablesPage * Page) + ((ulong)random.Next(Pages) * 8),
            random.Next(8) == 0 ? Invalid : Segment + ((ulong)random.Next(Pages) * Page));

    public static ulong AddressOf(int page) => Segment + ((ulong)page * Page);

    /// <summary>Where in the root an address leads; -1: nowhere.</summary>
    public long LeadsTo(ShadowSpace shadow, ulong address)
    {
        bool first = shadow == First;
        if (shadow != Second && !first)
        {
            return (long)address; // real
        }
        ulong segment = Entry(first ? FirstSegments : SecondSegments, address / Segment); // the second's is not moved
        long table = first ? (long)segment : LeadsTo(First, segment);
        ulong entry = table < 0 ? Invalid : Entry((ulong)table, address % Segment / Page);
        ulong real = (entry & ~(Page - 1)) | (address % Page);
        return (entry & Invalid) != 0 ? -1 : first ? (long)real : LeadsTo(First, real);
    }

    /// <summary>Guest memory of the test.</summary>
    private ulong Entry(ulong table, ulong index) =>
        BinaryPrimitives.ReverseEndianness(Volatile.Read(ref *(ulong*)(Host + table + (index * 8))));

    public void Dispose() => Guest.Dispose();
}
