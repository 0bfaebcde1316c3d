using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.Litmus;

/// <summary>A line of twins.txt: a deliberate mistake, the test that has to catch it, how often the library holds threads up.</summary>
internal sealed record Twin(string Kind, string Name, string Test, string? Jostle, string? Place);

/// <summary>gmap-litmus as its tests run it: tests/GmapNative.Litmus, made by build.sh.</summary>
internal static partial class LitmusProgram
{
    public const int Passed = 0;
    public const int Violation = 1;
    public const int Inconclusive = 2;
    public const int Usage = 64;

    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(5);

    /// <summary>Seconds of one run, and of the next where it told nothing: the machine may be busy.</summary>
    private static readonly double[] s_growing = [0.3, 1, 4, 15, 40];

    public static string Sources { get; } = Path.Combine(Repository.Root, "tests", "GmapNative.Litmus");

    public static string Programs { get; } = Path.Combine(Repository.Artifacts, "bin", "tests");

    /// <summary>The names of the tests, as programs.c has them.</summary>
    public static IEnumerable<string> Tests() =>
        TestName().Matches(File.ReadAllText(Path.Combine(Sources, "programs.c"))).Select(match => match.Groups[1].Value);

    public static IEnumerable<Twin> Twins() =>
        File.ReadLines(Path.Combine(Sources, "twins.txt"))
            .Where(line => !line.StartsWith('#'))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Select(words => new Twin(words[0], words[1], words[2], words.ElementAtOrDefault(3), words.ElementAtOrDefault(4)));

    public static bool Exists(string program) => File.Exists(Path.Combine(Programs, program));

    public static (int Status, string Output) Run(
        string program, IReadOnlyList<string> arguments, params (string Name, string Value)[] environment)
    {
        string path = Path.Combine(Programs, program);
        Assert.That(path, Does.Exist, "run ./build.sh test, or make -C tests/GmapNative.Litmus");
        return NativeHost.Run(path, arguments, s_patience, environment);
    }

    /// <summary>
    /// Runs until the status tells something, each time longer: inconclusive never does, and passed does not where a violation is
    /// expected. Fails the test with what the program said.
    /// </summary>
    public static void Expect(
        int expected, string program, string[] arguments, params (string Name, string Value)[] environment)
    {
        int status = Inconclusive;
        string output = "";
        for (int i = 0; i < s_growing.Length && (status == Inconclusive || (status == Passed && expected == Violation)); i++)
        {
            string seconds = s_growing[i].ToString(System.Globalization.CultureInfo.InvariantCulture);
            (status, output) = Run(program, ["--seconds", seconds, .. arguments], environment);
        }
        TestContext.Out.Write(output);
        Assert.That(status, Is.EqualTo(expected), $"{program} {string.Join(' ', arguments)}\n{output}");
    }

    [GeneratedRegex("^  \\{\"([a-z-]+)\"", RegexOptions.Multiline)]
    private static partial Regex TestName();
}
