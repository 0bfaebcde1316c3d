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
        var library = new Library(options.Library);
        var guest = new GuestArea();
        var scratch = new Scratch();
        var helper = new Helper();
        var keys = new KeySet();
        var race = options.Threads ? new Race(library, guest, keys) : null;
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
            var machine = new Machine(library, guest, scratch, helper, keys, null);
            string? wrong = race is null ? machine.Run(program) : race.Run(program);
            operations += race is null ? machine.Operations : race.Operations;
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
        return 0;
    }

    /// <summary>Runs one program, or all of a folder, and prints what it does.</summary>
    public static int Replay(Options options)
    {
        var library = new Library(options.Library);
        var guest = new GuestArea();
        var scratch = new Scratch();
        var helper = new Helper();
        string[] files = Directory.Exists(options.Replay) ? [.. Directory.GetFiles(options.Replay, "*.bin").Order()] : [options.Replay!];
        using var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true }; // a crash must not swallow the last line
        long operations = 0;
        var keys = new KeySet();
        foreach (string file in files)
        {
            string? wrong;
            if (options.Threads)
            {
                var race = new Race(library, guest, keys);
                wrong = race.Run(File.ReadAllBytes(file)); // the schedule is the machine's: it may not fail each time
                operations += race.Operations;
            }
            else
            {
                var machine = new Machine(library, guest, scratch, helper, keys, options.Quiet ? null : output);
                wrong = machine.Run(File.ReadAllBytes(file));
                operations += machine.Operations;
            }
            if (wrong is not null)
            {
                output.WriteLine($"{file}: {wrong}");
                return Failed;
            }
        }
        output.WriteLine($"{operations} operations, {files.Length} programs, {keys.Count} keys: no difference");
        return 0;
    }
}
