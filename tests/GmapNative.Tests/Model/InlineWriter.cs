using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tests.Model;

/// <summary>What is wrong with a writer on purpose: the tests that use such a twin must find it.</summary>
internal enum WriterFlaw
{
    None,

    /// <summary>Stores, and only then grants the entry and sets the summary bit.</summary>
    StoreBeforeMark,

    /// <summary>Finds P = 0 and stores without looking at the summary bit (rule 1).</summary>
    NoSummaryForSecond,

    /// <summary>Finds the summary bit set and leaves the stripe's to whoever set it (rule 39).</summary>
    NoStripeForSecond,
}

/// <summary>
/// gmap_inline.h in C#, step by step: walks the tables with raw pointers, grants by compare-and-swap, sets the summary, stores.
/// </summary>
/// <param name="view">The words of the calling thread's view.</param>
/// <param name="pause">GMAP_INLINE_YIELD: called between the steps that others may interleave with.</param>
/// <param name="flaw">None, or what this twin does wrong.</param>
internal sealed unsafe class InlineWriter(nint view, Action? pause = null, WriterFlaw flaw = WriterFlaw.None)
{
    public const int Ask = 1;

    private const ulong Grantable = PageEntry.Present | PageEntry.Writable | PageEntry.Protect;
    private const ulong Decides = Grantable | PageEntry.Invalid | PageEntry.Markers;

    private readonly ViewWords* _words = (ViewWords*)view; // 128 bytes that live as long as the engine

    public InlineWriter(View view, Action? pause = null, WriterFlaw flaw = WriterFlaw.None)
        : this(view.Address, pause, flaw)
    {
    }

    public bool IsInside => (_words->Inside & 1) != 0;

    public void Enter()
    {
        Volatile.Write(ref _words->Inside, (_words->Inside | 1) + 2);
        if (_words->NeedFence != 0)
        {
            Interlocked.MemoryBarrier();
        }
        _words->Generation = Volatile.Read(ref Space->Generation);
        pause?.Invoke();
    }

    public void Leave()
    {
        pause?.Invoke();
        Volatile.Write(ref _words->Inside, (_words->Inside + 1) & ~1UL);
    }

    /// <summary>gmap_load_ptr for one page: 0 or <see cref="Ask"/>. In a section.</summary>
    public int Load(ulong address, out nint host)
    {
        ulong protect = 0;
        host = 0;
        ulong* segment = Segment(address, ref protect);
        if (segment is null)
        {
            return OfRegion(protect, RegionEntry.Invalid, address, out host);
        }
        ulong entry = Volatile.Read(ref *segment);
        if ((entry & SegmentEntry.Invalid) != 0)
        {
            return AskFor(address);
        }
        if ((entry & SegmentEntry.FormatControl) != 0)
        {
            host = OfLeaf(entry, address);
            return 0;
        }
        entry = Volatile.Read(ref *Page(entry, address));
        if ((entry & PageEntry.Invalid) != 0)
        {
            return AskFor(address);
        }
        host = OfPage(entry, address);
        return 0;
    }

    /// <summary>gmap_store_ptr for one page: the entry grants, the summary bit is set, then the caller may store.</summary>
    public int Store(ulong address, out nint host)
    {
        ulong protect = 0;
        host = 0;
        ulong* segment = Segment(address, ref protect);
        if (segment is null)
        {
            return OfRegion(protect, RegionEntry.Invalid | RegionEntry.Protect, address, out host);
        }
        ulong entry = Volatile.Read(ref *segment);
        if ((entry & SegmentEntry.Invalid) != 0 || ((protect | entry) & SegmentEntry.Protect) != 0)
        {
            return AskFor(address);
        }
        if ((entry & SegmentEntry.FormatControl) != 0)
        {
            Summarize(segment, address);
            host = OfLeaf(entry, address);
            return 0;
        }
        ulong* page = Page(entry, address);
        entry = Volatile.Read(ref *page);
        for (; ; )
        {
            pause?.Invoke();
            if ((entry & (PageEntry.Invalid | PageEntry.Protect)) == 0)
            {
                if (flaw == WriterFlaw.NoSummaryForSecond)
                {
                    host = OfPage(entry, address);
                    return 0;
                }
                break; // another writer was first
            }
            if ((entry & Decides) != Grantable)
            {
                return AskFor(address);
            }
            ulong granted = (entry & ~PageEntry.Protect) | PageEntry.Dirty | PageEntry.SoftDirty | PageEntry.Young;
            ulong before = Interlocked.CompareExchange(ref *page, granted, entry);
            if (before == entry)
            {
                _words->Granted++;
                break;
            }
            entry = before;
        }
        Summarize(segment, address);
        host = OfPage(entry, address);
        return 0;
    }

