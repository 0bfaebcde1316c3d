using System;
using System.Threading;
using GmapNative.Memory;

namespace GmapNative.Space;

/// <summary>What <c>gmap_rate</c> tells. Times are those of CLOCK_MONOTONIC.</summary>
internal readonly record struct RateReading(ulong Pages, ulong Nanoseconds, ulong PagesPerSecond);

/// <summary>
/// How many pages of a slot became dirty. A page counts where it is marked, unmapped, or taken from its entry (or the kernel) and is not
/// in the logs of all consumers yet: once between two takes, by whichever consumer, and whoever wrote or marked it. (One that is marked
/// in the very moment it is taken may count twice.) What was dirty when logging began is in all logs and does not count.
/// </summary>
internal sealed class DirtyRate
{
    private const int Stripes = 8; // of calls whose section is not known; behind those of the sections
    private const int Words = 16; // two cache lines each: marks come from many threads

    private readonly long[] _marked = new long[(1 + LibrarySections.Count + Stripes) * Words]; // the first keeps others' objects away
    private ulong _taken;
    private long _roundBegan = Clock.Now;
    private long _lastRoundBegan = Clock.Now;
    private ulong _pagesOfRound;     // all that had become dirty when the last take of the round was done
    private ulong _pagesOfLastRound;
    private ulong _lastTakeFirst = ulong.MaxValue;

    /// <summary>
    /// Pages that came into the log by a mark. Any thread; in a <paramref name="section"/>, of which nobody else has the words
    /// (negative: it is not known).
    /// </summary>
    public void CountMarked(long pages, int section)
    {
        if (pages != 0 && section >= 0)
        {
            ref long marked = ref _marked[(1 + section) * Words];
            Volatile.Write(ref marked, marked + pages);
        }
        else if (pages != 0)
        {
            Interlocked.Add(ref _marked[(1 + LibrarySections.Count + ((uint)View.CurrentThread % Stripes)) * Words], pages);
        }
    }

    /// <summary>Pages that came from entries, or from the kernel. Under the slot's harvest lock.</summary>
    public void CountTaken(ulong pages) => Volatile.Write(ref _taken, _taken + pages);

    /// <summary>
    /// A take of pages from <paramref name="first"/> on is done. Takes of parts that ascend make one round, as one take of everything
    /// does. Under the harvest lock.
    /// </summary>
    public void EndTake(ulong first)
    {
        if (first <= _lastTakeFirst)
        {
            _lastRoundBegan = _roundBegan;
            _pagesOfLastRound = _pagesOfRound;
            _roundBegan = Clock.Now;
        }
        _lastTakeFirst = first;
        _pagesOfRound = Pages;
    }

    /// <summary>Under the harvest lock.</summary>
    public RateReading Read() => new(
        Pages, Clock.Nanoseconds(Clock.Now), PerSecond(_pagesOfRound - _pagesOfLastRound, _roundBegan - _lastRoundBegan));

    /// <summary>Pages in so many ticks of <see cref="Clock.Now"/>, by the second.</summary>
    public static ulong PerSecond(ulong pages, long ticks) =>
        ticks <= 0 ? 0 : (ulong)(pages * (double)Clock.TicksInASecond / ticks);

    private ulong Pages
    {
        get
        {
            ulong pages = _taken;
            for (int i = Words; i < _marked.Length; i += Words)
            {
                pages += (ulong)Volatile.Read(ref _marked[i]);
            }
            return pages;
        }
    }
}

/// <summary>The rate of a count that somebody else keeps: the mean between two readings. Thread-safe.</summary>
internal sealed class RateMeter
{
    private readonly Lock _gate = new();
    private long _last = Clock.Now;
    private ulong _pages;

    public RateReading Read(ulong pages)
    {
        lock (_gate)
        {
            long now = Clock.Now;
            // Two readers may come in another order than they read the count.
            ulong more = pages > _pages ? pages - _pages : 0;
            var reading = new RateReading(pages, Clock.Nanoseconds(now), DirtyRate.PerSecond(more, now - _last));
            _last = now;
            _pages = Math.Max(pages, _pages);
            return reading;
        }
    }
}
