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
    private const ulong LineBits = PinnedBitmap.LineBits;
    private const ulong GroupBits = LineBits * 64;

    // The caller's: capacity elements, writable during the call.
    private readonly DirtyRun* _runs = runs;

    /// <summary>What each run says besides its pages.</summary>
    public uint Slot { get; set; }

    public uint Flags { get; set; }

    public nuint Count { get; private set; }

    /// <summary>Pages in all runs.</summary>
    public ulong Pages { get; private set; }

    /// <summary>
    /// Appends what is set in first..end-1 of an epoch, by longest runs; returns where to go on: <paramref name="end"/>, or the first
    /// set page that found no room.
    /// </summary>
    public ulong Append(PinnedBitmap bits, ulong first, ulong end) => Append(bits, first, end, takes: false);

    /// <summary>
    /// As <see cref="Append(PinnedBitmap, ulong, ulong)"/>, and clears what is appended. Without locked instructions: while nobody else
    /// changes the bitmap.
    /// </summary>
    public ulong Take(PinnedBitmap bits, ulong first, ulong end) => Append(bits, first, end, takes: true);

    /// <summary>By lines that have anything, 64 of which are asked for while those before them are looked at.</summary>
    private ulong Append(PinnedBitmap bits, ulong first, ulong end, bool takes)
    {
        ulong next = end;
        ulong joint = None; // where the last run of this call ends: what begins there belongs to it
        for (ulong group = bits.NextGroup(first / GroupBits); group * GroupBits < end && next == end;)
        {
            ulong after = bits.NextGroup(group + 1);
            bits.PrefetchLines(after);
            next = AppendGroup(bits, group, first, end, takes, ref joint);
            group = after;
        }
        return next;
    }

    /// <summary>64 lines, as far as they are in first..end-1; returns as above.</summary>
    private ulong AppendGroup(PinnedBitmap bits, ulong group, ulong first, ulong end, bool takes, ref ulong joint)
    {
        DirtyRun* run = _runs + Count; // in registers while it goes: the caller's array, below its end
        ulong last = joint;
        ulong pages = 0;
        ulong next = end;
        ulong start = group * GroupBits;
        bool whole = start >= first && end - start >= GroupBits;
        ulong lines = bits.LinesOf(group);
        for (ulong begin = start; lines != 0 && next == end; lines >>= 8, begin += 8 * LineBits)
        {
            for (ulong words = bits.SetWords(begin / LineBits, (byte)lines); words != 0 && next == end; words &= words - 1)
            {
                ulong at = begin + ((ulong)BitOperations.TrailingZeroCount(words) * WordBits);
                ref ulong word = ref bits.Word(at / WordBits);
                ulong found = Volatile.Read(ref word); // where nothing is taken a discard may change it meanwhile
                found &= whole ? ulong.MaxValue : EdgeMask(at, first, end);
                Probe.At(Place.EpochLooked);
                ulong left = AppendWord(ref run, at, found, ref last, ref pages);
                next = left == 0 ? end : at + (ulong)BitOperations.TrailingZeroCount(left); // no room
                if (takes)
                {
                    word &= ~found | left;
                }
            }
        }
        if (takes && next == end)
        {
            bits.ForgetLinesAlone(group, whole ? ulong.MaxValue : WholeLines(start, first, end == bits.Bits ? ulong.MaxValue : end));
        }
        Count = (nuint)(run - _runs);
        Pages += pages;
        joint = last;
        return next;
    }

    /// <summary>The runs of a word, by the lowest; returns what found no room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly ulong AppendWord(ref DirtyRun* run, ulong at, ulong left, ref ulong last, ref ulong pages)
    {
        DirtyRun* stop = _runs + capacity;
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
                break;
            }
            last = at + (ulong)bit + count;
            pages += count;
            left &= left + (left & (0 - left)); // without its lowest run, which the carry goes through
        }
        return left;
    }

    /// <summary>The lines of a group that lie in first..end-1.</summary>
    private static ulong WholeLines(ulong start, ulong first, ulong end)
    {
        ulong lines = 0;
        for (int i = 0; i < 64; i++)
        {
            ulong begin = start + ((ulong)i * LineBits);
            lines |= begin >= first && begin < end && end - begin >= LineBits ? 1UL << i : 0;
        }
        return lines;
    }

    /// <summary>The bits of a word from <paramref name="begin"/> on that lie in first..end-1: there may be none.</summary>
    private static ulong EdgeMask(ulong begin, ulong first, ulong end)
    {
        if (begin >= end || (first > begin && first - begin >= WordBits))
        {
            return 0;
        }
        ulong mask = first > begin ? ulong.MaxValue << (int)(first - begin) : ulong.MaxValue;
        return end - begin < WordBits ? mask & ((1UL << (int)(end - begin)) - 1) : mask;
    }
}
