using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>Builds page tables that are not linked yet, with plain stores.</summary>
internal static unsafe class PageTableBuilder
{
    /// <summary>The child of a split: 256 pages with the parent's frame, rights and state (rule 16).</summary>
    public static void FillFromLeaf(nint table, SegmentEntry leaf) =>
        FillPages(table, 0, GuestAddress.PageTableEntries, PageEntry.OfSplit(leaf));

    /// <summary>Pages with consecutive frames and the state of the first.</summary>
    public static void FillPages(nint table, int firstPage, int count, PageEntry first) =>
        FillPages(table, firstPage, count, first, table);

    /// <summary>The same; <paramref name="ahead"/> is the table that is filled soon, for the cache.</summary>
    public static void FillPages(nint table, int firstPage, int count, PageEntry first, nint ahead)
    {
        // A page table of the pool that nobody else can see: 2 KB, aligned; the run ends inside it.
        EntryRuns.Fill((ulong*)table + firstPage, count, first.Value, GuestAddress.PageSize, (ulong*)ahead + firstPage);
    }

    /// <summary>A table for a segment that cannot be a leaf: pages of slots are empty, the others holes.</summary>
    public static void FillFromTokens(nint table, ulong segmentBase, ITokenSource tokens)
    {
        for (int i = 0; i < GuestAddress.PageTableEntries;)
        {
            ulong address = segmentBase + ((ulong)i << GuestAddress.PageShift);
            int run = tokens.RunOf(address, GuestAddress.PageShift, GuestAddress.PageTableEntries - i, out bool hasSlot);
            PageEntry token = hasSlot ? PageEntry.Empty : PageEntry.Hole(Status.Addressing);
            new Span<ulong>((ulong*)table + i, run).Fill(token.Value); // as above
            i += run;
        }
    }

    public static PageEntry TokenOf(ulong address, ITokenSource tokens) =>
        tokens.HasSlot(address, GuestAddress.PageSize) ? PageEntry.Empty : PageEntry.Hole(Status.Addressing);
}

/// <summary>Runs of entries that differ by one frame each, in tables that are not linked yet.</summary>
internal static unsafe class EntryRuns
{
    private const int Turn = 8; // a cache line

    /// <summary>
    /// Fills <paramref name="count"/> entries of a table that nobody else can see, and brings as many at <paramref name="ahead"/> near.
    /// </summary>
    public static void Fill(ulong* entries, int count, ulong first, ulong step, ulong* ahead)
    {
        int whole = count & ~(Turn - 1);
        if (whole != 0 && Vector256.IsHardwareAccelerated)
        {
            Fill256(entries, whole, first, step, ahead);
        }
        else if (whole != 0)
        {
            Fill128(entries, whole, first, step, ahead);
        }
        for (int i = whole; i < count; i++)
        {
            entries[i] = first + ((ulong)i * step);
        }
    }

    private static void Fill256(ulong* entries, int count, ulong first, ulong step, ulong* ahead)
    {
        Vector256<ulong> a = Vector256.Create(first, first + step, first + (2 * step), first + (3 * step));
        Vector256<ulong> b = a + Vector256.Create(4 * step);
        Vector256<ulong> eight = Vector256.Create(8 * step);
        for (int i = 0; i < count; i += Turn)
        {
            Ask(ahead + i);
            a.Store(entries + i);
            b.Store(entries + i + 4);
            a += eight;
            b += eight;
        }
    }

    private static void Fill128(ulong* entries, int count, ulong first, ulong step, ulong* ahead)
    {
        Vector128<ulong> a = Vector128.Create(first, first + step);
        Vector128<ulong> two = Vector128.Create(2 * step);
        Vector128<ulong> eight = Vector128.Create(8 * step);
        Vector128<ulong> b = a + two;
        Vector128<ulong> c = b + two;
        Vector128<ulong> d = c + two;
        for (int i = 0; i < count; i += Turn)
        {
            Ask(ahead + i);
            a.Store(entries + i);
            b.Store(entries + i + 2);
            c.Store(entries + i + 4);
            d.Store(entries + i + 6);
            a += eight;
            b += eight;
            c += eight;
            d += eight;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Ask(ulong* entry)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(entry); // faults nowhere
        }
    }
}
