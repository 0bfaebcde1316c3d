using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

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
            ulong stop = Math.Min(count, (at | (BlockBits - 1)) + 1 - first); // the end of the block, rounded up to words of the target
            stop = Math.Min((stop + WordBits - 1) & ~(WordBits - 1UL), count);
            if (NextBlock(at / BlockBits) > (first + stop - 1) / BlockBits)
            {
                if (!or)
                {
                    new Span<ulong>(target + (done / WordBits), (int)((stop - done + WordBits - 1) / WordBits)).Clear();
                }
            }
            else
            {
                moved += DeliverBlock(first, done, stop, target, or);
            }
            done = stop;
        }
        ForgetAlone(first, count);
        return moved;
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
                moved += MoveLine(from + at, to + at, LineWords, or);
            }
            else if (!or)
            {
                ZeroScan.ClearLine(to + at);
            }
        }
        return moved + MoveLine(from + at, to + at, words - at, or);
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

    /// <summary>Brings the words of a block near; there may be none.</summary>
    public void PrefetchBlock(ulong block)
    {
        for (ulong at = 0; Sse.IsSupported && at < BlockWords; at += LineWords)
        {
            Sse.Prefetch0(_words + (block * BlockWords) + at); // faults nowhere
        }
    }

    /// <summary>Bit i: word i of a block is not zero.</summary>
    public ulong SetWords(ulong block)
    {
        ulong* words = _words + (block * BlockWords);
        int count = (int)Math.Min(BlockWords, WordsFor(Bits) - (block * BlockWords));
        ulong set = 0;
        int at = 0;
        for (; count - at >= LineWords; at += LineWords)
        {
            set |= (ulong)ZeroScan.SetOfLine(words + at) << at; // no branch: which lines are zero cannot be foreseen
        }
        for (; at < count; at++)
        {
            set |= words[at] == 0 ? 0 : 1UL << at;
        }
        return set;
    }

    /// <summary>Tells that a block is clear now, without locked instructions: while nobody else changes the bitmap.</summary>
    public void ForgetBlockAlone(ulong block) => _blocks[block / WordBits] &= ~(1UL << (int)(block % WordBits));

    /// <summary>As <see cref="Forget"/> without locked instructions: while nobody else changes the bitmap.</summary>
    private void ForgetAlone(ulong first, ulong count)
    {
        ulong end = first + count == Bits ? (Bits + BlockBits - 1) / BlockBits : (first + count) / BlockBits;
        for (ulong block = NextBlock((first + BlockBits - 1) / BlockBits); block < end; block = NextBlock(block + 1))
        {
            ForgetBlockAlone(block);
        }
    }
}
