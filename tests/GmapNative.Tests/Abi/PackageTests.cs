using System;
using System.Collections.Generic;
using System.IO;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>The tarball and the Debian package, each installed into a clean root: what is built there works and runs.</summary>
[TestFixture]
internal sealed class PackageTests
{
    private static readonly string Version =
        Regex.Match(File.ReadAllText(Path.Combine(Repository.Root, "Directory.Build.props")), "<Version>(.*)</Version>").Groups[1].Value;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly string Packages = Path.Combine(Repository.Artifacts, "packages");
    private static readonly string Tarball = Path.Combine(Packages, $"gmapnative-{Version}-linux-x86_64.tar.gz");
    private static readonly string DebianPackage = Path.Combine(Packages, $"libgmapnative_{Version}_amd64.deb");
    private static readonly string Tools = Path.Combine(Repository.Root, "native-exports", "package");

    private string _root = "";

    [SetUp]
    public void MakeRoot() => _root = Directory.CreateTempSubdirectory("gmap-package").FullName;

    [TearDown]
    public void RemoveRoot() => Directory.Delete(_root, recursive: true);

    [Test]
    public void Examples_build_by_pkg_config([Values] bool debian)
    {
        (string libraries, string examples) = Install(debian);
        _ = Programs.Require("pkg-config", "pkg-config");
        (string Name, string Value)[] environment = [("PKG_CONFIG_LIBDIR", Path.Combine(libraries, "pkgconfig"))];
        string folder = CopyOf(examples);
        Succeed("make", ["-C", folder, "-s"], environment);
        foreach (string program in (string[])["tracking-c", "tracking-cpp"])
        {
            CheckOutput(Path.Combine(folder, program), [("LD_LIBRARY_PATH", libraries)]);
        }
        Assert.That(Succeed("pkg-config", ["--modversion", "gmapnative"], environment).Trim(), Is.EqualTo(Version));
    }

    [Test]
    public void Examples_build_by_CMake([Values] bool debian)
    {
        (string libraries, string examples) = Install(debian);
        _ = Programs.Require("cmake", "cmake");
        string build = Path.Combine(_root, "build");
        Succeed("cmake", ["-S", examples, "-B", build, $"-DGmapNative_DIR={Path.Combine(libraries, "cmake", "GmapNative")}"], []);
        Succeed("cmake", ["--build", build], []);
        foreach (string program in (string[])["tracking-c", "tracking-cpp"])
        {
            CheckOutput(Path.Combine(build, program), []); // CMake's run path leads to the package
        }
    }

    [Test]
    public void CMake_refuses_another_major_version()
    {
        (string libraries, string _) = Install(debian: false);
        _ = Programs.Require("cmake", "cmake");
        File.WriteAllText(Path.Combine(_root, "CMakeLists.txt"),
            "cmake_minimum_required(VERSION 3.16)\nproject(refused LANGUAGES C)\nfind_package(GmapNative 1.0 CONFIG REQUIRED)\n");
        string prefix = $"-DCMAKE_PREFIX_PATH={Path.GetDirectoryName(libraries)}";
        (int exit, string output) = NativeHost.Run("cmake", ["-S", _root, "-B", Path.Combine(_root, "b"), prefix], Patience, []);
        Assert.That(exit, Is.Not.Zero);
        Assert.That(output, Does.Contain($"version: {Version}"));
    }

    /// <summary>The loader takes the build for x86-64-v3 where the processor can, and the other one where it cannot.</summary>
    [Test]
    public void The_loader_chooses([Values] bool debian)
    {
        (string libraries, string _) = Install(debian);
        string which = Build(libraries, "which.c", "gmapnative");
        string[] plain = Lines(which, [("LD_LIBRARY_PATH", libraries), NativeHost.BaselineOnly]);
        Assert.That(plain[0], Is.EqualTo(Path.Combine(libraries, "libgmapnative.so.1")));
        if (!System.Runtime.Intrinsics.X86.Avx2.IsSupported)
        {
            NativeHost.Skip("a processor with AVX2");
        }
        string[] fast = Lines(which, [("LD_LIBRARY_PATH", libraries)]);
        Assert.That(fast[0], Is.EqualTo(Path.Combine(libraries, "glibc-hwcaps", "x86-64-v3", "libgmapnative.so.1")));
        Assert.That((ulong.Parse(plain[1]) & 1, ulong.Parse(fast[1]) & 1), Is.EqualTo((0, 1)), "GMAP_FEATURE_ISA_V3");
    }

    [Test]
    public void The_tracing_flavour_is_there()
    {
        (string libraries, string _) = Install(debian: false);
        string which = Build(libraries, "which.c", "gmapnative-trace");
        ulong features = ulong.Parse(Lines(which, [("LD_LIBRARY_PATH", libraries)])[1]);
        Assert.That(features & (ulong)CHeader.Read("gmap.h").Constants["GMAP_FEATURE_TRACE"], Is.Not.Zero);
    }

    [Test]
    public void The_Debian_package_installs_and_goes_without_a_trace()
    {
        _ = Programs.Require("dpkg", "dpkg");
        string admin = Path.Combine(_root, "var", "lib", "dpkg");
        Directory.CreateDirectory(Path.Combine(admin, "info"));
        Directory.CreateDirectory(Path.Combine(admin, "updates"));
        Directory.CreateDirectory(Path.Combine(admin, "triggers"));
        File.WriteAllText(Path.Combine(admin, "status"), "");
        string[] options = [$"--root={_root}", "--force-depends", "--force-not-root", $"--log={Path.Combine(_root, "log")}"];
        Succeed("dpkg", [.. options, "--install", DebianPackage], [("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")]);
        Assert.That(Path.Combine(_root, "usr", "include", "gmap.hpp"), Does.Exist);
        Assert.That(File.ReadAllText(Path.Combine(admin, "status")), Does.Contain("Package: libgmapnative").And.Contain("ok installed"));
        Succeed("dpkg", [.. options, "--purge", "libgmapnative"], [("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")]);
        Assert.That(Directory.Exists(Path.Combine(_root, "usr", "include")), Is.False);
    }

