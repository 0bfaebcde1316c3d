using System;
using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>Where the sources and the built library are: GMAP_ROOT and GMAP_ARTIFACTS, or found upward from the test assembly.</summary>
internal static class Repository
{
    public static string Root { get; } = Environment.GetEnvironmentVariable("GMAP_ROOT") ?? FindRoot();

    public static string Artifacts { get; } =
        Environment.GetEnvironmentVariable("GMAP_ARTIFACTS") ?? Path.Combine(Root, "artifacts");

    public static string Include => Path.Combine(Root, "native-exports", "include");

    public static string NativeTests => Path.Combine(Root, "tests", "native");

    public static string LibraryFolder => Path.Combine(Artifacts, "lib");

    /// <summary>Fails the test where the library is missing: hosts are tests, not decoration.</summary>
    public static void RequireLibrary()
    {
        foreach (string name in (ReadOnlySpan<string>)["libgmapnative.so", "libgmapnative.so.1"])
        {
            string path = Path.Combine(LibraryFolder, name);
            Assert.That(File.Exists(path), $"{path} is missing: run ./build.sh build first");
        }
    }

    private static string FindRoot()
    {
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "GmapNative.sln")))
            {
                return folder;
            }
        }

        throw new DirectoryNotFoundException($"no GmapNative.sln above {AppContext.BaseDirectory}: set GMAP_ROOT");
    }
}
