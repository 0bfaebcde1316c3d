using System;
using System.Globalization;
using System.IO;
using GmapNative.Tests.Image;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>The tables of a guest that is being migrated, walked by the book; <c>./build.sh judge</c> has machines walk them.</summary>
[TestFixture]
public sealed class MigrateTablesTests
{
    private const ulong ImageAt = 0x40_0000;

    private static readonly string[] s_small =
        ["demo", "--guest", "threads", "--memory", "64M", "--rate", "20000", "--steps", "200000", "--max-rounds", "3"];

    [Test]
    public void Tables_in_mid_flight_say_what_the_engine_said([Values("lazy", "never")] string policy)
    {
        string folder = Directory.CreateTempSubdirectory("gmap-tables").FullName;
        try
        {
            MigrateResult result = MigrateProgram.Run([.. s_small, "--policy", policy, "--tables", Path.Combine(folder, "t")]);
            Assert.That(result.Status, Is.Zero, result.Everything);
            string[] cases = Directory.GetFiles(folder, $"t-threads-{policy}-*.case");
            Assert.That(cases, Is.Not.Empty, result.Everything);
            foreach (string path in cases)
            {
                Walk(path);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void Tables_of_a_nested_guest_are_refused()
    {
        MigrateResult result = MigrateProgram.Run(["demo", "--guest", "nested", "--tables", "t"]);
        Assert.That((result.Status, result.ErrorLines.Length), Is.EqualTo((2, 1)), result.Everything);
    }

    private static void Walk(string path)
    {
        var walker = new ArchitectedWalker(File.ReadAllBytes(Path.ChangeExtension(path, ".bin")), ImageAt, ulong.MaxValue, true, false);
        ulong asce = 0;
        int granted = 0;
        int refused = 0;
        foreach (string line in File.ReadLines(path))
        {
            string[] words = line.Split(' ');
            asce = words[0] == "asce" ? Number(words[1]) : asce;
            if (words[0] is not ("R" or "W"))
            {
                continue;
            }
            int code = walker.Walk(asce, Number(words[1]), words[0] == "W", out ulong real);
            (granted, refused) = code == 0 ? (granted + 1, refused) : (granted, refused + 1);
            Assert.That(code == 0 ? ("ok", real) : ("pgm", (ulong)code), Is.EqualTo((words[2], Number(words[3]))), $"{path}: {line}");
        }
        Assert.That(granted, Is.GreaterThan(1000), path);
        if (path.Contains("lazy", StringComparison.Ordinal)) // by the policy never, every leaf may have been written again
        {
            Assert.That(refused, Is.GreaterThan(100), path);
        }
    }

    private static ulong Number(string text) => ulong.Parse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
