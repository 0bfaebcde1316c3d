using System;
using System.Globalization;
using System.IO;

namespace GmapNative.Fuzz;

/// <summary>The command line.</summary>
internal sealed record Options
{
    public const string Usage =
        """
        usage: GmapNative.Fuzz --library FILE [OPTIONS], or --tables [OPTIONS]
          --seconds N      how long (60); --operations N: until so many were run
          --seed N         what the random choices begin with (the time)
          --corpus DIR     programs to begin with; with --grow the ones worth keeping are written back
          --threads        two threads run programs on the same handles; no model, but no crash, hang or leak either
          --tables         hostile tables of a guest for its guest, walked by the engine and by the book; the library is not called
          --replay FILE    runs one program (or all of a folder) and prints each operation
          --minimize FILE  makes a failing program small
          --quiet          a failing program is kept as it is: --minimize can come later
          --names          prints the exports that are driven
          --out DIR        where failing programs go
        """;

    public string Library { get; init; } = "";

    public double Seconds { get; init; } = 60;

    public long Operations { get; init; } = long.MaxValue;

    public int Seed { get; init; } = Environment.TickCount;

    public string? CorpusFolder { get; init; }

    public bool Names { get; init; }

    public bool Grow { get; init; }

    public bool Threads { get; init; }

    public bool Tables { get; init; }

    public bool Quiet { get; init; }

    public string? Replay { get; init; }

    public string? Minimize { get; init; }

    public string? Child { get; init; }

    public string Out { get; init; } = Path.GetTempPath();

    public static Options? Parse(string[] arguments)
    {
        var options = new Options();
        bool timed = false;
        for (int i = 0; i < arguments.Length; i++)
        {
            string name = arguments[i];
            bool isSwitch = name is "--names" or "--grow" or "--threads" or "--tables" or "--quiet";
            string value = isSwitch ? "" : i + 1 < arguments.Length ? arguments[++i] : "";
            Options? next = name switch
            {
                "--names" => options with { Names = true },
                "--grow" => options with { Grow = true },
                "--threads" => options with { Threads = true },
                "--tables" => options with { Tables = true },
                "--quiet" => options with { Quiet = true },
                "--library" => options with { Library = value },
                "--seconds" when double.TryParse(value, CultureInfo.InvariantCulture, out double time) => options with { Seconds = time },
                "--operations" when long.TryParse(value, out long count) => options with { Operations = count },
                "--seed" when int.TryParse(value, out int seed) => options with { Seed = seed },
                "--corpus" => options with { CorpusFolder = value },
                "--replay" => options with { Replay = value },
                "--minimize" => options with { Minimize = value },
                "--child" => options with { Child = value },
                "--out" => options with { Out = value },
                _ => null,
            };
            if (next is null)
            {
                return null;
            }
            timed |= name == "--seconds";
            options = next;
        }
        options = !timed && options.Operations != long.MaxValue ? options with { Seconds = double.MaxValue } : options;
        return options.Library.Length == 0 && !options.Tables ? null : options;
    }
}
