using System;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Dirty;

/// <summary>
/// The shared log of vhost and vhost-user: one bit for each 4 KB page of the guest from address 0 on, page gfn in bit gfn % 8 of byte
/// gfn / 8, which other processes set by atomic ORs. On a little-endian machine the same bytes are 64-bit words of 64 pages. Any thread;
/// nothing is allocated.
/// </summary>
internal static unsafe class VhostLog
{
    /// <summary>Words that one section drains: 1 GiB of guest. Longer, and a harvest would wait for all of a log.</summary>
    public const ulong SectionWords = 4096;

    private const int WordPages = 64;

    /// <summary>
    /// Moves what is set in <paramref name="words"/> words, the first of which stands for page <paramref name="gfn"/>, into the logs of
    /// the slots; how many pages. In a section.
    /// <para>A word is taken out of the log by an exchange, then what that gave is marked, both in this section. The other way round
    /// (look, mark, clear) a bit that a device sets between look and clearing is gone. And were the two steps in sections of their own,
    /// a page could be lost whose bit was seen: a harvest in between delivers the mark and the page is copied; the device writes it again
    /// and finds its bit still set; then the bit is cleared. Taken first, whatever is written later sets its bit anew, for the next
    /// drain. A harvest between exchange and mark misses the page and the next one has it, as with every mark that has not
    /// returned yet.</para>
    /// </summary>
    public static ulong Drain(AddressSpace space, ulong* log, ulong words, ulong gfn)
    {
        SlotMap map = space.Map;
        Slot? slot = null;
        ulong pages = 0;
        long added = 0;
        for (ulong at = 0; at < words; at++)
        {
            // The caller's log: the span is as long as what is left of it. Most of it is zero: looked through by vectors.
            int zeroes = new ReadOnlySpan<ulong>(log + at, (int)(words - at)).IndexOfAnyExcept(0UL);
            if (zeroes < 0)
            {
                break;
            }
            at += (ulong)zeroes;
            ulong bits;
            if (Probe.LeavesOut(Step.MarkBeforeExchange))
            {
                bits = Volatile.Read(ref log[at]);
                pages += Mark(map, ref slot, gfn + (at * WordPages), bits, ref added);
                Probe.At(Place.LogWordTaken);
                _ = Interlocked.Exchange(ref log[at], 0);
                continue;
            }
            bits = Interlocked.Exchange(ref log[at], 0);
            Probe.At(Place.LogWordTaken);
            pages += Mark(map, ref slot, gfn + (at * WordPages), bits, ref added);
        }
        if (added != 0)
        {
            SpaceCounters.Add(ref space.Counters.Mine.PagesMarked, added);
        }
        return pages;
    }

    /// <summary>
    /// ORs pages gfn..gfn+63 as <paramref name="bits"/> says into a log of so many words, atomically. No buffer, with nothing set: the log
    /// is too short for the highest of them.
    /// </summary>
    public static int Or(ulong* log, ulong words, ulong gfn, ulong bits)
    {
        if (bits == 0)
        {
            return Status.Ok;
        }
        ulong index = gfn / WordPages;
        int shift = (int)(gfn % WordPages);
        ulong low = bits << shift;
        ulong high = shift == 0 ? 0 : bits >> (WordPages - shift);
        if (index >= words || (high != 0 && index + 1 >= words))
        {
            return Status.NoBuffer;
        }
        // The caller's log, inside its words.
        OrWord(log + index, low);
        OrWord(log + index + 1, high);
        return Status.Ok;
    }

    private static void OrWord(ulong* word, ulong bits)
    {
        if (bits != 0 && (Volatile.Read(ref *word) & bits) != bits)
        {
            Interlocked.Or(ref *word, bits);
        }
    }

    /// <summary>
    /// Marks pages gfn..gfn+63 as <paramref name="bits"/> says; how many of them are in slots that log. <paramref name="slot"/> is where
    /// the last ones were, or null.
    /// </summary>
    private static ulong Mark(SlotMap map, ref Slot? slot, ulong gfn, ulong bits, ref long added)
    {
        ulong marked = 0;
        while (bits != 0)
        {
            int from = BitOperations.TrailingZeroCount(bits);
            ulong address = (gfn + (ulong)from) << GuestAddress.PageShift;
            if (slot is null || address - slot.GuestAddress >= slot.Size)
            {
                slot = map.Find(address);
            }
            if (slot is null)
            {
                bits &= bits - 1; // outside of all slots: a used ring's address may be
                continue;
            }
            int length = (int)Math.Min((ulong)(WordPages - from), (slot.End - address) >> GuestAddress.PageShift);
            ulong mask = PinnedBitmap.RunMask(from, length);
            if (slot.Tracking is not null)
            {
                marked += (ulong)BitOperations.PopCount(bits & mask);
                added += slot.Tracking.MarkMask(slot.PageOf(address), (bits & mask) >> from);
            }
            bits &= ~mask;
        }
        return marked;
    }
}
