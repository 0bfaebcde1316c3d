using System;
using System.Runtime.InteropServices;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>What a space counts; each name carries its unit. Cache lines of its own, whatever stands before and behind.</summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal struct CounterWords
{
    public const int Bytes = 384; // of which less than 256 are used: two of them never share a pair of lines

    public long ReadFaults;
    public long WriteFaults;
    public long GuestConditions;
    public long SegmentsMapped;
    public long PagesMapped;
    public long Splits;
    public long SplitsLost;
    public long PagesGranted;
    public long SegmentsGranted;
    public long PagesUnmapped;
    public long Armings;
    public long Harvests;
    public long PagesHarvested;
    public long PagesTaken;
    public long PagesMarked;
    public long HarvestNanoseconds;
    public long BackingScans;
    public long Collapses;
    public long PagesDiscarded;
    public long PagesAged;

    /// <summary>As <see cref="PagesMarked"/>, by section: bumped only by who is in the section of this number.</summary>
    public long PagesMarkedInSections;
    public long Epochs;
}

/// <summary>
/// Counters that threads bump without sharing a cache line: each has words of its own (until there are more than 32 threads, which then
/// share them, and still nothing is lost). Bumped with <see cref="Add"/> on <see cref="Mine"/>, read at any time with <see cref="Total"/>.
/// </summary>
internal sealed class SpaceCounters
{
    public const int Stripes = 32;

    private readonly CounterWords[] _stripes = new CounterWords[1 + Stripes]; // the first keeps others' objects away

    /// <summary>The calling thread's words.</summary>
    public ref CounterWords Mine => ref Of(View.CurrentThread);

    /// <summary>The same for a caller that knows its number already.</summary>
    public ref CounterWords Of(int thread) => ref _stripes[1 + ((uint)thread % Stripes)];

    public static void Add(ref long counter, long amount = 1) => Interlocked.Add(ref counter, amount);

    /// <summary>
    /// The sums, read word by word: each is exact when nobody counts, and never less than an earlier one.
    /// </summary>
    public CounterWords Total()
    {
        CounterWords total = default;
        Span<long> sums = MemoryMarshal.Cast<CounterWords, long>(new Span<CounterWords>(ref total));
        foreach (ref CounterWords stripe in _stripes.AsSpan())
        {
            Span<long> words = MemoryMarshal.Cast<CounterWords, long>(new Span<CounterWords>(ref stripe));
            for (int i = 0; i < words.Length; i++)
            {
                sums[i] += Volatile.Read(ref words[i]);
            }
        }
        return total;
    }
}
