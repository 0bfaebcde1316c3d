using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
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
    public long Notifications;
    public long PagesProtected;
    public long Unshadows;
}

/// <summary>
/// Counters that threads bump without sharing a cache line: each has words of its own (until there are more than 32 threads, which then
/// share them, and still nothing is lost). Bumped with <see cref="Add"/> on <see cref="Mine"/>, read at any time with <see cref="Total"/>.
/// </summary>
internal sealed class SpaceCounters
{
    public const int Stripes = 32;

    private readonly Lock _gate = new();
    private readonly Stack<OwnCounters> _free = new();
    private OwnCounters[] _owned = [];
    private readonly CounterWords[] _stripes = new CounterWords[1 + Stripes]; // the first keeps others' objects away

    /// <summary>The calling thread's words.</summary>
    public ref CounterWords Mine => ref Of(View.CurrentThread);

    /// <summary>The same for a caller that knows its number already.</summary>
    public ref CounterWords Of(int thread) => ref _stripes[1 + ((uint)thread % Stripes)];

    public static void Add(ref long counter, long amount = 1)
    {
        if (amount != 0) // a locked instruction that adds nothing costs as much
        {
            Interlocked.Add(ref counter, amount);
        }
    }

    /// <summary>
    /// Words for one view, bumped by its thread alone, by plain stores. <see cref="GiveBack"/> lets another view have them: what they
    /// counted stays.
    /// </summary>
    public OwnCounters Rent()
    {
        lock (_gate)
        {
            if (_free.TryPop(out OwnCounters? free))
            {
                return free;
            }
            var made = new OwnCounters();
            _free.EnsureCapacity(_owned.Length + 1); // giving back allocates nothing
            Volatile.Write(ref _owned, [.. _owned, made]);
            return made;
        }
    }

    public void GiveBack(OwnCounters counters)
    {
        lock (_gate)
        {
            _free.Push(counters);
        }
    }

    /// <summary>
    /// The sums, read word by word: each is exact when nobody counts, and never less than an earlier one.
    /// </summary>
    public CounterWords Total()
    {
        CounterWords total = default;
        Span<long> sums = MemoryMarshal.Cast<CounterWords, long>(new Span<CounterWords>(ref total));
        foreach (ref CounterWords stripe in _stripes.AsSpan())
        {
            AddTo(sums, ref stripe);
        }
        foreach (OwnCounters owned in Volatile.Read(ref _owned))
        {
            AddTo(sums, ref owned.Words);
        }
        return total;
    }

    private static void AddTo(Span<long> sums, ref CounterWords counted)
    {
        Span<long> words = MemoryMarshal.Cast<CounterWords, long>(new Span<CounterWords>(ref counted));
        for (int i = 0; i < words.Length; i++)
        {
            sums[i] += Volatile.Read(ref words[i]);
        }
    }
}

/// <summary>The counters of one view. Only its thread writes them, so plain stores do.</summary>
internal sealed class OwnCounters
{
    private readonly CounterWords[] _words = new CounterWords[3]; // the first and the last keep others' objects away

    public ref CounterWords Words => ref _words[1];

    /// <summary>One fault that the tables answered, and the pages it granted.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Count(bool write, int granted)
    {
        ref CounterWords words = ref Words;
        ref long faults = ref write ? ref words.WriteFaults : ref words.ReadFaults;
        Volatile.Write(ref faults, faults + 1);
        if (granted != 0)
        {
            Volatile.Write(ref words.PagesGranted, words.PagesGranted + granted);
        }
    }

    /// <summary>The same of a batch.</summary>
    public void Count(long reads, long writes, long granted)
    {
        ref CounterWords words = ref Words;
        Volatile.Write(ref words.ReadFaults, words.ReadFaults + reads);
        Volatile.Write(ref words.WriteFaults, words.WriteFaults + writes);
        Volatile.Write(ref words.PagesGranted, words.PagesGranted + granted);
    }
}
