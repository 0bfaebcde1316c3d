using System.IO;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>Each public header alone, in every language that it promises, by GCC and by Clang, without a diagnostic.</summary>
[TestFixture]
internal sealed class HeaderCompileTests
{
    [Test]
    public void EachHeaderAloneIsClean(
        [Values("gmap.h", "gmap_inline.h", "gmap_watch.h")] string header,
        [Values("c99", "c11", "c++17", "c++20")] string standard,
        [Values("-O0", "-O2")] string optimization,
        [Values] bool clang) =>
        Compile(header, standard, optimization, clang, header == "gmap_watch.h" ? ["-D_POSIX_C_SOURCE=200809L"] : []);

    [Test]
    public void TheTypesOfCppAreClean(
        [Values("c++17", "c++20")] string standard, [Values("-O0", "-O2")] string optimization, [Values] bool clang) =>
        Compile("gmap.hpp", standard, optimization, clang, "-fno-exceptions", "-fno-rtti");

    private static void Compile(string header, string standard, string optimization, bool clang, params string[] more)
    {
        bool cpp = standard.StartsWith("c++", System.StringComparison.Ordinal);
        string source = Path.Combine(Path.GetTempPath(), $"gmap-{TestContext.CurrentContext.Test.ID}.{(cpp ? "cpp" : "c")}");
        File.WriteAllText(source, $"#include \"{header}\"\n#include \"{header}\"\nint translation_unit_is_not_empty;\n");
        try
        {
            NativeHost.CompileWith(clang ? NativeHost.Clang(cpp) : NativeHost.Gcc(cpp),
            [
                $"-std={standard}", optimization, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow",
                "-Wcast-qual", "-Werror", .. more, $"-I{Repository.Include}", "-c", source, "-o", "/dev/null",
            ]);
        }
        finally
        {
            File.Delete(source);
        }
    }
}
