using System;
using System.Collections.Generic;
using System.Linq;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>The shape of the sources: small files, rooms in their order, one layout.</summary>
[TestFixture]
public sealed class SourceHabits
{
    private const int MostLines = 450;
    private const int MostColumns = 140;

    private static readonly string[] s_everything = ["src", "native-exports", "tests"];
    private static readonly string[] s_csharp = ["src", "native-exports"];

    /// <summary>One header is the manual of all functions, as lmdb.h and zstd.h are, one the fast path; a host includes one file.</summary>
    private static readonly Dictionary<string, int> s_longOnPurpose = new()
    {
        ["native-exports/include/gmap.h"] = 1500,
        ["native-exports/include/gmap_inline.h"] = 500,
        ["native-exports/include/gmap.hpp"] = 600,
    };

    [Test]
    public void No_file_is_long()
    {
        IEnumerable<string> tooLong = Repository.Files(s_everything, ".cs", ".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".sh", ".md")
            .Select(file => (file, lines: Repository.Text(file).Count(c => c == '\n')))
            .Where(f => f.lines > s_longOnPurpose.GetValueOrDefault(f.file, MostLines))
            .Select(f => $"{f.file}: {f.lines} lines");
        Assert.That(tooLong, Is.Empty, $"more than {MostLines} lines: part the file by what it is about");
    }

    [Test]
    public void No_line_is_wide()
    {
        IEnumerable<string> tooWide = Repository.Files(s_everything, ".cs", ".c", ".h", ".cc", ".cpp", ".hpp")
            .SelectMany(file => Repository.Text(file).Split('\n').Select((line, i) => (file, number: i + 1, line.Length)))
            .Where(l => l.Length > MostColumns)
            .Select(l => $"{l.file}:{l.number}: {l.Length} columns");
        Assert.That(tooWide, Is.Empty);
    }

    [Test]
    public void Rooms_use_only_what_stands_before_them()
    {
        string[] files = [.. Repository.Files(s_csharp, ".cs")];
        Assert.That(files, Is.Not.Empty);
        Assert.That(files.SelectMany(file => RoomRules.Violations(file, Repository.Text(file))), Is.Empty);
    }

    [TestCase("Tables/A.cs", "using GmapNative.Bits;\nnamespace GmapNative.Tables;", 0)]
    [TestCase("Tables/A.cs", "namespace GmapNative.Tables;\nclass A { } // GmapNative.Space has the slots", 0)]
    [TestCase("Memory/A.cs", "namespace GmapNative.Memory;\n[LibraryImport(\"libc\")] x", 0)]
    [TestCase("Diagnostics/A.cs", "using GmapNative.Backing;\nnamespace GmapNative.Diagnostics;", 0)]
    [TestCase("Bits/A.cs", "using GmapNative.Tables;\nnamespace GmapNative.Bits;", 1)]
    [TestCase("Bits/A.cs", "using static GmapNative.Tables.Cell;\nnamespace GmapNative.Bits;", 1)]
    [TestCase("Bits/A.cs", "namespace GmapNative.Bits;\nclass A { int x = Tables.Cell.Size; }", 1)]
    [TestCase("Dirty/A.cs", "using GmapNative.Diagnostics;\nnamespace GmapNative.Dirty;", 1)]
    [TestCase("Status.cs", "using GmapNative.Bits;\nnamespace GmapNative;", 1)]
    [TestCase("Memory/A.cs", "namespace GmapNative.Bits;", 1)]
    [TestCase("Attic/A.cs", "namespace GmapNative.Attic;", 1)]
    [TestCase("Tables/A.cs", "namespace GmapNative.Tables;\n[LibraryImport(\"libc\")] x", 1)]
    [TestCase("Tables/A.cs", "namespace GmapNative.Tables;\n[DllImport(\"libc\")] x", 1)]
    public void Room_rules_find_what_they_forbid(string file, string text, int violations) =>
        Assert.That(RoomRules.Violations("src/GmapNative/" + file, text).Count(), Is.EqualTo(violations));

    [Test]
    public void Exports_do_not_call_the_system() =>
        Assert.That(RoomRules.Violations("native-exports/Exports/A.cs", "[LibraryImport(\"libc\")] x").Count(), Is.EqualTo(1));

    /// <summary>Style and analyzers are the build's, whose warnings are errors: they would take a minute more here.</summary>
    [Test]
    public void Sources_are_laid_out_as_editorconfig_says()
    {
        (int status, string output) =
            Repository.Run("dotnet", "format", "whitespace", "GmapNative.sln", "--no-restore", "--verify-no-changes");
        Assert.That(status, Is.Zero, $"./build.sh format puts it right:\n{output}");
    }
}
