using System;
using System.IO;
using System.Linq;

namespace GmapNative.Tests.Abi;

/// <summary>Programs that a machine may have or not.</summary>
internal static class Programs
{
    /// <summary>The path of the first of these names; without one the test is skipped, and says which package has it.</summary>
    public static string Require(string package, params string[] names)
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator);
        string? found = folders.SelectMany(folder => names.Select(name => Path.Combine(folder, name))).FirstOrDefault(File.Exists);
        if (found is null)
        {
            NativeHost.Skip($"{names[0]} is not there: apt-get install {package}");
        }

        return found!;
    }
}
