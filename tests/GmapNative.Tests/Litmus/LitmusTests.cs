using System.Collections.Generic;
using System.IO;
using System.Linq;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.Litmus;

/// <summary>Real threads against the built libraries, each program for a moment; and the mistakes that have to be caught.</summary>
[TestFixture]
[NonParallelizable]
internal sealed class LitmusTests
{
    private const string Litmus = "gmap-litmus";

    /// <summary>As run.sh: so often are threads held up between the steps of the header.</summary>
    private static readonly string[] s_jostled = ["--jostle", "4"];

    private static readonly string[] s_byGeneration = ["--tracking", "generation"];

    private static readonly (string Name, string Value) s_libraryJostled = ("GMAP_CHECK_JOSTLE", "16");

    private static readonly (string Name, string Value) s_checkFlavour =
        ("LD_LIBRARY_PATH", Path.Combine(Repository.LibraryFolder, "check"));

    /// <summary>Of those that leave a step of the library out: the ones that show within a moment.</summary>
    private static readonly string[] s_steps =
    [
        "NoGrace", "NoBump", "PartialLineCleared", "LogMovesIgnored", "BlockForgottenLate", "NoPourOnUnmap", "StaleSoftDirtyKept",
        "ShadowsNotEmptied", "ShadowRightsStay",
    ];

    // What is not instrumented is passed over: README.md of the litmus tests says what that means.
    private static readonly (string Name, string Value) s_threadSanitizer =
        ("TSAN_OPTIONS", "halt_on_error=1 ignore_noninstrumented_modules=1");

    private static IEnumerable<string> Names => LitmusProgram.Tests();

    private static IEnumerable<Twin> HeaderTwins => LitmusProgram.Twins().Where(twin => twin.Kind == "header");

    private static IEnumerable<Twin> LibraryTwins =>
        LitmusProgram.Twins().Where(twin => twin.Kind == "library" && s_steps.Contains(twin.Name));

    private static IEnumerable<Twin> GenerationTwins =>
        LitmusProgram.Twins().Where(twin => twin.Kind == "generation" && s_steps.Contains(twin.Name));

    private static IEnumerable<Twin> HarnessTwins => LitmusProgram.Twins().Where(twin => twin.Kind == "harness");

    [TestCaseSource(nameof(Names))]
    public void The_shipped_library(string name) =>
        LitmusProgram.Expect(LitmusProgram.Passed, Litmus, ["--only", name]);

    [TestCase("unmap,unmap-parts,policy-never-unmap,limit,other-slot")]
    [TestCase("split,collapse-dirty,fill,age,discard,operator")]
    [TestCase("nested,nested-operator")]
    public void Freed_tables_are_poisoned(string names) =>
        LitmusProgram.Expect(
            LitmusProgram.Passed, Litmus, ["--only", names], s_checkFlavour, s_libraryJostled);

    [TestCase("unmap,unmap-parts,policy-never-unmap,limit,other-slot,split,collapse-dirty,fill,age,discard,operator")]
    [TestCase("watch,watch-operator,watch-never,nested,nested-operator")]
    public void Page_tables_with_PGSTEs(string names) =>
        LitmusProgram.Expect(
            LitmusProgram.Passed, Litmus, ["--only", names, "--format", "pgste"], s_checkFlavour, s_libraryJostled);

    [TestCaseSource(nameof(HeaderTwins))]
    public void A_mistake_in_the_header_is_caught(Twin twin) =>
        LitmusProgram.Expect(
            LitmusProgram.Violation, $"{Litmus}-{twin.Name}", ["--only", twin.Test, .. s_jostled]);

    [TestCaseSource(nameof(LibraryTwins))]
    public void A_mistake_in_the_library_is_caught(Twin twin) =>
        LitmusProgram.Expect(
            LitmusProgram.Violation,
            Litmus,
            ["--only", twin.Test, .. s_jostled],
            s_checkFlavour,
            ("GMAP_CHECK_JOSTLE", twin.Jostle!),
            ("GMAP_CHECK_JOSTLE_AT", twin.Place ?? ""),
            ("GMAP_CHECK_LEAVE_OUT", twin.Name));

    [TestCaseSource(nameof(Names))]
    public void Tracking_by_generation(string name) =>
        LitmusProgram.Expect(LitmusProgram.Passed, Litmus, ["--only", name, .. s_byGeneration]);

    [TestCase("unmap,unmap-parts,policy-never-unmap,limit,other-slot,split,collapse-dirty,fill,age,discard,operator")]
    public void Freed_tables_are_poisoned_by_generation(string names) =>
        LitmusProgram.Expect(
            LitmusProgram.Passed, Litmus, ["--only", names, .. s_byGeneration], s_checkFlavour, s_libraryJostled);

