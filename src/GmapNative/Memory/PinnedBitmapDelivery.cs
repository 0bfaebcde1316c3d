using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>How an epoch is handed out, without locked instructions: by one who keeps everybody else from changing it.</summary>
internal sealed unsafe partial class PinnedBitmap
{
    private const int LineWords = 8;

    /// <summary>
    /// Moves the bits of a range into <paramref name="target"/>, whose bit 0 is bit <paramref name="first"/> of this: beside what is
    /// there, or in its place. Without locked instructions: while nobody else changes the bitmap. How many there were.
    /// </summary>
    public ulong DeliverAlone(ulong first, ulong count, ulong* target, bool or)
    {
        ulong moved = 0;
        for (ulong done = 0; done < count;)
        {
            ulong at = first + done;
            ulong block = NextBlock(BlockOf(at));
            ulong next = (block << _shift) * WordBits; // before it no block has anything
            ulong clear = Math.Min(count, Math.Max(first, next) - first);
            clear = clear == count ? count : clear & ~(WordBits - 1UL); // whole words of the target
            if (clear > done)
            {
                ClearTarget(target + (done / WordBits), or ? 0 : (clear - done + WordBits - 1) / WordBits);
                done = clear;
                continue;
            }
            // The end of a run of blocks that have something, rounded up to words of the target. It may begin within this word.
            ulong stop = Math.Min(count, ((NextClearBlock(block) << _shift) * WordBits) - first);
            stop = Math.Min((stop + WordBits - 1) & ~(WordBits - 1UL), count);
            moved += DeliverBlock(first, done, stop, target, or);
            done = stop;
        }
        ForgetAlone(first, count);
        return moved;
    }

    /// <summary>Clears everything, without locked instructions: while nobody else changes the bitmap.</summary>
    public void ClearAlone()
    {
        ulong blocks = Blocks;
        for (ulong block = NextBlock(0); block < blocks; block = NextBlock(block + 1))
        {
            ulong first = block << _shift;
            new Span<ulong>(_words + first, (int)Math.Min(BlockWords, WordsFor(Bits) - first)).Clear();
            ForgetBlockAlone(block);
        }
    }

    private static void ClearTarget(ulong* words, ulong count)
    {
        const ulong Most = 1 << 16; // the caller's buffer may have more than a span can
        for (ulong done = 0; done < count; done += Most)
        {
            new Span<ulong>(words + done, (int)Math.Min(Most, count - done)).Clear();
        }
    }

    private ulong DeliverBlock(ulong first, ulong done, ulong stop, ulong* target, bool or)
    {
        ulong moved = 0;
        if (first % WordBits == 0)
        {
            // Words of ours, and of the caller's buffer, which has (count + 63) / 64.
            moved = MoveWords(_words + ((first + done) / WordBits), target + (done / WordBits), (int)((stop - done) / WordBits), or);
            done = stop & ~(WordBits - 1UL);
        }
        for (; done < stop; done += WordBits)
        {
            ulong bits = Peek(first + done) & RunMask(0, (int)Math.Min(WordBits, stop - done));
            target[done / WordBits] = or ? target[done / WordBits] | bits : bits;
            ClearAlone(first + done, bits);
            moved += (ulong)BitOperations.PopCount(bits);
        }
        return moved;
    }

    private static ulong MoveWords(ulong* from, ulong* to, int words, bool or)
    {
        ulong moved = 0;
        int at = 0;
        for (; words - at >= LineWords; at += LineWords)
        {
            if (!ZeroScan.IsZeroLine(from + at))
            {
                moved += MoveLine(from + at, to + at, or);
            }
            else if (!or)
            {
                ZeroScan.ClearLine(to + at);
            }
        }
        return moved + MoveLine(from + at, to + at, words - at, or);
    }

    /// <summary>The first block from <paramref name="block"/> on that counts as clear; one past the last if there is none.</summary>
    private ulong NextClearBlock(ulong block)
    {
        ulong blocks = Blocks;
        while (block < blocks)
        {
            ulong clear = ~_blocks[block / WordBits] & (ulong.MaxValue << (int)(block % WordBits));
            block &= ~(WordBits - 1UL);
            if (clear != 0)
            {
                return Math.Min(blocks, block + (ulong)BitOperations.TrailingZeroCount(clear));
            }
            block += WordBits;
        }
        return blocks;
    }

