using System;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// One bit a page in pinned memory: a slot's log or epoch. Every method is atomic per word and may run beside any other, except where
/// said. One bit more for each block of 8 or 64 words says that a word of it may not be zero: whoever sets a bit sets the word first and
/// the block's bit after it, and a clean guest costs next to nothing to look through.
/// </summary>
internal sealed unsafe partial class PinnedBitmap
{
    private const int WordBits = 64;

    /// <summary>Words of a block of a log, and of an epoch: a cache line.</summary>
    private const int LogShift = 6;
    private const int LineShift = 3;

    /// <summary>Bits of a block of an epoch.</summary>
    public const ulong LineBits = WordBits << LineShift;

    private readonly Arena _arena;
    private readonly GuardedRegion _region;
    private readonly bool _locked;
    private readonly ulong* _words;  // start of _region: page aligned, alive until Free
    private readonly ulong* _blocks; // behind them in the same region

    private readonly int _shift;     // of the words of a block

    private PinnedBitmap(Arena arena, GuardedRegion region, bool locked, ulong bits, int shift)
    {
        _arena = arena;
        _region = region;
        _locked = locked;
        _words = (ulong*)region.Start;
        _blocks = _words + WordsFor(bits);
        Bits = bits;
        _shift = shift;
    }

    public ulong Bits { get; }

    private ulong Blocks => (WordsFor(Bits) + BlockWords - 1) >> _shift;

    private ulong BlockWords => 1UL << _shift;

    /// <summary>The block of a bit.</summary>
    private ulong BlockOf(ulong bit) => (bit / WordBits) >> _shift;

    /// <summary>Bits of a block.</summary>
    private ulong BlockBits => (ulong)WordBits << _shift;

    /// <summary>What a bitmap takes: whole pages.</summary>
    /// <param name="bits">Pages.</param>
    /// <param name="lines">A block is a cache line.</param>
    public static ulong BytesFor(ulong bits, bool lines)
    {
        ulong blockBits = (ulong)WordBits << (lines ? LineShift : LogShift);
        return (((WordsFor(bits) + WordsFor((bits + blockBits - 1) / blockBits)) * sizeof(ulong)) + 4095) & ~4095UL;
    }

    /// <summary>
    /// All clear; null when the arena's budget is exhausted. With a block for each cache line (<paramref name="lines"/>) it is handed out
    /// faster, with large ones many marks need one bit.
    /// </summary>
    public static PinnedBitmap? TryCreate(Arena arena, ulong bits, bool lines = false)
    {
        GuardedRegion? region = arena.TryTakeRegion((nuint)BytesFor(bits, lines), out bool locked);
        return region is null ? null : new PinnedBitmap(arena, region, locked, bits, lines ? LineShift : LogShift);
    }

    /// <summary>Returns the memory. The caller knows that nobody uses it any more (grace).</summary>
    public void Free() => _arena.Return(_region, _locked);

    /// <summary>Sets bits first..first+63 as <paramref name="mask"/> says; the number that were clear before.</summary>
    public int Or(ulong first, ulong mask)
    {
        ulong index = first / WordBits;
        int shift = (int)(first % WordBits);
        int added = OrWord(index, mask << shift);
        ulong high = shift == 0 ? 0 : mask >> (WordBits - shift);
        return high == 0 ? added : added + OrWord(index + 1, high);
    }

    /// <summary>As <see cref="Or"/> without locked instructions: while nobody else changes the bitmap.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void OrAlone(ulong first, ulong mask)
    {
        ulong index = first / WordBits;
        int shift = (int)(first % WordBits);
        OrWordAlone(index, mask << shift);
        if (shift != 0 && mask >> (WordBits - shift) != 0)
        {
            OrWordAlone(index + 1, mask >> (WordBits - shift));
        }
    }

    /// <summary>The same for many words: bit i of word k is bit <paramref name="first"/> + 64 * k + i.</summary>
    public void OrAlone(ulong first, ReadOnlySpan<ulong> masks)
    {
        ulong index = first / WordBits;
        if (first % WordBits == 0)
        {
            OrWords(new Span<ulong>(_words + index, masks.Length), masks); // inside the bitmap: the bits are
        }
        else
        {
            for (int i = 0; i < masks.Length; i++)
            {
                OrAlone(first + ((ulong)i * WordBits), masks[i]);
            }
        }
        for (ulong block = index >> _shift; block <= (index + (ulong)masks.Length - 1) >> _shift; block++)
        {
            _blocks[block / WordBits] |= 1UL << (int)(block % WordBits);
        }
    }

