using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Security.Cryptography;
using System.Text;
using NUnit.Framework;

namespace GmapNative.Tests.Abi;

/// <summary>
/// How a host is compiled: plain, or with AddressSanitizer and UBSan beside the managed runtime. Both run with the library that the loader
/// takes on this machine; <see cref="Baseline"/> is plain and runs with the one for any processor.
/// </summary>
internal enum Flavour
{
    Plain,
    Sanitized,
    Baseline,
}

/// <summary>Compiles C and C++ sources against the public headers and the built library, and runs what came out.</summary>
internal static class NativeHost
{
    public const int SkippedExit = 77;

    private const int MostTries = 40;

    private static readonly string[] Warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

    /// <summary>
    /// handle_segv=0: the runtime owns SIGSEGV (null checks, write barriers). Leaks are not looked for: the runtime lives as long as
    /// the process. detect_stack_use_after_return=0: the runtime scans native stacks where they really are.
    /// </summary>
    public static readonly (string Name, string Value)[] SanitizerOptions =
    [
        ("ASAN_OPTIONS", "detect_leaks=0:handle_segv=0:allow_user_segv_handler=1:detect_stack_use_after_return=0:abort_on_error=0"),
        ("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1"),
    ];

    /// <summary>To the loader, a processor without AVX2: the folder glibc-hwcaps/x86-64-v3 is passed over.</summary>
    public static readonly (string Name, string Value) BaselineOnly = ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2");

    /// <summary>Compiles <paramref name="source"/> (of tests/native), runs it, and makes its exit status the test's outcome.</summary>
    public static void Check(string source, Flavour flavour, TimeSpan timeout, params string[] arguments) =>
        Check(source, flavour, clang: false, timeout, arguments);

    /// <summary>The same by a compiler of choice.</summary>
    public static void Check(string source, Flavour flavour, bool clang, TimeSpan timeout, params string[] arguments)
    {
        Repository.RequireLibrary();
        string host = Compile(source, flavour, clang);
        (string Name, string Value)[] environment = flavour switch
        {
            Flavour.Sanitized => SanitizerOptions,
            Flavour.Baseline => [BaselineOnly],
            _ => [],
        };
        (int exit, string output) = Run(host, arguments, timeout, environment);
        TestContext.Out.Write(output);
        if (exit == SkippedExit)
        {
            Skip($"{source}: {output.Trim()}");
        }

        Assert.That(exit, Is.Zero, $"{source} {string.Join(' ', arguments)} ({flavour}):\n{output}");
    }

    /// <summary>Runs a host that must fail, and say this: the test of a test.</summary>
    public static void CheckFails(string source, string message, TimeSpan timeout, params string[] arguments) =>
        CheckFails(source, message, timeout, [], arguments);

    /// <summary>
    /// The same in an environment: of the library with probes, and of what it leaves out. A flaw shows by the threads' luck: it gets
    /// several tries.
    /// </summary>
    public static void CheckFails(
        string source, string message, TimeSpan timeout, (string Name, string Value)[] environment, params string[] arguments)
    {
        Repository.RequireLibrary();
        int exit = 0;
        string output = string.Empty;
        for (int tries = environment.Length == 0 ? 1 : MostTries; exit == 0 && tries > 0; tries--)
        {
            (exit, output) = Run(Compile(source, Flavour.Plain), arguments, timeout, environment);
        }
        if (exit == SkippedExit)
        {
            Skip($"{source}: {output.Trim()}");
        }

        Assert.That(exit, Is.Not.Zero, $"{source} {string.Join(' ', arguments)}:\n{output}");
        Assert.That(output, Does.Contain(message));
    }

    /// <summary>What this machine cannot run is said by name, never passed over in silence.</summary>
    public static void Skip(string reason) => throw new IgnoreException(reason);

    /// <summary>The path of the compiled host. Kept under a name of its contents, so that it is compiled only when one changed.</summary>
    public static string Compile(string source, Flavour flavour, bool clang = false)
    {
        bool cpp = source.EndsWith(".cpp", StringComparison.Ordinal);
        string compiler = clang ? Clang(cpp) : Gcc(cpp);
        string path = Path.Combine(Repository.NativeTests, source);
        string[] flags =
        [
            cpp ? "-std=c++17" : "-std=c11", "-D_GNU_SOURCE", "-g", "-pthread", .. Warnings,
            .. flavour != Flavour.Sanitized
                ? (string[])["-O2"]
                : ["-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
        ];
        string folder = Path.Combine(Repository.Artifacts, "bin", "tests");
        Directory.CreateDirectory(folder);
        string kind = (flavour == Flavour.Sanitized ? "sanitized" : "plain") + (clang ? "-clang" : "");
        string prefix = $"{Path.GetFileNameWithoutExtension(source)}-{kind}-";
        string host = Path.Combine(folder, prefix + ContentHash(path, [compiler, .. flags]));
        if (!File.Exists(host))
        {
            foreach (string old in Directory.GetFiles(folder, prefix + "*"))
            {
                File.Delete(old);
            }

            string made = host + ".new";
            CompileWith(compiler, [.. flags, $"-I{Repository.Include}", path, "-o", made, .. LinkFlags()]);
            File.Move(made, host, overwrite: true);
        }

        return host;
    }

    public static string Gcc(bool cpp) =>
        cpp ? Environment.GetEnvironmentVariable("CXX") ?? "g++" : Environment.GetEnvironmentVariable("CC") ?? "gcc";

    /// <summary>By its name, or by that of the version that Debian 12 has; without one the test is skipped.</summary>
    public static string Clang(bool cpp) =>
        cpp ? Programs.Require("clang", "clang++", "clang++-14") : Programs.Require("clang", "clang", "clang-14");

    /// <summary>Runs a compiler; a diagnostic is a failure.</summary>
    public static void CompileWith(string compiler, IReadOnlyList<string> arguments)
    {
        (int exit, string output) = Run(compiler, arguments, TimeSpan.FromMinutes(2), []);
        Assert.That(exit, Is.Zero, $"{compiler} {string.Join(' ', arguments)}:\n{output}");
    }

    private static string[] LinkFlags() =>
        [$"-L{Repository.LibraryFolder}", "-lgmapnative", $"-Wl,-rpath,{Repository.LibraryFolder}", "-ldl"];

    private static string ContentHash(string source, IEnumerable<string> flags)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        IEnumerable<string> headers = Directory.GetFiles(Repository.Include, "*.h*")
            .Concat(Directory.GetFiles(Repository.NativeTests, "*.h"))
            .Order(StringComparer.Ordinal);
        foreach (string file in headers.Prepend(source))
        {
            hash.AppendData(File.ReadAllBytes(file));
        }

        hash.AppendData(Encoding.UTF8.GetBytes(string.Join('\0', flags.Append(Repository.LibraryFolder))));
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }

    /// <summary>Runs a program to its end, or fails the test at the timeout.</summary>
    public static (int Exit, string Output) Run(
        string program, IReadOnlyList<string> arguments, TimeSpan timeout, IReadOnlyList<(string Name, string Value)> environment)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        var output = new StringBuilder();
        void Collect(object sender, DataReceivedEventArgs line)
        {
            lock (output)
            {
                if (line.Data is not null)
                {
                    output.AppendLine(line.Data);
                }
            }
        }

        process.OutputDataReceived += Collect;
        process.ErrorDataReceived += Collect;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (!process.WaitForExit(timeout))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            Assert.Fail($"{program} did not end within {timeout.TotalSeconds:0} s:\n{output}");
        }

        process.WaitForExit();
        return (process.ExitCode, output.ToString());
    }
}