    /// <summary>A line of 64 bytes: as below, by vectors as wide as the build may use.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong MoveLine(ulong* from, ulong* to, bool or)
    {
        int moved = 0;
        for (int i = 0; i < LineWords; i++)
        {
            moved += BitOperations.PopCount(from[i]);
        }
        for (int i = 0; i < LineWords; i += Vector<ulong>.Count)
        {
            Vector<ulong> bits = Vector.Load(from + i);
            (or ? bits | Vector.Load(to + i) : bits).Store(to + i);
            Vector<ulong>.Zero.Store(from + i);
        }
        return (ulong)moved;
    }

    private static ulong MoveLine(ulong* from, ulong* to, int words, bool or)
    {
        int moved = 0;
        for (int i = 0; i < words; i++)
        {
            ulong bits = from[i];
            to[i] = or ? to[i] | bits : bits;
            from[i] = 0;
            moved += BitOperations.PopCount(bits);
        }
        return (ulong)moved;
    }

    /// <summary>A word of it, for one who looks at it once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref ulong Word(ulong index)
    {
        System.Diagnostics.Debug.Assert(index * WordBits < Bits, "outside");
        return ref _words[index];
    }

    /// <summary>The first 64 lines from <paramref name="group"/> on of which one may not be clear; past the end: none.</summary>
    public ulong NextGroup(ulong group)
    {
        ulong groups = WordsFor(Blocks);
        return group >= groups ? groups : group + (ulong)ZeroScan.First(_blocks + group, (int)(groups - group)); // of a slot: few enough
    }

    /// <summary>Bit i: line i of a group may not be clear.</summary>
    public ulong LinesOf(ulong group) => Volatile.Read(ref _blocks[group]);

    /// <summary>Brings the lines of a group near that have anything; there may be no such group.</summary>
    public void PrefetchLines(ulong group)
    {
        ulong* first = _words + (group * WordBits * LineWords);
        for (ulong lines = group < WordsFor(Blocks) ? LinesOf(group) : 0; Sse.IsSupported && lines != 0; lines &= lines - 1)
        {
            Sse.Prefetch0(first + (BitOperations.TrailingZeroCount(lines) * LineWords));
        }
    }

    /// <summary>
    /// Bit i: word i of eight lines from <paramref name="first"/> on is not zero; only in those that <paramref name="lines"/> says.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong SetWords(ulong first, byte lines)
    {
        ulong* words = _words + (first * LineWords);
        ulong set = 0;
        if (lines == byte.MaxValue && (first + LineWords) * LineWords <= WordsFor(Bits))
        {
            for (int line = 0; line < 8; line++) // no branch: which words are zero cannot be foreseen
            {
                set |= (ulong)ZeroScan.SetOfLine(words + (line * LineWords)) << (line * LineWords);
            }
            return set;
        }
        for (uint left = lines; left != 0; left &= left - 1)
        {
            int line = BitOperations.TrailingZeroCount(left);
            set |= (ulong)SetWordsOf(first + (ulong)line) << (line * LineWords);
        }
        return set;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private uint SetWordsOf(ulong line)
    {
        ulong* words = _words + (line * LineWords);
        int count = (int)Math.Min(LineWords, WordsFor(Bits) - (line * LineWords));
        if (count == LineWords)
        {
            return ZeroScan.SetOfLine(words);
        }
        uint set = 0;
        for (int at = 0; at < count; at++)
        {
            set |= words[at] == 0 ? 0 : 1U << at;
        }
        return set;
    }

    /// <summary>Tells that lines of a group are clear now, without locked instructions: while nobody else changes the bitmap.</summary>
    public void ForgetLinesAlone(ulong group, ulong lines) => _blocks[group] &= ~lines;

    /// <summary>Tells that a block is clear now, without locked instructions: while nobody else changes the bitmap.</summary>
    private void ForgetBlockAlone(ulong block) => _blocks[block / WordBits] &= ~(1UL << (int)(block % WordBits));

    /// <summary>Tells that a range is clear now: the blocks that lie in it wholly.</summary>
    private void ForgetAlone(ulong first, ulong count)
    {
        ulong end = first + count == Bits ? Blocks : BlockOf(first + count);
        for (ulong block = BlockOf(first + BlockBits - 1); block < end;)
        {
            int offset = (int)(block % WordBits);
            int length = (int)Math.Min(WordBits - (ulong)offset, end - block);
            _blocks[block / WordBits] &= ~RunMask(offset, length);
            block += (ulong)length;
        }
    }
}