    /// <summary>No branch for each word: at 1 % every second one has something, and no processor foresees which.</summary>
    private static void OrWords(Span<ulong> words, ReadOnlySpan<ulong> masks)
    {
        int i = 0;
        for (; masks.Length - i >= Vector<ulong>.Count; i += Vector<ulong>.Count)
        {
            (new Vector<ulong>(words[i..]) | new Vector<ulong>(masks[i..])).CopyTo(words[i..]);
        }
        for (; i < masks.Length; i++)
        {
            words[i] |= masks[i];
        }
    }

    /// <summary>As <see cref="Clear"/> without locked instructions: while nobody else changes the bitmap.</summary>
    public void ClearAlone(ulong first, ulong mask)
    {
        ulong index = first / WordBits;
        int shift = (int)(first % WordBits);
        _words[index] &= ~(mask << shift);
        if (shift != 0 && mask >> (WordBits - shift) != 0)
        {
            _words[index + 1] &= ~(mask >> (WordBits - shift));
        }
    }

    /// <summary>How many bits of a run are set.</summary>
    public ulong Count(ulong first, ulong count)
    {
        ulong set = 0;
        ulong end = first + count;
        for (ulong at = Skip(first, end); at < end; at = Skip((at | (WordBits - 1)) + 1, end))
        {
            ulong mask = RunMask((int)(at % WordBits), (int)Math.Min(WordBits - (at % WordBits), end - at));
            set += (ulong)BitOperations.PopCount(LoadWord(at / WordBits) & mask);
        }
        return set;
    }

    /// <summary>Sets every bit, by plain stores: while nobody else knows the bitmap.</summary>
    public void SetAll()
    {
        Fill(_words, Bits);
        Fill(_blocks, Blocks);
    }

    /// <summary>Clears bits first..first+63 where <paramref name="mask"/> has ones.</summary>
    public void Clear(ulong first, ulong mask)
    {
        ulong index = first / WordBits;
        int shift = (int)(first % WordBits);
        AndWord(index, ~(mask << shift));
        ulong high = shift == 0 ? 0 : mask >> (WordBits - shift);
        if (high != 0)
        {
            AndWord(index + 1, ~high);
        }
    }

    /// <summary>Bits first..first+63; beyond the end they are zero.</summary>
    public ulong Peek(ulong first)
    {
        ulong index = first / WordBits;
        int shift = (int)(first % WordBits);
        ulong low = LoadWord(index) >> shift;
        return shift == 0 ? low : low | (LoadWord(index + 1) << (WordBits - shift));
    }

    /// <summary>As <see cref="Peek"/>; where its block is clear the word is not looked at.</summary>
    public ulong PeekSparse(ulong first)
    {
        ulong block = BlockOf(first);
        bool blank = first % WordBits == 0 && (Volatile.Read(ref _blocks[block / WordBits]) >> (int)(block % WordBits) & 1) == 0;
        return blank ? 0 : Peek(first);
    }

    /// <summary>
    /// Moves the bits of a range into <paramref name="target"/>: there first, then cleared here. True if there were any. One mover at
    /// a time.
    /// </summary>
    public bool MoveTo(PinnedBitmap target, ulong first, ulong count)
    {
        bool any = false;
        ulong end = first + count;
        for (ulong at = Skip(first, end); at < end;)
        {
            ulong stop = Math.Min(end, (at | (BlockBits - 1)) + 1);
            ulong begin = at & ~(BlockBits - 1);
            bool whole = begin >= first && ((stop & (BlockBits - 1)) == 0 || stop >= Bits);
            if (whole)
            {
                if (!Probe.LeavesOut(Step.BlockForgottenLate))
                {
                    ForgetBlock(BlockOf(at)); // before its words are looked at: who sets one after the look sets it again
                }
                Probe.At(Place.BlockForgotten);
                at = begin;
            }
            for (; at < stop; at = (at | (WordBits - 1)) + 1)
            {
                ulong bits = LoadWord(at / WordBits) & RunMask((int)(at % WordBits), (int)Math.Min(WordBits - (at % WordBits), stop - at));
                if (bits != 0)
                {
                    target.OrWord(at / WordBits, bits);
                    Probe.At(Place.LogCopied);
                    AndWord(at / WordBits, ~bits);
                    Probe.At(Place.LogMoved);
                    any = true;
                }
            }
            if (whole && Probe.LeavesOut(Step.BlockForgottenLate))
            {
                ForgetBlock(BlockOf(stop - 1));
            }
            at = Skip(stop, end);
        }
        return any;
    }

