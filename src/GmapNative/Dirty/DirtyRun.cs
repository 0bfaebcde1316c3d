using System.Numerics;
using System.Runtime.InteropServices;
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
    private const int WordBits = 64;

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
    public ulong Append(PinnedBitmap bits, ulong first, ulong end)
    {
        ulong open = None;
        ulong at = bits.Skip(first, end);
        while (at < end)
        {
            ulong begin = at & ~(WordBits - 1UL);
            ulong word = bits.Peek(begin) & EdgeMask(begin, first, end);
            while (word != 0 || open != None)
            {
                if (open == None)
                {
                    int set = BitOperations.TrailingZeroCount(word);
                    if (Count == capacity)
                    {
                        return begin + (ulong)set;
                    }
                    open = begin + (ulong)set;
                    word |= (1UL << set) - 1; // so that the zeroes that are left are behind the run
                }
                int clear = BitOperations.TrailingZeroCount(~word);
                if (clear == WordBits)
                {
                    break; // it goes on in the next word
                }
                Close(ref open, begin + (ulong)clear);
                word &= ~((1UL << clear) - 1);
            }
            at = open == None ? bits.Skip(begin + WordBits, end) : begin + WordBits;
        }
        if (open != None)
        {
            Close(ref open, end);
        }
        return end;
    }

    private static ulong EdgeMask(ulong begin, ulong first, ulong end)
    {
        ulong mask = first > begin ? ulong.MaxValue << (int)(first - begin) : ulong.MaxValue;
        return end - begin < WordBits ? mask & ((1UL << (int)(end - begin)) - 1) : mask;
    }

    private void Close(ref ulong open, ulong stop)
    {
        // Inside the array: Count < capacity was looked at when the run opened.
        _runs[Count] = new DirtyRun { FirstPage = open, Count = stop - open, Slot = Slot, Flags = Flags };
        Count++;
        Pages += stop - open;
        open = None;
    }
}
