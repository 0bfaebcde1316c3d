using System.Diagnostics;

namespace GmapNative;

/// <summary>Durations in nanoseconds: a TimeSpan has only hundreds of them.</summary>
internal static class Clock
{
    private const long NanosecondsInASecond = 1_000_000_000;

    public static long Now => Stopwatch.GetTimestamp();

    public static long TicksInASecond => Stopwatch.Frequency;

    /// <summary>Nanoseconds since <see cref="Now"/> was <paramref name="begin"/>.</summary>
    public static long Since(long begin) => (long)Nanoseconds(Stopwatch.GetTimestamp() - begin);

    /// <summary>What <see cref="Now"/> counts, in nanoseconds.</summary>
    public static ulong Nanoseconds(long ticks) => (ulong)InNanoseconds(ticks);

    private static long InNanoseconds(long ticks)
    {
        return Stopwatch.Frequency == NanosecondsInASecond
            ? ticks
            : (long)((double)ticks * NanosecondsInASecond / Stopwatch.Frequency);
    }
}
