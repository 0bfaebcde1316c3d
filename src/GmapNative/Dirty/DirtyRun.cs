using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Dirty;

/// <summary><c>gmap_range</c>: a run of dirty pages of a slot.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct DirtyRun
{
    /// <summary><c>GMAP_RANGE_GONE</c>.</summary>
    public const uint Gone = 1;

    public ulong FirstPage;
    public ulong Count;
    public uint Slot;
    public uint Flags;
}

/// <summary>The caller's array of runs, as far as it is filled.</summary>
internal unsafe ref struct DirtyRuns(DirtyRun* runs, nuint capacity)
{
    private const ulong None = ulong.MaxValue;
    private const ulong WordBits = 64;
    private const ulong BlockBits = PinnedBitmap.BlockBits;

    // The caller's: capacity elements, writable during the call.
    private readonly DirtyRun* _runs = runs;

    /// <summary>What each run says besides its pages.</summary>
    public uint Slot { get; set; }

    public uint Flags { get; set; }

    public nuint Count { get; private set; }

    /// <summary>Pages in all runs.</summary>
    public ulong Pages { get; private set; }

    /// <summary>
    /// Appends what is set in first..end-1, by longest runs; returns where to go on: <paramref name="end"/>, or the first set page
    /// that found no room.
    /// </summary>
    public ulong Append(PinnedBitmap bits, ulong first, ulong end) => Append(bits, first, end, takes: false);

    /// <summary>
    /// As <see cref="Append(PinnedBitmap, ulong, ulong)"/>, and clears what is appended. Without locked instructions: while nobody else
    /// changes the bitmap.
    /// </summary>
    public ulong Take(PinnedBitmap bits, ulong first, ulong end) => Append(bits, first, end, takes: true);

    /// <summary>Block by block: words that are found, cleared and forgotten are in the near cache for all of it.</summary>
    private ulong Append(PinnedBitmap bits, ulong first, ulong end, bool takes)
    {
        ulong next = end;
        ulong joint = None; // where the last run of this call ends: what begins there belongs to it
        ulong block = bits.NextBlock(first / BlockBits);
        ulong ahead = bits.NextBlock(block + 1); // and the one after it is asked for while a block is done
        bits.PrefetchBlock(ahead);
        for (ulong after; block * BlockBits < end; block = ahead, ahead = after)
        {
            after = bits.NextBlock(ahead + 1);
            bits.PrefetchBlock(after);
            ulong begin = block * BlockBits;
            ulong words = bits.SetWords(block);
            words &= first > begin ? ulong.MaxValue << (int)((first - begin) / WordBits) : ulong.MaxValue;
            next = AppendWords(bits, begin, words, first, end, takes, ref joint);
            if (next != end)
            {
                break;
            }
            if (takes && begin >= first && (end - begin >= BlockBits || end == bits.Bits))
            {
                bits.ForgetBlockAlone(block);
            }
        }
        return next;
    }

    /// <summary>The words of a block that <paramref name="words"/> says, as far as they are in first..end-1; returns as above.</summary>
    private ulong AppendWords(PinnedBitmap bits, ulong begin, ulong words, ulong first, ulong end, bool takes, ref ulong joint)
    {
        DirtyRun* run = _runs + Count; // in registers while it goes: the caller's array, below its end
        DirtyRun* stop = _runs + capacity;
        ulong last = joint;
        ulong pages = 0;
        ulong next = end;
        for (; words != 0 && next == end; words &= words - 1)
        {
            ulong at = begin + ((ulong)BitOperations.TrailingZeroCount(words) * WordBits);
            if (at >= end)
            {
                break;
            }
            ref ulong word = ref bits.Word(at / WordBits);
            ulong found = Volatile.Read(ref word); // where nothing is taken a discard may change it meanwhile
            found &= at >= first && end - at >= WordBits ? ulong.MaxValue : EdgeMask(at, first, end);
            ulong left = found;
            while (left != 0)
            {
                int bit = BitOperations.TrailingZeroCount(left);
                ulong count = (ulong)BitOperations.TrailingZeroCount(~(left >> bit)); // 64 of all ones
                if (at + (ulong)bit == last)
                {
                    run[-1].Count += count; // of this call, so there is one
                }
                else if (run < stop)
                {
                    *run++ = new DirtyRun { FirstPage = at + (ulong)bit, Count = count, Slot = Slot, Flags = Flags };
                }
                else
                {
                    next = at + (ulong)bit;
                    break;
                }
                last = at + (ulong)bit + count;
                pages += count;
                left &= left + (left & (0 - left)); // without its lowest run, which the carry goes through
            }
            if (takes)
            {
                word &= ~found | left;
            }
        }
        Count = (nuint)(run - _runs);
        Pages += pages;
        joint = last;
        return next;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong EdgeMask(ulong begin, ulong first, ulong end)
    {
        ulong mask = first > begin ? ulong.MaxValue << (int)(first - begin) : ulong.MaxValue;
        return end - begin < WordBits ? mask & ((1UL << (int)(end - begin)) - 1) : mask;
    }
}
