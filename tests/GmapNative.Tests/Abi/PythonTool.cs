using System;

namespace GmapNative.Tests.Abi;

/// <summary>native-exports/python/gmapnative.py, run by whatever python3 is there.</summary>
internal static class PythonTool
{
    public static string Path { get; } = System.IO.Path.Combine(Repository.Root, "native-exports", "python", "gmapnative.py");

    public static (int Exit, string Output) Run(params string[] arguments)
    {
        Repository.RequireLibrary();
        return NativeHost.Run(Programs.Require("python3", "python3"), [Path, .. arguments], TimeSpan.FromMinutes(1),
            [("GMAPNATIVE", System.IO.Path.Combine(Repository.LibraryFolder, "libgmapnative.so.1")), ("PYTHONDONTWRITEBYTECODE", "1")]);
    }
}
