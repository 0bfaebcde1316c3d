using System;
using System.Globalization;
using System.IO;
using System.IO.Compression;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Image;

/// <summary>The walker against the verdicts of outside machines.</summary>
public sealed class VectorTests
{
    [TestCase("random-101")]
    [TestCase("random-103")]
    public void The_walker_finds_what_outside_machines_found(string name)
    {
        string folder = Path.Combine(Repository.Root, "tests", "vectors");
        using var packed = new GZipStream(File.OpenRead(Path.Combine(folder, name + ".bin.gz")), CompressionMode.Decompress);
        using var storage = new MemoryStream();
        packed.CopyTo(storage);
        ulong asce = 0;
        ulong ram = 0;
        bool edat = false;
        int judged = 0;
        foreach (string line in File.ReadLines(Path.Combine(folder, name + ".case")))
        {
            string[] words = line.Split(' ');
            switch (words[0])
            {
                case "ram":
                    ram = Number(words[1]);
                    break;
                case "asce":
                    asce = Number(words[1]);
                    break;
                case "cr0":
                    edat = (Number(words[1]) & 0x800000) != 0;
                    break;
                case "R" or "W":
                    var walker = new ArchitectedWalker(storage.GetBuffer()[..(int)storage.Length], 0x100000, ram, edat, edat2: false);
                    int code = walker.Walk(asce, Number(words[1]), words[0] == "W", out ulong real);
                    string found = code == 0 ? $"ok 0x{real:x}" : $"pgm 0x{code:x2}";
                    Assert.That(found, Is.EqualTo($"{words[2]} {words[3]}"), line);
                    judged++;
                    break;
            }
        }
        Assert.That(judged, Is.GreaterThan(2000));
    }

    private static ulong Number(string text) => ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
