using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Security.Cryptography;

namespace GmapNative.Fuzz;

/// <summary>The kept programs: one small file each.</summary>
internal static class Corpus
{
    private const int MostFiles = 400;
    private const int MostBytes = 200_000;

    public static List<byte[]> Read(string? folder) => folder is null || !Directory.Exists(folder) ? []
        : [.. Directory.EnumerateFiles(folder, "*.bin").Order(StringComparer.Ordinal).Select(File.ReadAllBytes).Where(p => p.Length > 0)];

    /// <summary>
    /// Writes the programs that together show what all do, the ones with most new keys for their length first; what the folder held
    /// before is replaced.
    /// </summary>
    public static void Write(string folder, List<(byte[] Program, ulong[] Keys)> programs)
    {
        HashSet<ulong> covered = [];
        List<byte[]> kept = [];
        foreach ((byte[] program, ulong[] keys) in programs.OrderByDescending(one => one.Keys.Length * 1000 / (one.Program.Length + 50)))
        {
            if (keys.Any(covered.Add) && kept.Count < MostFiles && kept.Sum(one => one.Length) + program.Length < MostBytes)
            {
                covered.UnionWith(keys);
                kept.Add(program);
            }
        }
        Directory.CreateDirectory(folder);
        foreach (string old in Directory.EnumerateFiles(folder, "*.bin"))
        {
            File.Delete(old);
        }
        foreach (byte[] program in kept)
        {
            File.WriteAllBytes(Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(program))[..12] + ".bin"), program);
        }
    }
}
