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
                for (int group = 0; group < PageTable.Groups; group++) // one after the other, as a harvest does; four inlined ones spill
                {
                    into[group] = Group(table, group);
                }
                into += PageTable.Groups;
            }
        }
    }

#if SCAN_WIDTHS
    private static ulong Group(ulong* table, int group) => SoftDirtyScan.Group(table + (group * PageTable.GroupPages));
#else
    private static ulong Group(ulong* table, int group) => new PageTable((ulong)table).SoftDirty(group);
#endif
}
