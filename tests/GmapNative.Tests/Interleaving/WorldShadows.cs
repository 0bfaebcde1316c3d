using System.Buffers.Binary;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>Which shadow of a world: each has tables of its own.</summary>
internal enum Inner
{
    /// <summary>The guest's guest.</summary>
    First,

    /// <summary>The first one's guest.</summary>
    Second,

    /// <summary>A guest's guest without tables.</summary>
    Real,
}

/// <summary>
/// Nested guests: tables in pages 256 to 261, which threads rewrite, and stores through shadows. A store goes where the tables lead at that
/// very moment: whoever rewrites an entry waits for those who use it, before the store that rewrites.
/// </summary>
internal sealed unsafe partial class World
{
    /// <summary>The first shadow's table of segments: [1] pages of <see cref="PageTable"/>, [2] the first segment as a leaf.</summary>
    public const int SegmentTable = 256;

    public const int PageTable = 257;

    private const int SecondsSegments = 260; // page 16 of the first shadow's segment 1
    private const int SecondsPages = 261; // page 17
    private const ulong Invalid = 0x20;
    private const ulong PageInvalid = 0x400;
    private const ulong FormatControl = 0x400;

    private readonly Dictionary<Inner, ShadowSpace> _shadows = [];
    private readonly Dictionary<(int, ShadowSpace), View> _innerViews = [];
    private readonly HashSet<int> _gone = [];

    /// <summary>Where stores of inner guests may end.</summary>
    public int[] InnerPages { get; } = [3, 7, PageTable, 515];

    /// <summary>The address of a page of an inner guest.</summary>
    public static ulong InnerAddress(Inner space, int page, bool leaf) =>
        ((space == Inner.Real ? 0UL : leaf ? 2UL : 1UL) * TestSpace.Segment) + AddressOf(page);

    /// <summary>The bytes of an entry; the caller may write there.</summary>
    public static void Plant(int page, int index, ulong entry) =>
        BinaryPrimitives.WriteUInt64BigEndian(new System.Span<byte>(Word(0, page) + index, sizeof(ulong)), entry); // memory of the test

    /// <summary>The tables, before anybody runs; slot 2 has them.</summary>
    public void PlantTables()
    {
        Set(Slot(2, 256, Pages - 256));
        Plant(SegmentTable, 1, AddressOf(PageTable));
        Plant(SegmentTable, 2, FormatControl);
        (int, int)[] entries = [(3, 3), (4, 515), (7, 7), (9, PageTable), (16, SecondsSegments), (17, SecondsPages)];
        foreach ((int index, int page) in entries)
        {
            Plant(PageTable, index, AddressOf(page));
        }
        Plant(SecondsSegments, 1, TestSpace.Segment + AddressOf(17));
        Plant(SecondsPages, 3, TestSpace.Segment + AddressOf(3));
        Plant(SecondsPages, 4, TestSpace.Segment + AddressOf(4));
    }

    /// <summary>Opens a shadow that stays open, and the threads' views of it.</summary>
    public void OpenShadow(Inner space)
    {
        int status = Open(space, out ShadowSpace? shadow);
        if (status != Status.Ok)
        {
            Fail($"open of {space}: {status}");
            return;
        }
        _shadows.Add(space, shadow!);
        foreach (Actor actor in Actors)
        {
            _ = OpenInnerView(actor, shadow!);
        }
    }

    public int Open(Inner space, out ShadowSpace? shadow)
    {
        var below = space == Inner.Second ? _shadows[Inner.First].Space : Test.Space;
        ulong asce = space switch
        {
            Inner.First => AddressOf(SegmentTable),
            Inner.Second => TestSpace.Segment + AddressOf(16),
            _ => 0x20,
        };
        return ShadowFamily.Open(below, asce, (uint)EdatLevel.One, out shadow);
    }

    public ShadowSpace ShadowOf(Inner space) => _shadows[space];

