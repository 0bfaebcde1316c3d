using System;
using System.IO;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>What the process holds; between programs it may not grow.</summary>
internal sealed record Footprint(int Mappings, int Threads, int Descriptors, long ResidentBytes)
{
    // What the driver's own runtime may come and go with.
    private const int MoreMappings = 150;
    private const int MoreThreads = 6;
    private const int MoreDescriptors = 8;
    private const long MoreBytes = 256 << 20;

    public static Footprint Now()
    {
        int threads = Directory.GetDirectories("/proc/self/task").Length;
        return new(
            File.ReadLines("/proc/self/maps").Count(), threads, Directory.GetFiles("/proc/self/fd").Length, Environment.WorkingSet);
    }

    /// <summary>Null, or what has grown since <paramref name="before"/>.</summary>
    public string? GrownSince(Footprint before) =>
        Mappings > before.Mappings + MoreMappings ? $"{Mappings} mappings, {before.Mappings} before"
        : Threads > before.Threads + MoreThreads ? $"{Threads} threads, {before.Threads} before"
        : Descriptors > before.Descriptors + MoreDescriptors ? $"{Descriptors} descriptors, {before.Descriptors} before"
        : ResidentBytes > before.ResidentBytes + MoreBytes ? $"{ResidentBytes >> 20} MiB resident, {before.ResidentBytes >> 20} before"
        : null;
}