    /// <summary>
    /// A store of a word through the whole access path of a host, in a section: the fast path, and <paramref name="fault"/> where that
    /// asks. 0 or what the fault answers. <paramref name="stored"/> runs right after the store.
    /// </summary>
    public int Write(ulong address, ulong value, Func<ulong, int> fault, Action? stored = null)
    {
        for (; ; )
        {
            if (flaw == WriterFlaw.StoreBeforeMark && Load(address, out nint early) == 0)
            {
                Volatile.Write(ref *(ulong*)early, value);
                stored?.Invoke();
                pause?.Invoke();
            }
            int status = Store(address, out nint host);
            if (status == 0)
            {
                if (flaw != WriterFlaw.StoreBeforeMark)
                {
                    Volatile.Write(ref *(ulong*)host, value); // guest memory of the test, alive as long as its space
                    stored?.Invoke();
                }
                return 0;
            }
            status = fault(address);
            if (status != 0)
            {
                return status;
            }
        }
    }

    private SpaceWords* Space => (SpaceWords*)Volatile.Read(ref *(nint*)&_words->Space);

    private int AskFor(ulong address)
    {
        _words->AskAddress = address;
        return Ask;
    }

    private ulong* Segment(ulong address, ref ulong protect)
    {
        ulong asce = Volatile.Read(ref Space->Asce);
        var table = (ulong*)(asce & Asce.OriginMask);
        if ((asce & Asce.TypeMask) != 0)
        {
            int level = (int)((asce & Asce.TypeMask) >> 2);
            if (level < 3 && address >> (31 + (11 * level)) != 0)
            {
                return null;
            }
            for (; level != 0; level--)
            {
                ulong entry = Volatile.Read(ref table[(address >> (20 + (11 * level))) & 0x7FF]);
                protect |= level == 1 ? entry : entry & RegionEntry.Protect;
                if ((entry & (RegionEntry.Invalid | RegionEntry.FormatControl)) != 0)
                {
                    return null;
                }
                table = (ulong*)(entry & RegionEntry.OriginMask);
            }
        }
        else if (address >> 31 != 0)
        {
            return null;
        }
        return table + ((address >> 20) & 0x7FF);
    }

    /// <summary>The dense bit first where the space tracks by generation, then the summary bit, then its stripe's.</summary>
    private void Summarize(ulong* segment, ulong address)
    {
        ulong table = (ulong)segment & ~0x3FFFUL;
        if (_words->ByGeneration != 0)
        {
            ulong* dense = (ulong*)Volatile.Read(ref *(ulong*)(table + 0x6000)) + ((address >> 18) & 0x1FFF);
            ulong mark = 1UL << (int)((address >> 12) & 63);
            pause?.Invoke();
            if ((Volatile.Read(ref *dense) & mark) == 0)
            {
                _words->Granted += (Interlocked.Or(ref *dense, mark) & mark) == 0 ? 1UL : 0;
            }
        }
        uint* word = (uint*)(table + 0x4000) + ((address >> 20) & 0x7FF);
        uint bit = 1u << (int)((address >> 15) & 31);
        pause?.Invoke();
        bool isSet = (Volatile.Read(ref *word) & bit) != 0;
        if (!isSet)
        {
            Interlocked.Or(ref *word, bit);
        }
        pause?.Invoke();
        uint* stripes = (uint*)(table + 0x6040);
        uint stripe = 1u << (int)((address >> 26) & 31);
        if ((Volatile.Read(ref *stripes) & stripe) == 0 && !(isSet && flaw == WriterFlaw.NoStripeForSecond))
        {
            Interlocked.Or(ref *stripes, stripe);
            pause?.Invoke();
        }
    }

    /// <summary>By a 2 GB leaf, if that is what ends the way, and it has nothing of <paramref name="refuses"/> (rule 33).</summary>
    private int OfRegion(ulong entry, ulong refuses, ulong address, out nint host)
    {
        pause?.Invoke();
        bool leaf = (entry & (RegionEntry.FormatControl | refuses)) == RegionEntry.FormatControl;
        host = leaf ? (nint)((entry & RegionEntry.FrameMask) | (address & ~RegionEntry.FrameMask)) : 0;
        return leaf ? 0 : AskFor(address);
    }

    private static ulong* Page(ulong entry, ulong address) => (ulong*)(entry & SegmentEntry.TableOriginMask) + ((address >> 12) & 0xFF);

    private static nint OfLeaf(ulong entry, ulong address) =>
        (nint)((entry & SegmentEntry.FrameMask) | (address & ~SegmentEntry.FrameMask));

    private static nint OfPage(ulong entry, ulong address) =>
        (nint)((entry & PageEntry.FrameMask) | (address & ~PageEntry.FrameMask));
}
