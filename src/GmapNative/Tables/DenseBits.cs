using System;
using System.Runtime.Intrinsics.X86;
using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// One bit for each page that a segment table maps: written since it was last taken (rule 26). Four words a segment, 64 KB in a block of
/// the pool that lives as long as the segment table; address 0: there are none.
/// </summary>
internal readonly unsafe struct DenseBits(ulong origin)
{
    public const int WordPages = 64;
    public const int SegmentWords = GuestAddress.PageTableEntries / WordPages;
    public const int Bytes = GuestAddress.TableEntries * SegmentWords * sizeof(ulong);

    public ulong Origin => origin;

    /// <summary>The bits of one segment of the table.</summary>
    public DenseSegment Segment(int index) => new((ulong*)origin + (index * SegmentWords));

    /// <summary>The first word in first..end-1 that is not zero, or <paramref name="end"/>.</summary>
    public int Next(int first, int end)
    {
        int found = new ReadOnlySpan<ulong>((ulong*)origin + first, end - first).IndexOfAnyExcept(0UL);
        return found < 0 ? end : first + found;
    }

    /// <summary>Words for plain loads and stores: while nobody else changes them. In a section.</summary>
    public Span<ulong> Words(int first, int count) => new((ulong*)origin + first, count);

    /// <summary>Clears the bits of an unlinked table.</summary>
    public void Initialize()
    {
        if (origin != 0)
        {
            new Span<byte>((void*)origin, Bytes).Clear(); // a block of the pool that nobody else can see
        }
    }
}

/// <summary>The dense bits of one segment: four words. Valid like <see cref="PageTable"/>.</summary>
internal readonly unsafe struct DenseSegment(ulong* words)
{
    private readonly ulong* _words = words; // inside a block of dense bits, whose segment table is not reused before a grace

    public bool IsSet(int page) => (Load(page / DenseBits.WordPages) & BitOf(page)) != 0;

    /// <summary>Sets a page's bit, by a locked instruction only where it is clear; true if this call did.</summary>
    public bool Set(int page)
    {
        ref ulong word = ref _words[page / DenseBits.WordPages];
        if ((Volatile.Read(ref word) & BitOf(page)) != 0)
        {
            return false;
        }
        Probe.At(Place.DenseTested);
        bool set = (Interlocked.Or(ref word, BitOf(page)) & BitOf(page)) == 0;
        Probe.At(Place.DenseSet);
        return set;
    }

    /// <summary>Brings them near.</summary>
    public void Prefetch()
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_words);
        }
    }

    public ulong Load(int word) => Volatile.Read(ref _words[word]);

    public void Clear(int word, ulong pages) => Interlocked.And(ref _words[word], ~pages);

    private static ulong BitOf(int page) => 1UL << (page % DenseBits.WordPages);
}