    [TestCaseSource(nameof(GenerationTwins))]
    public void A_mistake_in_the_library_is_caught_by_generation(Twin twin) =>
        LitmusProgram.Expect(
            LitmusProgram.Violation,
            Litmus,
            ["--only", twin.Test, .. s_jostled, .. s_byGeneration],
            s_checkFlavour,
            ("GMAP_CHECK_JOSTLE", twin.Jostle!),
            ("GMAP_CHECK_LEAVE_OUT", twin.Name));

    [TestCaseSource(nameof(HarnessTwins))]
    public void A_mistake_of_the_harness_is_caught(Twin twin) =>
        LitmusProgram.Expect(
            LitmusProgram.Violation, Litmus, ["--control", twin.Name, "--only", twin.Test]);

    [Test]
    public void Equality_at_the_end_cannot_see_a_mark_that_comes_late() =>
        LitmusProgram.Expect(
            LitmusProgram.Passed,
            Litmus,
            ["--control", "late-mark", "--oracle", "end", "--only", "slow-devices"]);

    [Test]
    public void Every_step_and_every_test_of_the_twins_exists()
    {
        string[] tests = [.. LitmusProgram.Tests()];
        Assert.That(LitmusProgram.Twins().Select(twin => twin.Test).Distinct(), Is.SubsetOf(tests));
        Assert.That(
            LitmusProgram.Twins().Where(twin => twin.Kind is "library" or "generation").Select(twin => twin.Name).Distinct(),
            Is.SubsetOf(System.Enum.GetNames<Step>()));
        (int status, string output) = LitmusProgram.Run(Litmus, ["--list"]);
        Assert.That(status, Is.Zero);
        Assert.That(output.Split('\n', System.StringSplitOptions.RemoveEmptyEntries), Is.EqualTo(tests));
    }

    [Test]
    public void ThreadSanitizer_sees_no_race_in_the_header()
    {
        RequireThreadSanitizer();
        LitmusProgram.Expect(
            LitmusProgram.Passed,
            "gmap-litmus-tsan",
            ["--only", "same-pages,cache,all-paths,two-harvesters-mixed,operator"],
            s_threadSanitizer);
    }

    [Test]
    public void ThreadSanitizer_sees_a_plain_access_to_a_summary_word()
    {
        RequireThreadSanitizer();
        LitmusProgram.Expect(
            LitmusProgram.Violation,
            "gmap-litmus-tsan-plain-summary",
            ["--only", "same-pages"],
            s_threadSanitizer);
    }

    [Test]
    public void AddressSanitizer_sees_nothing()
    {
        if (!LitmusProgram.Exists("gmap-litmus-asan"))
        {
            NativeHost.Skip("this compiler has no AddressSanitizer (libasan)");
        }
        LitmusProgram.Expect(
            LitmusProgram.Passed,
            "gmap-litmus-asan",
            ["--only", "all-paths,unmap-parts,discard,operator"],
            NativeHost.SanitizerOptions);
    }

    [TestCase("--seconds", "none")]
    [TestCase("--only", "no-such-test")]
    [TestCase("--threads", "9")]
    [TestCase("--nothing", "")]
    public void What_is_not_understood_is_usage(string option, string value) =>
        Assert.That(LitmusProgram.Run(Litmus, [option, value]).Status, Is.EqualTo(LitmusProgram.Usage));

    [Test]
    public void A_twin_whose_line_is_gone_is_an_error()
    {
        string empty = Path.GetTempFileName();
        try
        {
            (int status, string output) = NativeHost.Run(
                Path.Combine(LitmusProgram.Sources, "alter.sh"), ["no-summary", empty], System.TimeSpan.FromMinutes(1), []);
            Assert.That(status, Is.Not.Zero);
            Assert.That(output, Does.Contain("0 lines"));
        }
        finally
        {
            File.Delete(empty);
        }
    }

    [Test]
    public void The_verb_counts_what_it_saw()
    {
        (int status, string output) = NativeHost.Run(
            Path.Combine(LitmusProgram.Sources, "run.sh"),
            ["--seconds", "0.5", "--only", "crossing"],
            System.TimeSpan.FromMinutes(5),
            [("LITMUS_BIN", LitmusProgram.Programs), ("LITMUS_LIB", Repository.LibraryFolder)]);
        Assert.That(output.TrimEnd(), Does.EndWith("6 passed, 1 twins caught, 0 missed"), output);
        Assert.That(status, Is.Zero);
    }

    private static void RequireThreadSanitizer()
    {
        if (!LitmusProgram.Exists("gmap-litmus-tsan"))
        {
            NativeHost.Skip("this compiler has no ThreadSanitizer (libtsan)");
        }
    }
}