    /// <summary>The same libraries make the same packages, byte for byte; <c>./build.sh package --reproduce</c> builds them, too.</summary>
    [Test]
    public void Packing_is_reproducible()
    {
        string Pack(string name)
        {
            string folder = Path.Combine(_root, name);
            Succeed(Path.Combine(Tools, "package.sh"), [],
                [("VERSION", Version), ("LIB", Repository.LibraryFolder), ("PACKAGES", folder), ("SOURCE_DATE_EPOCH", "1000000000")]);
            return File.ReadAllText(Path.Combine(folder, "SHA256SUMS"));
        }

        Assert.That(Pack("once"), Is.Not.Empty.And.EqualTo(Pack("again")));
    }

    [Test]
    public void The_ABI_is_the_last_release_s()
    {
        _ = Programs.Require("abigail-tools", "abidiff");
        (int exit, string output) = CompareAbi(Repository.Include);
        Assert.That(exit, Is.Zero, $"meant? then CHANGELOG.md, and ./build.sh abi --accept\n{output}");
    }

    /// <summary>What breaks hosts that were built before is seen: a function that goes, a parameter, a field, the inline layout.</summary>
    [TestCase("gmap.h", "GMAP_API gmap_status gmap_dirty_rate(uint64_t space, uint32_t slot, gmap_rate *rate);", "")]
    [TestCase("gmap.h", "gmap_vcpu_close(uint64_t vcpu)", "gmap_vcpu_close(uint32_t vcpu)")]
    [TestCase("gmap.h", "  uint64_t first_page; /* of the slot */", "  uint32_t first_page;")]
    [TestCase("gmap_inline.h", "  uint64_t ask_addr; ", "  uint64_t more, ask_addr; ")]
    public void A_broken_ABI_is_seen(string header, string was, string becomes)
    {
        _ = Programs.Require("abigail-tools", "abidiff");
        foreach (string file in Directory.GetFiles(Repository.Include))
        {
            string text = File.ReadAllText(file);
            bool changes = Path.GetFileName(file) == header;
            Assert.That(!changes || text.Contains(was, StringComparison.Ordinal), $"{header} has it");
            text = changes ? text.Replace(was, becomes, StringComparison.Ordinal) : text;
            File.WriteAllText(Path.Combine(_root, Path.GetFileName(file)), text);
        }
        (int exit, string output) = CompareAbi(_root);
        Assert.That(exit & 4, Is.Not.Zero, output);
    }

    private static (int Exit, string Output) CompareAbi(string headers)
    {
        string baseline = Path.Combine(Tools, "abi", $"gmapnative-{Version[..Version.LastIndexOf('.')]}.abi");
        return NativeHost.Run(Path.Combine(Tools, "abi.sh"), ["compare", baseline, headers], Patience, []);
    }

    private static void Require(string package) => Assert.That(package, Does.Exist, "run ./build.sh test, or ./build.sh package");

    /// <summary>Where the libraries and the examples are after it.</summary>
    private (string Libraries, string Examples) Install(bool debian)
    {
        if (debian)
        {
            _ = Programs.Require("dpkg", "dpkg-deb");
        }
        Require(debian ? DebianPackage : Tarball);
        string prefix = Path.Combine(_root, debian ? "usr" : $"gmapnative-{Version}-linux-x86_64");
        Succeed(debian ? "dpkg-deb" : "tar", debian ? ["-x", DebianPackage, _root] : ["-xf", Tarball, "-C", _root], []);
        string libraries = debian ? Path.Combine(prefix, "lib", "x86_64-linux-gnu") : Path.Combine(prefix, "lib");
        return (libraries, Path.Combine(prefix, "share", "gmapnative", "examples"));
    }

    private string CopyOf(string folder)
    {
        string copy = Directory.CreateDirectory(Path.Combine(_root, "copy")).FullName;
        foreach (string file in Directory.GetFiles(folder))
        {
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        }
        return copy;
    }

    private string Build(string libraries, string source, string library)
    {
        string program = Path.Combine(_root, "program");
        bool debian = libraries.EndsWith("x86_64-linux-gnu", StringComparison.Ordinal);
        string include = Path.Combine(libraries, debian ? "../.." : "..", "include");
        NativeHost.CompileWith(NativeHost.Gcc(cpp: false),
        [
            "-std=c11", "-D_GNU_SOURCE", $"-I{include}", Path.Combine(Repository.NativeTests, source), "-o", program,
            $"-L{libraries}", $"-l{library}",
        ]);
        return program;
    }

    private static string[] Lines(string program, (string Name, string Value)[] environment) =>
        Succeed(program, [], environment).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    private static void CheckOutput(string program, (string Name, string Value)[] environment) =>
        Assert.That(Lines(program, environment), Is.EqualTo(["page 5, 1 of them", "page 9029, 1 of them"]), program);

    private static string Succeed(string program, IReadOnlyList<string> arguments, IReadOnlyList<(string Name, string Value)> environment)
    {
        (int exit, string output) = NativeHost.Run(program, arguments, Patience, environment);
        Assert.That(exit, Is.Zero, $"{program} {string.Join(' ', arguments)}:\n{output}");
        return output;
    }
}
