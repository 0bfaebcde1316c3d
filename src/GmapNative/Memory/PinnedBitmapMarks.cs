using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// How bits are set beside other setters and a mover, many at once (rule 15). The writer's bytes were visible before the caller's
/// section began, and its beginning is a full fence: so a bit that is found set after it need not be set again. Whoever takes it does so
/// after our look, and copies the page after that.
/// </summary>
internal sealed unsafe partial class PinnedBitmap
{
    private const int Ahead = 8; // how many addresses before it is needed a word is asked for

    /// <summary>Sets a run of bits; the number that were clear before (beside other setters it may be a few more or less).</summary>
    public ulong OrRange(ulong first, ulong count)
    {
        if (count == 0)
        {
            return 0;
        }
        ulong end = first + count;
        ulong index = first / WordBits;
        int offset = (int)(first % WordBits);
        if (index == (end - 1) / WordBits)
        {
            return (ulong)OrWord(index, RunMask(offset, (int)count));
        }
        ulong added = 0;
        if (offset != 0)
        {
            added += (ulong)OrWord(index, RunMask(offset, WordBits - offset));
            index++;
        }
        ulong stop = end / WordBits;
        if (index < stop)
        {
            added += FillWords(index, stop);
        }
        return end % WordBits == 0 ? added : added + (ulong)OrWord(stop, RunMask(0, (int)(end % WordBits)));
    }

    /// <summary>
    /// Sets a run of bits as <see cref="OrRange"/>; what is set already is only looked at. In a section that began after the write.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong MarkRange(ulong first, ulong count)
    {
        int offset = (int)(first % WordBits);
        if ((ulong)offset + count > WordBits || count == 0)
        {
            return OrRange(first, count);
        }
        int added = MarkWord(ref _words[first / WordBits], RunMask(offset, (int)count));
        Probe.At(Place.WordMarked);
        MarkBlock(BlockOf(first));
        return (ulong)added;
    }

    /// <summary>
    /// Sets the bits of single addresses, as long as they lie in start..start+size-1, which bit 0 and the others stand for; how many
    /// addresses that were. In a section that began after the writes.
    /// </summary>
    public nuint MarkAddresses(ulong* addresses, nuint count, ulong start, ulong size, int shift, ref ulong added)
    {
        ulong* bits = _words;
        int shiftOfBlock = _shift;
        ulong group = 0;
        ulong blocks = 0;
        ulong set = 0; // not the caller's: a store for each would be waited for by the next locked instruction
        nuint i = 0;
        for (; i < count; i++)
        {
            ulong offset = addresses[i] - start; // the caller's array of count elements
            if (offset >= size)
            {
                break;
            }
            if (Sse.IsSupported && i + Ahead < count)
            {
                Sse.Prefetch0((byte*)bits + ((addresses[i + Ahead] - start) >> shift >> 3)); // wherever that is: it never faults
            }
            ulong bit = offset >> shift;
            set += MarkBit(ref bits[bit / WordBits], 1UL << (int)(bit % WordBits)) ? 1UL : 0;
            ulong block = (bit / WordBits) >> shiftOfBlock;
            if (block / WordBits != group)
            {
                MarkBlocks(group, blocks);
                group = block / WordBits;
                blocks = 0;
            }
            blocks |= 1UL << (int)(block % WordBits);
        }
        Probe.At(Place.WordMarked);
        MarkBlocks(group, blocks);
        added += set;
        return i;
    }

    /// <summary>
    /// ORs words in, the first one at bit <paramref name="first"/>; the number of bits that were clear before. In a section that began
    /// after the writes.
    /// </summary>
    public ulong MarkWords(ulong first, ulong count, ulong* words)
    {
        ulong added = 0;
        ulong whole = count / WordBits;
        if (first % WordBits == 0)
        {
            for (ulong done = 0; done < whole; done += WordBits)
            {
                added += MarkSome(first / WordBits + done, words + done, (int)Math.Min(WordBits, whole - done));
            }
        }
        else
        {
            for (ulong i = 0; i < whole; i++)
            {
                added += words[i] == 0 ? 0 : (ulong)Or(first + (i * WordBits), words[i]);
            }
        }
        int left = (int)(count % WordBits);
        ulong last = left == 0 ? 0 : words[whole] & RunMask(0, left); // the caller's buffer of (count + 63) / 64 words
        return last == 0 ? added : added + (ulong)Or(first + (whole * WordBits), last);
    }

