using System;
using BenchmarkDotNet.Attributes;
using GmapNative.Dirty;
using GmapNative.Space;

namespace GmapNative.Benchmarks;

/// <summary>Faults, splits and harvests of a guest of 1 GiB whose segments are all split.</summary>
public unsafe class SpaceBenchmarks : IDisposable
{
    private const ulong Size = 1 << 30;
    private const ulong Pages = Size / SmallGuest.Page;
    private const int Writes = 256;
    private const ulong Stride = Size / Writes;
    private const int Splits = 64;

    private readonly ulong[] _bitmap = GC.AllocateArray<ulong>((int)(Pages / 64), pinned: true);
    private SmallGuest? _guest;
    private SmallGuest? _leaves;

    [GlobalSetup]
    public void Open()
    {
        _guest = new SmallGuest(Size);
        for (ulong at = 0; at < Size; at += SmallGuest.Segment)
        {
            SmallGuest.Check(_guest.Fault(at, Access.Write));
        }
        Harvest();
        _leaves = new SmallGuest(Splits * SmallGuest.Segment);
        SmallGuest.Check(RangeCalls.Populate(_leaves.Space, 0, Splits * SmallGuest.Segment, Access.Read, out _));
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _guest?.Dispose();
        _leaves?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(OperationsPerInvoke = Writes)]
    public int ReadFault() => FaultAll(Access.Read);

    /// <summary>After the first round every page is dirty.</summary>
    [Benchmark(OperationsPerInvoke = Writes)]
    public int WriteFaultDirtyPage() => FaultAll(Access.Write);

    [Benchmark]
    public ulong HarvestClean() => Harvest();

    /// <summary>256 pages, one in four segments: made dirty by faults, harvested, armed again.</summary>
    [Benchmark(OperationsPerInvoke = Writes)]
    public ulong WriteFaultsAndHarvest()
    {
        SmallGuest.Check(FaultAll(Access.Write));
        return Harvest();
    }

    /// <summary>64 leaves split, and put back.</summary>
    [Benchmark(OperationsPerInvoke = Splits)]
    public int SplitAndCollapse() =>
        RangeCalls.Split(_leaves!.Space, 0, Splits * SmallGuest.Segment, out _)
            | RangeCalls.Collapse(_leaves.Space, 0, Splits * SmallGuest.Segment, out _);

    private int FaultAll(Access access)
    {
        int failed = 0;
        for (ulong at = 0; at < Size; at += Stride)
        {
            failed |= _guest!.Fault(at, access);
        }
        return failed;
    }

    private ulong Harvest()
    {
        fixed (ulong* words = _bitmap)
        {
            SmallGuest.Check(Harvester.Harvest(
                _guest!.Space, 1, 0, Pages, HarvestFlags.Or, words, (nuint)_bitmap.Length, out ulong dirty));
            return dirty;
        }
    }
}
