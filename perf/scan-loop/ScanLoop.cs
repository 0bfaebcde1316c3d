using System.Runtime.InteropServices;
using GmapNative.Tables;

namespace GmapNative.ScanLoop;

/// <summary>What perf/costs/scan.c calls once for very many tables.</summary>
internal static unsafe class ScanLoop
{
    private const int Entries = 256;

    /// <summary>Scans n page tables, one behind the other, that many times; 4 words of each go to <paramref name="bits"/>.</summary>
    [UnmanagedCallersOnly(EntryPoint = "gmap_scan_tables")]
    public static void Scan(ulong* tables, ulong n, ulong times, ulong* bits)
    {
        for (; times != 0; times--)
        {
            ulong* into = bits; // the caller's, 4 words a table
            for (ulong* table = tables; table < tables + (n * Entries); table += Entries)
            {
                var page = new PageTable((ulong)table);
                into[0] = page.SoftDirty(0);
                into[1] = page.SoftDirty(1);
                into[2] = page.SoftDirty(2);
                into[3] = page.SoftDirty(3);
                into += PageTable.Groups;
            }
        }
    }
}
