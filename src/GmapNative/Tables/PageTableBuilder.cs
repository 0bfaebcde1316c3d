using System;
using System.Runtime.Intrinsics;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>Builds page tables that are not linked yet, with plain stores.</summary>
internal static unsafe class PageTableBuilder
{
    /// <summary>The child of a split: 256 pages with the parent's frame, rights and state (rule 16).</summary>
    public static void FillFromLeaf(nint table, SegmentEntry leaf)
    {
        // A page table of the pool that nobody else can see: 2 KB, aligned.
        ulong* entries = (ulong*)table;
        ulong first = PageEntry.OfSplit(leaf).Value;
        Vector256<ulong> next = Vector256.Create(first, first + 0x1000, first + 0x2000, first + 0x3000);
        Vector256<ulong> step = Vector256.Create(4 * GuestAddress.PageSize);
        for (int i = 0; i < GuestAddress.PageTableEntries; i += Vector256<ulong>.Count)
        {
            next.StoreAligned(entries + i);
            next += step;
        }
    }

    /// <summary>A table for a segment that cannot be a leaf: pages of slots are empty, the others holes.</summary>
    public static void FillFromTokens(nint table, ulong segmentBase, ITokenSource tokens)
    {
        var entries = new Span<ulong>((void*)table, GuestAddress.PageTableEntries); // as above
        for (int i = 0; i < entries.Length; i++)
        {
            entries[i] = TokenOf(segmentBase + ((ulong)i << GuestAddress.PageShift), tokens).Value;
        }
    }

    public static PageEntry TokenOf(ulong address, ITokenSource tokens) =>
        tokens.HasSlot(address, GuestAddress.PageSize) ? PageEntry.Empty : PageEntry.Hole(Status.Addressing);
}
