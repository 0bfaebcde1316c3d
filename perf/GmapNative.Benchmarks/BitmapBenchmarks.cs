using System;
using BenchmarkDotNet.Attributes;
using GmapNative.Memory;

namespace GmapNative.Benchmarks;

/// <summary>A log and an epoch of 16 GiB of guest: what a harvest does to them.</summary>
public class BitmapBenchmarks : IDisposable
{
    private const ulong Bits = 1 << 22;

    private Arena? _arena;
    private PinnedBitmap? _log;
    private PinnedBitmap? _epoch;

    /// <summary>One word of so many has a bit; 0: none.</summary>
    [Params(0, 1024, 16)]
    public int WordOneOf { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        SmallGuest.Check(Arena.TryCreate(8 << 20, requireLock: false, hugeSteps: false, out _arena));
        _log = PinnedBitmap.TryCreate(_arena!, Bits);
        _epoch = PinnedBitmap.TryCreate(_arena!, Bits, lines: true);
        Mark(_epoch!);
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _log?.Free();
        _epoch?.Free();
        _arena?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark]
    public ulong Skip()
    {
        ulong found = 0;
        for (ulong at = _epoch!.Skip(0, Bits); at < Bits; at = _epoch.Skip((at | 63) + 1, Bits))
        {
            found++;
        }
        return found;
    }

    /// <summary>There and back: two moves, and the bits are where they were.</summary>
    [Benchmark]
    public bool Move() => _epoch!.MoveTo(_log!, 0, Bits) & _log!.MoveTo(_epoch, 0, Bits);

    /// <summary>What the bits of the others are measured against.</summary>
    [Benchmark]
    public int Or() => Mark(_epoch!);

    private int Mark(PinnedBitmap bitmap)
    {
        int added = 0;
        for (ulong word = 0; WordOneOf != 0 && word < Bits / 64; word += (ulong)WordOneOf)
        {
            added += bitmap.Or(word * 64, 0x10);
        }
        return added;
    }
}