    public View InnerViewOf(Actor actor, ShadowSpace shadow) => _innerViews[(actor.Index, shadow)];

    public View OpenInnerView(Actor actor, ShadowSpace shadow)
    {
        nint words = Test.Engine.Control.TryAllocate();
        var view = new View(words, shadow.Space.Words, ViewWords.InlineVersion, Test.Engine.ClosedSpace) { Vcpu = (ulong)words };
        shadow.Space.Epochs.Register(view);
        _innerViews[(actor.Index, shadow)] = view;
        return view;
    }

    public void CloseInnerView(Actor actor, ShadowSpace shadow)
    {
        _ = _innerViews.Remove((actor.Index, shadow), out View? view);
        view!.Close(Test.Engine.ClosedSpace);
        shadow.Space.Epochs.Unregister(view);
    }

    /// <summary>The page at a host address; it must be where the tables lead now.</summary>
    public int CheckLeads(Inner space, ulong address, nint host)
    {
        int page = (int)(((ulong)host - (ulong)Word(0, 0)) / TestSpace.Page);
        int expected = LeadsTo(space, address);
        if (page != expected)
        {
            Fail($"{space}: {address:x} is page {expected}, and was page {page}");
        }
        return page;
    }

    /// <summary>By the book, and nothing of the engine's. -1: nowhere.</summary>
    public static int LeadsTo(Inner space, ulong address)
    {
        if (space == Inner.Real)
        {
            return (int)(address / TestSpace.Page);
        }
        ulong top = space == Inner.First ? AddressOf(SegmentTable) : AddressOf(SecondsSegments); // of the second: it is not moved
        ulong segment = Entry(top + (address / TestSpace.Segment * 8));
        if ((segment & Invalid) != 0)
        {
            return -1;
        }
        if (space == Inner.First && (segment & FormatControl) != 0)
        {
            return (int)(((segment & ~(TestSpace.Segment - 1)) + (address % TestSpace.Segment)) / TestSpace.Page);
        }
        ulong table = segment & ~0x7FFUL;
        int at = space == Inner.First ? (int)(table / TestSpace.Page) : LeadsTo(Inner.First, table);
        ulong page = at < 0 ? PageInvalid : Entry(AddressOf(at) + (address % TestSpace.Segment / TestSpace.Page * 8));
        return (page & PageInvalid) != 0 ? -1
            : space == Inner.First ? (int)(page / TestSpace.Page) : LeadsTo(Inner.First, page & ~(TestSpace.Page - 1));
    }

    /// <summary>A call that takes a page away has returned.</summary>
    public void Took(int page) => _gone.Add(page);

    /// <summary>And nothing has mapped it again.</summary>
    public bool IsGone(int page) => _gone.Contains(page) && !IsWritable(page) && !IsReadable(page);

    private bool IsReadable(int page)
    {
        var outcome = default(GmapNative.Space.FaultOutcome);
        var mapped = new GmapNative.Space.MappedAccess(Test.Space.Tree);
        return mapped.TryResolve(AddressOf(page), write: false, ref outcome);
    }

    private static ulong Entry(ulong address) =>
        BinaryPrimitives.ReverseEndianness(Volatile.Read(ref *(ulong*)((byte*)Word(0, 0) + address))); // memory of the test

    private void CloseShadows()
    {
        foreach (Actor actor in Actors)
        {
            foreach (ShadowSpace shadow in _shadows.Values)
            {
                CloseInnerView(actor, shadow);
            }
        }
        foreach (Inner space in (Inner[])[Inner.Second, Inner.First, Inner.Real])
        {
            if (_shadows.Remove(space, out ShadowSpace? shadow) && shadow.Family.Close(shadow) != Status.Ok)
            {
                Fail($"close of {space}");
            }
        }
        for (int page = SegmentTable; page <= SecondsPages; page++)
        {
            new System.Span<ulong>(Word(0, page), 512).Clear();
        }
    }
}
