using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>
/// What the parent process does: keeps a child running, and of a failure (a difference, a crash, a hang) makes a small program and
/// says how to run it again.
/// </summary>
internal static class Supervisor
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromSeconds(60); // of one program, on a machine that others use too
    private static readonly TimeSpan s_minimizing = TimeSpan.FromSeconds(60);

    public static int Run(Options options)
    {
        Directory.CreateDirectory(options.Out);
        string state = Path.Combine(options.Out, $"fuzz-{Environment.ProcessId}.state");
        try
        {
            using var board = new Blackboard(state);
            var clock = Stopwatch.StartNew();
            (int status, string said) = RunChild(options, board, ["--child", state, .. Arguments(options)]);
            Console.WriteLine($"{board.Operations} operations, {board.Programs} programs, {board.Keys} keys, "
                + $"{clock.Elapsed.TotalSeconds:F1} s, seed {options.Seed}"
                + (options.Tables ? ", tables: " : options.Threads ? ", two threads: " : ": ")
                + (status == 0 ? "no crash, no leak, no difference" : "FAILED"));
            Console.Write(status == 0 ? said : "");
            return status == 0 ? 0 : Report(options, board.Program, status, said);
        }
        finally
        {
            File.Delete(state);
        }
    }

    /// <summary>Makes a failing program small, while it fails the same way: by a difference, a crash or a hang.</summary>
    public static int Minimize(Options options)
    {
        byte[] program = File.ReadAllBytes(options.Minimize!);
        (int status, string said) = RunOne(options, program);
        if (status == 0)
        {
            Console.WriteLine("the program does not fail");
            return 0;
        }
        return Report(options, program, status, said);
    }

    private static int Report(Options options, byte[] program, int status, string said)
    {
        string kind = status == Fuzzer.Failed ? "difference" : status == int.MinValue ? "hang" : $"crash (exit status {status})";
        if (status == Fuzzer.Leaked)
        {
            Console.WriteLine($"leak: {said.TrimEnd()}");
            return 1; // no single program
        }
        Console.WriteLine($"{kind}: {said.TrimEnd()}");
        byte[] small = options.Quiet ? program : Smallest(options, program, status);
        string file = Path.Combine(options.Out, $"fuzz-{options.Seed}.bin");
        File.WriteAllBytes(file, small);
        (_, string listing) = RunOne(options, small, quiet: false);
        Console.WriteLine($"smallest program found, {small.Length} bytes: {Convert.ToHexStringLower(small)}");
        Console.WriteLine(listing);
        Console.WriteLine($"replay: ./build.sh fuzz --replay {file}");
        return 1;
    }

    private static byte[] Smallest(Options options, byte[] program, int status)
    {
        var clock = Stopwatch.StartNew();
        bool Fails(byte[] candidate) => clock.Elapsed < s_minimizing && RunOne(options, candidate).Status == status;
        byte[] left = program;
        for (int size = Math.Max(1, left.Length / 2); size >= 1; size /= 2)
        {
            for (int at = 0; at < left.Length && clock.Elapsed < s_minimizing;)
            {
                byte[] fewer = [.. left.Take(at), .. left.Skip(at + size)];
                bool fails = Fails(fewer);
                left = fails ? fewer : left;
                at += fails ? 0 : size;
            }
        }
        for (int at = 0; at < left.Length; at++)
        {
            byte[] plainer = [.. left];
            plainer[at] = 0;
            left = left[at] != 0 && Fails(plainer) ? plainer : left;
        }
        return left;
    }

    private static (int Status, string Said) RunOne(Options options, byte[] program, bool quiet = true)
    {
        string file = Path.Combine(options.Out, $"fuzz-{Environment.ProcessId}.candidate");
        File.WriteAllBytes(file, program);
        try
        {
            List<string> arguments = ["--library", options.Library, "--replay", file];
            arguments.AddRange(quiet ? ["--quiet"] : []);
            arguments.AddRange(options.Threads ? ["--threads"] : []);
            arguments.AddRange(options.Tables ? ["--tables"] : []);
            return RunChild(options, null, [.. arguments]);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static IEnumerable<string> Arguments(Options options)
    {
        List<string> arguments = ["--library", options.Library, "--seed", $"{options.Seed}"];
        if (options.Seconds < double.MaxValue)
        {
            arguments.AddRange(["--seconds", options.Seconds.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        }
        arguments.AddRange(options.Operations < long.MaxValue ? ["--operations", $"{options.Operations}"] : []);
        arguments.AddRange(options.CorpusFolder is not null ? ["--corpus", options.CorpusFolder] : []);
        arguments.AddRange(options.Grow ? ["--grow"] : []);
        arguments.AddRange(options.Threads ? ["--threads"] : []);
        arguments.AddRange(options.Tables ? ["--tables"] : []);
        return arguments;
    }

    /// <summary>The exit status (the smallest number for a hang), and what was said.</summary>
    private static (int Status, string Said) RunChild(Options options, Blackboard? board, string[] arguments)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process child = Process.Start(start)!;
        System.Threading.Tasks.Task<string> said = child.StandardOutput.ReadToEndAsync();
        System.Threading.Tasks.Task<string> complaints = child.StandardError.ReadToEndAsync();
        var sinceProgress = Stopwatch.StartNew();
        long programs = 0;
        while (!child.WaitForExit(200))
        {
            if (board is not null && board.Programs != programs)
            {
                programs = board.Programs;
                sinceProgress.Restart();
            }
            if (sinceProgress.Elapsed > s_deadline)
            {
                child.Kill();
                child.WaitForExit();
                return (int.MinValue, $"no program ended for {s_deadline.TotalSeconds} s");
            }
        }
        return (child.ExitCode, said.Result + complaints.Result);
    }
}
