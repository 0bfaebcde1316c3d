using System;
using System.Numerics;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// One bit a page in pinned memory: a slot's log or epoch. Every method is atomic per word and may run beside any other.
/// </summary>
internal sealed unsafe class PinnedBitmap
{
    private const int WordBits = 64;

    private readonly Arena _arena;
    private readonly GuardedRegion _region;
    private readonly bool _locked;
    private readonly ulong* _words; // start of _region: page aligned, alive until Free

    private PinnedBitmap(Arena arena, GuardedRegion region, bool locked, ulong bits)
    {
        _arena = arena;
        _region = region;
        _locked = locked;
        _words = (ulong*)region.Start;
        Bits = bits;
    }

    public ulong Bits { get; }

    /// <summary>All clear; null when the arena's budget is exhausted.</summary>
    public static PinnedBitmap? TryCreate(Arena arena, ulong bits)
    {
        nuint bytes = (nuint)((((bits + WordBits - 1) / WordBits * sizeof(ulong)) + 4095) & ~4095UL);
        GuardedRegion? region = arena.TryTakeRegion(bytes, out bool locked);
        return region is null ? null : new PinnedBitmap(arena, region, locked, bits);
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

    /// <summary>Sets a run of bits; the number that were clear before.</summary>
    public ulong OrRange(ulong first, ulong count)
    {
        ulong added = 0;
        ulong end = first + count;
        while (first < end)
        {
            int offset = (int)(first % WordBits);
            int length = (int)Math.Min(WordBits - (ulong)offset, end - first);
            added += (ulong)OrWord(first / WordBits, RunMask(offset, length));
            first += (ulong)length;
        }
        return added;
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

    /// <summary>Moves the bits of a range into <paramref name="target"/>: there first, then cleared here. True if there were any.</summary>
    public bool MoveTo(PinnedBitmap target, ulong first, ulong count)
    {
        bool any = false;
        ulong end = first + count;
        for (ulong at = Skip(first, end); at < end; at = Skip((at | (WordBits - 1)) + 1, end))
        {
            ulong index = at / WordBits;
            ulong bits = LoadWord(index) & RunMask((int)(at % WordBits), (int)Math.Min(WordBits - (at % WordBits), end - at));
            if (bits != 0)
            {
                target.OrWord(index, bits);
                AndWord(index, ~bits);
                any = true;
            }
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
        if (first >= end)
        {
            return end;
        }
        ulong index = first / WordBits;
        ulong words = ((end - 1) / WordBits) - index + 1; // a slot has less than 2^31 words
        int zeroes = new ReadOnlySpan<ulong>(_words + index, (int)words).IndexOfAnyExcept(0UL);
        return zeroes < 0 ? end : Math.Max(first, (index + (ulong)zeroes) * WordBits);
    }

    internal static ulong RunMask(int offset, int length) =>
        (length == WordBits ? ulong.MaxValue : (1UL << length) - 1) << offset;

    private ulong LoadWord(ulong index) => index * WordBits < Bits ? Volatile.Read(ref _words[index]) : 0;

    private int OrWord(ulong index, ulong mask)
    {
        // Always the locked form: it is also the fence between the marker's store and its mark (rule 15).
        ulong before = Interlocked.Or(ref _words[index], mask);
        return BitOperations.PopCount(mask & ~before);
    }

    private void AndWord(ulong index, ulong mask)
    {
        if (index * WordBits < Bits)
        {
            Interlocked.And(ref _words[index], mask);
        }
    }
}
