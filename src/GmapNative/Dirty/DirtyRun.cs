using System;
using System.Numerics;
using System.Runtime.CompilerServices;
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
        ulong joint = None; // where the last run of this call ends: what begins there belongs to it
        for (ulong block = bits.NextBlock(first / BlockBits); block * BlockBits < end; block = bits.NextBlock(block + 1))
        {
            ulong begin = block * BlockBits;
            ulong words = bits.SetWords(block);
            words &= first > begin ? ulong.MaxValue << (int)((first - begin) / WordBits) : ulong.MaxValue;
            for (; words != 0; words &= words - 1)
            {
                ulong at = begin + ((ulong)BitOperations.TrailingZeroCount(words) * WordBits);
                if (at >= end)
                {
                    break;
                }
                ref ulong word = ref bits.WordAlone(at / WordBits); // who appends holds the lock of whoever changes an epoch
                ulong found = word & EdgeMask(at, first, end);
                ulong left = AppendWord(found, at, ref joint);
                if (takes)
                {
                    word ^= found ^ left;
                }
                if (left != 0)
                {
                    return at + (ulong)BitOperations.TrailingZeroCount(left);
                }
            }
            if (takes && begin >= first && (end - begin >= BlockBits || end == bits.Bits))
            {
                bits.ForgetBlockAlone(block);
            }
        }
        return end;
    }

    /// <summary>The bits of a word, whose bit 0 is page <paramref name="at"/>; those that found no room.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)] // once
    private ulong AppendWord(ulong word, ulong at, ref ulong joint)
    {
        while (word != 0)
        {
            ulong rest = word & (word + (word & (0 - word))); // without the lowest run, which the carry went through
            ulong first = at + (ulong)BitOperations.TrailingZeroCount(word);
            ulong count = word == ulong.MaxValue ? WordBits : (ulong)BitOperations.TrailingZeroCount(~(word >> (int)(first - at)));
            if (first == joint)
            {
                _runs[Count - 1].Count += count; // of this call, so there is one
            }
            else if (Count < capacity)
            {
                _runs[Count++] = new DirtyRun { FirstPage = first, Count = count, Slot = Slot, Flags = Flags };
            }
            else
            {
                break;
            }
            joint = first + count;
            Pages += count;
            word = rest;
        }
        return word;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong EdgeMask(ulong begin, ulong first, ulong end)
    {
        ulong mask = first > begin ? ulong.MaxValue << (int)(first - begin) : ulong.MaxValue;
        return end - begin < WordBits ? mask & ((1UL << (int)(end - begin)) - 1) : mask;
    }
}
