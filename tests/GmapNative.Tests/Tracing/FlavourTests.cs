using System;
using System.IO;
using System.Linq;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests.Tracing;

/// <summary>The two libraries: one ABI, and of the tracing nothing in the one that is shipped.</summary>
[TestFixture]
public sealed class FlavourTests
{
    private static readonly string s_folder = Path.Combine(Repository.Artifacts, "lib");

    [Test]
    public void Both_export_the_same_under_sonames_of_their_own()
    {
        var shipped = new ElfFile(Repository.Library);
        var traced = new ElfFile(Path.Combine(s_folder, "libgmapnative-trace.so.1"));
        Assert.That(traced.DefinedSymbols, Is.EquivalentTo(shipped.DefinedSymbols));
        Assert.That(traced.Flags1, Is.EqualTo(shipped.Flags1));
        Assert.That(traced.Soname, Is.EqualTo(shipped.Soname!.Replace(".so", "-trace.so", StringComparison.Ordinal)));
    }

    [Test]
    public void Folder_trace_holds_the_diagnostic_library_by_the_shipped_soname()
    {
        var link = new FileInfo(Path.Combine(s_folder, "trace", new ElfFile(Repository.Library).Soname!));
        Assert.That(link.ResolveLinkTarget(true)?.FullName, Is.EqualTo(Path.Combine(s_folder, "libgmapnative-trace.so.1")));
    }

    /// <summary>Names of the source's methods in the debug symbols, of the runtime's port in the library.</summary>
    [TestCase(".so.dbg", "GmapEvents")]
    [TestCase(".so.dbg", "GmapEventCounters")]
    [TestCase(".so.dbg", "GmapNative_Tell__")]
    [TestCase(".so.1", "SlowFault")]
    [TestCase(".so.1", "EventPipe")]
    [TestCase(".so.1", "dotnet-diagnostic")]
    public void Shipped_library_has_nothing_of_the_tracing(string file, string name)
    {
        Assert.That(Has("libgmapnative-trace" + file, name), "or the search proves nothing");
        Assert.That(Has("libgmapnative" + file, name), Is.False);
    }

    private static bool Has(string file, string name) =>
        File.ReadAllBytes(Path.Combine(s_folder, file)).AsSpan().IndexOf(name.Select(c => (byte)c).ToArray()) >= 0;
}
