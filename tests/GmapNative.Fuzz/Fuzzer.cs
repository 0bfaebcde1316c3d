using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>What a child process does: programs, one after the other, until one fails.</summary>
internal static class Fuzzer
{
    public const int Failed = 3;
    public const int Leaked = 4;

    private const int ProgramsPerLook = 1000;

    /// <summary>Replays the corpus, then makes programs until time or count is over. 0, or <see cref="Failed"/>.</summary>
    public static int Run(Options options, Blackboard board)
    {
        var keys = new KeySet();
        Func<ITarget> targets = Targets(options, keys, null);
        var mutator = new Mutator(options.Seed);
        List<byte[]> corpus = Corpus.Read(options.CorpusFolder);
        var queue = new Queue<byte[]>(corpus);
        List<(byte[], ulong[])> kept = [];
        var clock = Stopwatch.StartNew();
        Footprint? first = null;
        long programs = 0;
        long operations = board.Operations;
        while (queue.Count > 0 || (clock.Elapsed.TotalSeconds < options.Seconds && operations < options.Operations))
        {
            byte[] program = queue.Count > 0 ? queue.Dequeue() : mutator.Next(corpus);
            board.Program = program;
            keys.BeginProgram();
            ITarget target = targets();
            string? wrong = target.Run(program);
            operations += target.Operations;
            programs++;
            board.Programs++;
            board.Operations = operations;
            board.Keys = keys.Count;
            if (keys.New != 0)
            {
                corpus.Add(program);
                if (options.Grow)
                {
                    kept.Add((program, [.. keys.OfProgram.Distinct()]));
                }
            }
            if (wrong is not null)
            {
                Console.Out.WriteLine(wrong);
                return Failed;
            }
            if (programs % ProgramsPerLook == 0)
            {
                first ??= Footprint.Now();
                if (Footprint.Now().GrownSince(first) is { } grown)
                {
                    Console.Out.WriteLine($"after {programs} programs: {grown}");
                    return Leaked;
                }
            }
        }
        if (options.Grow && options.CorpusFolder is not null)
        {
            Corpus.Write(options.CorpusFolder, kept);
        }
        Console.Out.WriteLine($"operations by status: {keys.Statuses}");
        if (keys.NestedStatuses.Length != 0)
        {
            Console.Out.WriteLine($"accesses by vcpus of shadows by status: {keys.NestedStatuses}");
        }
        return 0;
    }

    /// <summary>Runs one program, or all of a folder, and prints what it does.</summary>
    public static int Replay(Options options)
    {
        string[] files = Directory.Exists(options.Replay) ? [.. Directory.GetFiles(options.Replay, "*.bin").Order()] : [options.Replay!];
        using var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true }; // a crash must not swallow the last line
        long operations = 0;
        var keys = new KeySet();
        Func<ITarget> targets = Targets(options, keys, options.Quiet ? null : output);
        foreach (string file in files)
        {
            ITarget target = targets();
            string? wrong = target.Run(File.ReadAllBytes(file));
            operations += target.Operations;
            if (wrong is not null)
            {
                output.WriteLine($"{file}: {wrong}");
                return Failed;
            }
        }
        output.WriteLine($"{operations} operations, {files.Length} programs, {keys.Count} keys: no difference");
        return 0;
    }

    /// <summary>Makes what runs the next program. Of two threads the schedule is the machine's: a program may not fail each time.</summary>
    private static Func<ITarget> Targets(Options options, KeySet keys, TextWriter? trace)
    {
        if (options.Tables)
        {
            return () => new NestedTarget(keys, trace);
        }
        var library = new Library(options.Library);
        var guest = new GuestArea();
        if (options.Threads)
        {
            var race = new Race(library, guest, keys);
            return () => race;
        }
        var scratch = new Scratch();
        var helper = new Helper();
        return () => new Machine(library, guest, scratch, helper, keys, trace);
    }
}