    /// <summary>Whether any bit of the range is set.</summary>
    public bool Any(ulong first, ulong count)
    {
        ulong end = first + count;
        for (ulong at = Skip(first, end); at < end; at = Skip((at | (WordBits - 1)) + 1, end))
        {
            ulong mask = RunMask((int)(at % WordBits), (int)Math.Min(WordBits - (at % WordBits), end - at));
            if ((LoadWord(at / WordBits) & mask) != 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>
    /// The first place in first..end-1 whose word is not zero: all bits before it are clear. <paramref name="end"/> if there is none.
    /// Reads by vectors: a bit that is set meanwhile may be passed over, as if the call had been earlier.
    /// </summary>
    public ulong Skip(ulong first, ulong end)
    {
        for (ulong at = first; at < end; at = (at | (BlockBits - 1)) + 1)
        {
            at = Math.Max(at, NextBlock(BlockOf(at)) * BlockBits);
            if (at >= end)
            {
                break;
            }
            ulong index = at / WordBits;
            ulong stop = Math.Min(((end - 1) / WordBits) + 1, (index | (BlockWords - 1)) + 1);
            int zeroes = ZeroScan.First(_words + index, (int)(stop - index));
            if (index + (ulong)zeroes < stop)
            {
                return Math.Max(at, (index + (ulong)zeroes) * WordBits);
            }
        }
        return end;
    }

    /// <summary>Brings the word of a bit near, for a pour that comes soon.</summary>
    public void Prefetch(ulong bit)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(_words + (bit / WordBits));
        }
    }

    internal static ulong RunMask(int offset, int length) =>
        (length == WordBits ? ulong.MaxValue : (1UL << length) - 1) << offset;

    private ulong LoadWord(ulong index) => index * WordBits < Bits ? Volatile.Read(ref _words[index]) : 0;

    private static ulong WordsFor(ulong bits) => (bits + WordBits - 1) / WordBits;

    /// <summary>A word at a time: a slot may have more words than a span can.</summary>
    private static void Fill(ulong* words, ulong bits)
    {
        ulong whole = bits / WordBits;
        for (ulong i = 0; i < whole; i++)
        {
            words[i] = ulong.MaxValue; // inside the region, as the last one
        }
        if (bits % WordBits != 0)
        {
            words[whole] = RunMask(0, (int)(bits % WordBits));
        }
    }

    private int OrWord(ulong index, ulong mask)
    {
        // Always the locked form: it is also the fence between the marker's store and its mark (rule 15), and between the word and
        // the look at the block's bit.
        ulong before = Interlocked.Or(ref _words[index], mask);
        ulong block = index >> _shift;
        ulong bit = 1UL << (int)(block % WordBits);
        Probe.At(Place.WordMarked);
        if ((Volatile.Read(ref _blocks[block / WordBits]) & bit) == 0)
        {
            Interlocked.Or(ref _blocks[block / WordBits], bit);
        }
        return BitOperations.PopCount(mask & ~before);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void OrWordAlone(ulong index, ulong mask)
    {
        _words[index] |= mask;
        ulong block = index >> _shift;
        _blocks[block / WordBits] |= 1UL << (int)(block % WordBits);
    }

    private void ForgetBlock(ulong block) => Interlocked.And(ref _blocks[block / WordBits], ~(1UL << (int)(block % WordBits)));

    /// <summary>Whether the blocks of a run (not empty) are known to be clear.</summary>
    public bool IsBlank(ulong first, ulong count)
    {
        ulong end = BlockOf(first + count - 1) + 1;
        return NextBlock(BlockOf(first), end) == end;
    }

    /// <summary>The first block from <paramref name="block"/> on that may not be clear; one past the last if there is none.</summary>
    private ulong NextBlock(ulong block) => NextBlock(block, Blocks);

    /// <summary>The same below <paramref name="end"/>, which is the answer if there is none.</summary>
    private ulong NextBlock(ulong block, ulong end)
    {
        if (block >= end)
        {
            return end;
        }
        ulong group = block / WordBits;
        ulong last = (end - 1) / WordBits;
        ulong left = Volatile.Read(ref _blocks[group]) & (ulong.MaxValue << (int)(block % WordBits));
        if (left == 0 && group != last)
        {
            group++;
            group += (ulong)ZeroScan.First(_blocks + group, (int)(last - group + 1)); // of a slot, so few enough
            left = group <= last ? Volatile.Read(ref _blocks[group]) : 0;
        }
        return left == 0 ? end : Math.Min(end, (group * WordBits) + (ulong)BitOperations.TrailingZeroCount(left));
    }

    private void AndWord(ulong index, ulong mask)
    {
        if (index * WordBits < Bits)
        {
            Interlocked.And(ref _words[index], mask);
        }
    }
}
