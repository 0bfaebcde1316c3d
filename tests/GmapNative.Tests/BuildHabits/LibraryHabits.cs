using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.Intrinsics.X86;
using System.Text.RegularExpressions;
using GmapNative.Exports;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>The shared library as a host's linker and loader see it.</summary>
[TestFixture]
public sealed class LibraryHabits
{
    private const long NoDelete = 0x8;

    [Test]
    public void Soname_carries_the_major_version_of_the_abi()
    {
        string header = Repository.Text("native-exports/include/gmap.h");
        Match version = Regex.Match(header, @"#define\s+GMAP_ABI_VERSION\s+0x([0-9A-Fa-f]{8})u");
        Assert.That(version.Success, "gmap.h does not define GMAP_ABI_VERSION as 0x%08xu");
        uint major = uint.Parse(version.Groups[1].Value, NumberStyles.HexNumber, CultureInfo.InvariantCulture) >> 16;
        Assert.That(new ElfFile(Repository.Library).Soname, Is.EqualTo($"libgmapnative.so.{major}"));
    }

    [Test]
    public void Plain_name_links_to_the_soname()
    {
        string plain = Path.Combine(Repository.Artifacts, "lib", "libgmapnative.so");
        Assert.That(new FileInfo(plain).ResolveLinkTarget(true)?.FullName, Is.EqualTo(Repository.Library));
    }

    [Test]
    public void Library_is_marked_nodelete() => Assert.That(new ElfFile(Repository.Library).Flags1 & NoDelete, Is.EqualTo(NoDelete));

    [Test]
    public void Exports_are_those_of_the_list_and_nothing_else()
    {
        string[] listed =
        [
            .. Repository.Text("native-exports/exports.txt").Split('\n')
                .Select(line => line.Trim())
                .Where(line => line.Length > 0 && line[0] != '#'),
        ];
        Assert.That(listed, Is.Not.Empty.And.Unique.And.All.StartsWith("gmap_"));
        Assert.That(new ElfFile(Repository.Library).DefinedSymbols, Is.EquivalentTo(listed));
        Assert.That(new ElfFile(Repository.LibraryV3).DefinedSymbols, Is.EquivalentTo(listed));
        Assert.That(new ElfFile(Repository.LibraryV3).Soname, Is.EqualTo(new ElfFile(Repository.Library).Soname));
    }

    /// <summary>The loader takes the build for x86-64-v3 where the processor can, and its features say what it is.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void Loader_takes_the_widest_build_that_the_processor_can_run(bool v3)
    {
        if (v3 && !IsV3)
        {
            Assert.Ignore("no x86-64-v3 processor here");
        }
        string host = NativeHost.Compile("which.c", Flavour.Plain);
        (int exit, string said) = NativeHost.Run(host, [], TimeSpan.FromSeconds(30), v3 ? [] : [NativeHost.BaselineOnly]);
        Assert.That(exit, Is.Zero, said);
        string[] lines = said.Split('\n', StringSplitOptions.TrimEntries);
        Assert.That(lines[0], Is.EqualTo(v3 ? Repository.LibraryV3 : Repository.Library));
        ulong features = ulong.Parse(lines[1], CultureInfo.InvariantCulture);
        Assert.That(features & (Library.FeatureIsaV3 | Library.FeatureIsaV4), Is.EqualTo(v3 ? Library.FeatureIsaV3 : 0));
    }

    /// <summary>
    /// 1.197 MB measured, 1.2 the goal; the rest is for patches of .NET. A name that Shipped.Substitutions.xml no longer hits costs
    /// 8 KB and more.
    /// </summary>
    [Test]
    public void Library_is_small([Values] bool v3)
    {
        string library = v3 ? Repository.LibraryV3 : Repository.Library;
        Assert.That(new FileInfo(library).Length, Is.InRange(1, 1_210_000));
        string[] names = [.. new ElfFile(Path.ChangeExtension(library, ".dbg")).Functions.Keys];
        Assert.That(names, Has.Some.Contains("GmapNative_Space_Slot__"));
        Assert.That(names, Has.None.Contains("PrintMembers"), "the text of records: Shipped.Substitutions.xml");
    }

    /// <summary>What the psABI asks of x86-64-v3 beyond v2, as far as .NET has a name for it.</summary>
    private static bool IsV3 => Avx2.IsSupported && Bmi1.IsSupported && Bmi2.IsSupported && Fma.IsSupported && Lzcnt.IsSupported;

    [Test]
    public void Library_stays_after_dlclose_and_reserves_little_address_space()
    {
        string source = Path.Combine(Repository.Root, "tests", "native", "loading.c");
        string program = Path.Combine(Repository.Artifacts, "bin", "tests", "loading");
        Directory.CreateDirectory(Path.GetDirectoryName(program)!);
        string compiler = Environment.GetEnvironmentVariable("CC") ?? "gcc";
        string[] warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
        (int status, string output) = Repository.Run(compiler, ["-std=c11", "-O1", .. warnings, source, "-o", program, "-ldl"]);
        Assert.That(status, Is.Zero, output);

        (status, output) = Repository.Run(program, Repository.Library);
        Assert.That(status, Is.Zero, output);
        Match grown = Regex.Match(output, @"address space: \+(\d+) MiB");
        Assert.That(grown.Success, output);
        // Measured: 201 MiB, of which 128 are the collector's range. Without the limits of the project file it was 48,335 MiB.
        Assert.That(int.Parse(grown.Groups[1].Value, CultureInfo.InvariantCulture), Is.InRange(1, 300));
    }
}
