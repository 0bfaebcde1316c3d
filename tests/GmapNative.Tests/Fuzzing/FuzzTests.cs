using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Fuzzing;

/// <summary>The fuzzer of tests/GmapNative.Fuzz on the real library: its corpus, a minute of it, and that it sees a bug.</summary>
[TestFixture]
[NonParallelizable]
public sealed class FuzzTests
{
    private const string Shipped = "libgmapnative.so.1";
    private const string Check = "libgmapnative-check.so.1";

    private static string CorpusFolder => Path.Combine(Repository.Root, "tests", "GmapNative.Fuzz", "corpus");

    [Test]
    public void Every_export_is_driven()
    {
        string[] listed = [.. File.ReadLines(Path.Combine(Repository.Root, "native-exports", "exports.txt")).Where(l => l.StartsWith('g'))];
        (int status, string said) = Fuzz(Shipped, [], "--names");
        Assert.That(status, Is.Zero, said);
        Assert.That(said.Split('\n', StringSplitOptions.RemoveEmptyEntries), Is.EquivalentTo(listed));
    }

    [TestCase(Shipped)]
    [TestCase(Check)]
    public void The_corpus_shows_no_difference(string library)
    {
        Assert.That(Directory.GetFiles(CorpusFolder, "*.bin"), Is.Not.Empty);
        (int status, string said) = Fuzz(library, [], "--replay", CorpusFolder, "--quiet");
        Assert.That(status, Is.Zero, said);
        TestContext.Out.WriteLine(said);
    }

    /// <summary>About a minute, and the same one each time: what is new is looked for by the verb, whose seed is the time.</summary>
    [Test]
    public void Two_million_operations_show_no_crash_no_leak_no_difference()
    {
        (int status, string said) = Fuzz(Shipped, [], "--corpus", CorpusFolder, "--operations", "2000000", "--seed", "1");
        Assert.That(status, Is.Zero, said);
        TestContext.Out.WriteLine(said);
    }

    /// <summary>
    /// The fuzzer is a .NET process itself: both runtimes stop their threads by SIGRTMIN (gmap.h, "Two .NET"). With a nursery of 64 KB
    /// it collects garbage all the time.
    /// </summary>
    [Test]
    public void Two_runtimes_in_one_process_do_not_disturb_each_other()
    {
        Dictionary<string, string> often = new() { ["DOTNET_GCgen0size"] = "0x10000" };
        (int status, string said) = Fuzz(Shipped, often, "--corpus", CorpusFolder, "--operations", "100000", "--seed", "2");
        Assert.That(status, Is.Zero, said);
        (status, said) = Fuzz(Shipped, often, "--corpus", CorpusFolder, "--seconds", "3", "--threads");
        Assert.That(status, Is.Zero, said);
    }

    [Test]
    public void Two_threads_on_the_same_handles_do_no_harm()
    {
        (int status, string said) = Fuzz(Check, [], "--corpus", CorpusFolder, "--seconds", "5", "--threads");
        Assert.That(status, Is.Zero, said);
        TestContext.Out.WriteLine(said);
    }

    /// <summary>The walk alone: every code is among the answers.</summary>
    [Test]
    public void Hostile_tables_of_a_guest_show_no_difference()
    {
        (int status, string said) = Fuzz(Shipped, [], "--tables", "--seconds", "5");
        Assert.That(status, Is.Zero, said);
        foreach (int code in (int[])[0, 0x04, 0x05, 0x10, 0x11, 0x12, 0x38, 0x39, 0x3A, 0x3B])
        {
            Assert.That(said, Does.Match($@"[ :,]{code}: \d\d"));
        }
        TestContext.Out.WriteLine(said);
    }

    /// <summary>Bugs that one thread can see; the ones that need two are found by other tests.</summary>
    [TestCase("SplitForgetsDirty")]
    [TestCase("NoPourOnUnmap")]
    [TestCase("GetTakes")]
    [TestCase("OneConsumerOnly")]
    [TestCase("OpenTakesNothing")]
    [TestCase("RestoreUntold")]
    [TestCase("DiscardUntold")]
    [TestCase("ShadowsNotEmptied")]
    public void A_step_that_is_left_out_is_found(string step)
    {
        (int status, string said) = Fuzz(Check, new() { ["GMAP_CHECK_LEAVE_OUT"] = step }, "--seconds", "60", "--seed", "1", "--quiet");
        Assert.That(status, Is.EqualTo(1), said);
        Assert.That(said, Does.Contain("difference:"));
        TestContext.Out.WriteLine(said.Split('\n')[0]);
    }

    private static (int Status, string Said) Fuzz(string library, Dictionary<string, string> environment, params string[] arguments)
    {
        string program = Path.Combine(Repository.Artifacts, "dotnet", "bin", "GmapNative.Fuzz", "release", "GmapNative.Fuzz");
        string path = Path.Combine(Repository.Artifacts, "lib", library);
        Assert.That(File.Exists(path), $"{path} is missing: ./build.sh test builds it");
        string output = Path.Combine(Repository.Artifacts, "fuzz");
        var start = new ProcessStartInfo(program, ["--library", path, "--out", output, .. arguments]) { RedirectStandardOutput = true };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }
        using Process process = Process.Start(start)!;
        string said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, said);
    }
}
