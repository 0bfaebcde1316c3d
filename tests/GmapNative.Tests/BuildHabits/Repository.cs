using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text;
using NUnit.Framework;

namespace GmapNative.Tests.BuildHabits;

/// <summary>Where the sources and what was built from them are, and how to run a program on them.</summary>
internal static class Repository
{
    public static string Root { get; } = Environment.GetEnvironmentVariable("GMAP_ROOT") ?? FindRoot();

    public static string Artifacts { get; } = Environment.GetEnvironmentVariable("GMAP_ARTIFACTS") ?? Path.Combine(Root, "artifacts");

    public static string Library { get; } = Path.Combine(Artifacts, "lib", "libgmapnative.so.1");

    /// <summary>The build for x86-64-v3, where the loader looks first on such a processor.</summary>
    public static string LibraryV3 { get; } = Path.Combine(Artifacts, "lib", "glibc-hwcaps", "x86-64-v3", "libgmapnative.so.1");

    public static string DebugFile { get; } = Path.Combine(Artifacts, "lib", "libgmapnative.so.dbg");

    /// <summary>All files under the folders of <see cref="Root"/> that have one of the extensions, as paths relative to it.</summary>
    public static IEnumerable<string> Files(string[] folders, params string[] extensions) =>
        folders.Select(folder => Path.Combine(Root, folder))
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
            .Where(file => extensions.Contains(Path.GetExtension(file)))
            .Select(file => Path.GetRelativePath(Root, file).Replace('\\', '/'))
            .Where(file => !file.Contains("/bin/", StringComparison.Ordinal) && !file.Contains("/obj/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal);

    public static string Text(string file) => File.ReadAllText(Path.Combine(Root, file));

    /// <summary>Runs a program to its end in <see cref="Root"/>; answers its status and all it said.</summary>
    public static (int Status, string Output) Run(string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            WorkingDirectory = Root,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = new() { StartInfo = start };
        StringBuilder said = new();
        void Add(object sender, DataReceivedEventArgs e)
        {
            lock (said)
            {
                _ = e.Data is null ? said : said.AppendLine(e.Data); // null: the end of one of both, which may come first
            }
        }

        process.OutputDataReceived += Add;
        process.ErrorDataReceived += Add;
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (!process.WaitForExit(TimeSpan.FromMinutes(10)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} did not end within 10 minutes");
        }

        process.WaitForExit(); // until the last line was read
        lock (said)
        {
            return (process.ExitCode, said.ToString());
        }
    }

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "GmapNative.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException("no GmapNative.sln above the test program; set GMAP_ROOT");
    }
}