    /// <summary>Up to 64 words: first which of them are not zero, so that the processor need not guess at each.</summary>
    private ulong MarkSome(ulong index, ulong* words, int count)
    {
        ulong some = 0;
        int i = 0;
        for (; i <= count - 2; i += 2)
        {
            some |= (ulong)(~Vector128.Equals(Vector128.Load(words + i), Vector128<ulong>.Zero)).ExtractMostSignificantBits() << i;
        }
        some |= i < count && words[i] != 0 ? 1UL << i : 0;
        if (some == 0)
        {
            return 0;
        }
        ulong added = 0;
        for (; some != 0; some &= some - 1)
        {
            int at = BitOperations.TrailingZeroCount(some);
            added += (ulong)MarkWord(ref _words[index + (ulong)at], words[at]);
        }
        Probe.At(Place.WordMarked);
        MarkBlockRange(index >> _shift, (index + (ulong)count - 1) >> _shift); // they may lie in two of them
        return added;
    }

    /// <summary>
    /// Sets bits of a word; the block's is the caller's to set, after it. How many were clear by our look: two that set one bit at one
    /// moment both count it, since a locked or that tells takes longer.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int MarkWord(ref ulong word, ulong mask)
    {
        ulong clear = mask & ~Volatile.Read(ref word);
        if (clear == 0)
        {
            return 0;
        }
        _ = Interlocked.Or(ref word, mask);
        return BitOperations.PopCount(clear);
    }

    /// <summary>The same for a single bit.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool MarkBit(ref ulong word, ulong bit)
    {
        if ((Volatile.Read(ref word) & bit) != 0)
        {
            return false;
        }
        _ = Interlocked.Or(ref word, bit);
        return true;
    }

    /// <summary>
    /// Sets bits of one word of blocks where one is missing. Also for words that were found set: whoever set them may not have come so far.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void MarkBlocks(ulong group, ulong blocks)
    {
        if ((Volatile.Read(ref _blocks[group]) & blocks) != blocks)
        {
            Interlocked.Or(ref _blocks[group], blocks);
        }
    }

    /// <summary>
    /// Sets whole words by plain stores: beside another setter nothing can be lost, and a mover's locked and comes before the store, which
    /// stays then, or after it, and then what the mover took is copied after the writer's bytes were there. The fence puts them before
    /// the looks at the blocks' bits.
    /// </summary>
    private ulong FillWords(ulong from, ulong to)
    {
        if (Probe.LeavesOut(Step.BlocksBeforeWords))
        {
            MarkBlockRange(from >> _shift, (to - 1) >> _shift);
            Probe.At(Place.WordMarked);
        }
        ulong added = 0;
        for (ulong at = from; at < to;)
        {
            ulong stop = Math.Min(to, (at | (BlockWords - 1)) + 1);
            ulong clear = Math.Min(to & ~(BlockWords - 1), NextBlock(at >> _shift) << _shift); // up to here no block has anything
            if ((at & (BlockWords - 1)) == 0 && clear > at)
            {
                stop = clear;
                HostSystem.Current.Fill(_words + at, 0xFF, (nuint)(stop - at) * sizeof(ulong)); // nothing to count: all of them are zero
                added += (stop - at) * WordBits;
            }
            else
            {
                added += FillCounting(_words + at, _words + stop);
            }
            at = stop;
            Probe.At(Place.WordMarked);
        }
        Interlocked.MemoryBarrier();
        if (!Probe.LeavesOut(Step.BlocksBeforeWords))
        {
            MarkBlockRange(from >> _shift, (to - 1) >> _shift);
        }
        return added;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void MarkBlock(ulong block) => MarkBlocks(block / WordBits, 1UL << (int)(block % WordBits));

    /// <summary>Words of one block, which some are set in already; how many bits were clear.</summary>
    private static ulong FillCounting(ulong* word, ulong* end)
    {
        ulong all = (ulong)(end - word) * WordBits;
        ulong set = 0;
        if (Popcnt.X64.IsSupported) // asked once: the build may not take it for granted, and would ask for each word
        {
            for (; end - word >= 4; word += 4)
            {
                set += Popcnt.X64.PopCount(word[0]) + Popcnt.X64.PopCount(word[1])
                    + Popcnt.X64.PopCount(word[2]) + Popcnt.X64.PopCount(word[3]);
                Vector128<ulong>.AllBitsSet.Store(word);
                Vector128<ulong>.AllBitsSet.Store(word + 2);
            }
        }
        for (; word < end; word++)
        {
            set += (ulong)BitOperations.PopCount(*word);
            Volatile.Write(ref *word, ulong.MaxValue);
        }
        return all - set;
    }

    private void MarkBlockRange(ulong first, ulong last)
    {
        for (ulong block = first; block <= last;)
        {
            int offset = (int)(block % WordBits);
            int length = (int)Math.Min(WordBits - (ulong)offset, last - block + 1);
            MarkBlocks(block / WordBits, RunMask(offset, length));
            block += (ulong)length;
        }
    }
}
