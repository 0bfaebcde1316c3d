using System;
#if SCAN_WIDTHS
using System.Runtime.CompilerServices;
#endif
using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
#if SCAN_WIDTHS
using GmapNative.Memory;
#endif
using GmapNative.Tables;

namespace GmapNative.Benchmarks;

/// <summary>
/// One page table of 2 KB in the nearest cache: which of its 256 pages are soft-dirty. Each way is a loop of its own, so that no call
/// stands between the tables.
/// </summary>
public unsafe class ScanBenchmarks : IDisposable
{
    private const int Tables = 8; // 16 KB
    private const int Entries = 256;

    private ulong* _tables;

    /// <summary>One page of so many is dirty; 0: none.</summary>
    [Params(0, 16)]
    public int DirtyOneOf { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        _tables = (ulong*)NativeMemory.AlignedAlloc(Tables * Entries * sizeof(ulong), 4096);
        for (int i = 0; i < Tables * Entries; i++)
        {
            _tables[i] = ((ulong)i << 12) | (DirtyOneOf != 0 && i % DirtyOneOf == 0 ? 0xAUL : 0x200UL); // inside the allocation
        }
    }

    [GlobalCleanup]
    public void Dispose()
    {
        NativeMemory.AlignedFree(_tables);
        _tables = null;
        GC.SuppressFinalize(this);
    }

#if SCAN_WIDTHS
    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong AsBuilt() => Sum(VectorWidths.Widest);

    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Width64() => Sum(VectorWidth.Scalar);

    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Width128() => Sum(VectorWidth.Bits128);

    /// <summary>Wider than the build may use, this and the next are made of narrower instructions.</summary>
    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Width256() => Sum(VectorWidth.Bits256);

    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Width512() => Sum(VectorWidth.Bits512);

    [MethodImpl(MethodImplOptions.AggressiveInlining)] // the width is a constant to each
    private ulong Sum(VectorWidth width)
    {
        ulong found = 0;
        for (ulong* group = _tables; group < _tables + (Tables * Entries); group += PageTable.GroupPages)
        {
            found += SoftDirtyScan.Group(group, width);
        }
        return found;
    }
#else
    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong AsBuilt()
    {
        ulong found = 0;
        for (ulong* table = _tables; table < _tables + (Tables * Entries); table += Entries)
        {
            for (int group = 0; group < PageTable.Groups; group++)
            {
                found += new PageTable((ulong)table).SoftDirty(group);
            }
        }
        return found;
    }
#endif

    /// <summary>Not the engine's: what perf/compare measures the others against.</summary>
    [Benchmark(OperationsPerInvoke = Tables, Baseline = true)]
    public ulong Scalar()
    {
        ulong found = 0;
        for (ulong* entry = _tables; entry < _tables + (Tables * Entries); entry += 64)
        {
            ulong bits = 0;
            for (int page = 0; page < 64; page++)
            {
                bits |= ((entry[page] >> 1) & 1) << page; // inside the allocation
            }
            found += bits;
        }
        return found;
    }
}
