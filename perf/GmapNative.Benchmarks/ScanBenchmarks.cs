using System;
using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
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

    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Groups()
    {
        ulong found = 0;
        for (ulong* table = _tables; table < _tables + (Tables * Entries); table += Entries)
        {
            var page = new PageTable((ulong)table);
            for (int group = 0; group < PageTable.Groups; group++)
            {
                found += page.SoftDirty(group);
            }
        }
        return found;
    }

    [Benchmark(OperationsPerInvoke = Tables)]
    public ulong Lines()
    {
        ulong found = 0;
        for (ulong* table = _tables; table < _tables + (Tables * Entries); table += Entries)
        {
            var page = new PageTable((ulong)table);
            for (int group = 0; group < PageTable.Groups; group++)
            {
                found += page.SoftDirty(group, 0xFF);
            }
        }
        return found;
    }

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
