using System;
using System.Numerics;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>
/// A look for segments of a table whose summary word is not zero, from <paramref name="first"/> to <paramref name="end"/> - 1, in the
/// stripes that are flagged (rule 39). Others may set words meanwhile; what is set behind the look is found by the next one.
/// </summary>
internal unsafe struct FlaggedSegments(SegmentTable table, int first, int end)
{
    private const ulong StripeSize = SegmentTable.StripeSegments * GuestAddress.SegmentSize;

    private readonly uint _stripes = table.Stripes;
    private uint _found; // stripes in which there was one

    /// <summary>Where the look goes on.</summary>
    public int Next { get; private set; } = first;

    /// <summary>Fills <paramref name="batch"/> (32 places or more); how many. 0: none is left.</summary>
    public int Read(Span<int> batch)
    {
        int count = 0;
        bool room = true;
        while (room && Next < end)
        {
            uint left = _stripes & (uint.MaxValue << (Next / SegmentTable.StripeSegments));
            if (left == 0)
            {
                Next = end;
                break;
            }
            int stripe = BitOperations.TrailingZeroCount(left);
            Next = Math.Max(Next, stripe * SegmentTable.StripeSegments);
            int before = count;
            room = ReadStripe(Math.Min(end, (stripe + 1) * SegmentTable.StripeSegments), batch, ref count);
            _found |= count != before || !room ? 1u << stripe : 0;
        }
        return count;
    }

    /// <summary>
    /// After a take of begin..stop-1 of what was read, bytes from the table's first on, all of one slot: clears the bits of stripes that
    /// lie in there and in which nothing was found, and looks once more (rule 39). Under the harvest lock of that slot.
    /// </summary>
    public readonly void Forget(ulong begin, ulong stop)
    {
        int from = (int)((begin + StripeSize - 1) / StripeSize);
        int to = (int)(stop / StripeSize);
        if (Probe.LeavesOut(Step.PartialStripeForgotten))
        {
            from = (int)(begin / StripeSize);
            to = (int)((stop + StripeSize - 1) / StripeSize);
        }
        uint inside = from >= to ? 0 : (uint.MaxValue >> (32 - (to - from))) << from;
        uint empty = _stripes & ~_found & inside;
        if (empty == 0)
        {
            return;
        }
        Probe.At(Place.StripesEmpty);
        table.ClearStripes(empty);
        Probe.At(Place.StripesCleared);
        uint flagged = Probe.LeavesOut(Step.StripeNotLookedAtAgain) ? 0 : SetIn(empty);
        if (flagged != 0)
        {
            table.FlagStripes(flagged); // for somebody who found the bit still set
        }
    }

    private bool ReadStripe(int stop, Span<int> batch, ref int count)
    {
        // Summary words of a table that is not freed before the section, or the lock, of the caller ends.
        uint* summaries = table.Summaries;
        int next = Next;
        bool room = true;
        while ((next = ZeroScan.FirstTurn(summaries, next, stop)) < stop)
        {
            room = batch.Length - count >= ZeroScan.Turn;
            if (!room)
            {
                break;
            }
            if (stop - next < ZeroScan.Turn)
            {
                for (; next < stop; next++)
                {
                    batch[count] = next;
                    count += Volatile.Read(ref summaries[next]) != 0 ? 1 : 0;
                }
                break;
            }
            for (uint set = ZeroScan.Set(summaries + next); set != 0; set &= set - 1)
            {
                batch[count++] = next + BitOperations.TrailingZeroCount(set);
            }
            next += ZeroScan.Turn;
        }
        Next = next;
        return room;
    }

    /// <summary>Those of <paramref name="stripes"/> that have a summary word that is not zero.</summary>
    private readonly uint SetIn(uint stripes)
    {
        uint set = 0;
        for (; stripes != 0; stripes &= stripes - 1)
        {
            int at = BitOperations.TrailingZeroCount(stripes) * SegmentTable.StripeSegments;
            bool none = ZeroScan.FirstTurn(table.Summaries, at, at + SegmentTable.StripeSegments) == at + SegmentTable.StripeSegments;
            set |= none ? 0 : stripes & (uint)-(int)stripes;
        }
        return set;
    }
}
