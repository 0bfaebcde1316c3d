using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;

namespace GmapNative.TraceReport;

/// <summary>Records what a process that runs the trace flavour tells, and draws it. One line and status 1 where that fails.</summary>
internal static class Program
{
    private const string Usage = """
        usage: trace-report record --pid PID --out FILE.nettrace [--seconds N] [--keywords 0x7f] [--level 5]
               trace-report draw FILE.nettrace --out FILE.svg [--title TEXT] [--partial]

          record   attaches to a running process and writes its GmapNative events, until N seconds are over (10) or the process ends
          draw     draws them over time as one SVG and prints the figures; --partial takes a file that breaks off as far as it goes
        """;

    public static int Main(string[] arguments)
    {
        try
        {
            Arguments given = Arguments.Parse(arguments);
            switch (given.Verb)
            {
                case "record":
                    Recorder.Record(given.Number("pid"), given.Text("out"), given.Number("seconds", 10), given.Mask("keywords", 0x7F),
                        given.Number("level", 5));
                    return 0;
                case "draw":
                    Draw(given);
                    return 0;
                default:
                    Console.Error.WriteLine(Usage);
                    return 2;
            }
        }
        catch (ReportException failure)
        {
            Console.Error.WriteLine($"trace-report: {failure.Message}");
            return 1;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"trace-report: {failure.Message.ReplaceLineEndings(" ")}");
            return 1;
        }
    }

    private static void Draw(Arguments given)
    {
        string file = given.File ?? throw new ReportException("draw: which file?");
        string output = given.Text("out");
        Trace trace = TraceReader.Read(file, given.Has("partial"));
        if (trace.Damage is not null)
        {
            Console.Error.WriteLine($"trace-report: {file} breaks off ({trace.Damage}); drawn as far as it goes");
        }
        string svg = new Drawing(trace, given.Text("title", Path.GetFileName(file))).Svg();
        File.WriteAllText(output, svg);
        Console.Write(Summary.Of(trace));
    }
}

/// <summary>What a caller can do something about; the message is one line.</summary>
internal sealed class ReportException(string message) : Exception(message.ReplaceLineEndings(" "));

/// <summary>A verb, a file, and options: <c>--name value</c>, or <c>--partial</c> alone.</summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string> _options = [];

    public string Verb { get; private init; } = "";

    public string? File { get; private set; }

    public static Arguments Parse(string[] arguments)
    {
        var parsed = new Arguments { Verb = arguments.Length > 0 ? arguments[0] : "" };
        for (int i = 1; i < arguments.Length; i++)
        {
            string argument = arguments[i];
            if (argument == "--partial")
            {
                parsed._options["partial"] = "";
            }
            else if (!argument.StartsWith("--", StringComparison.Ordinal))
            {
                parsed.File = argument;
            }
            else
            {
                string value = i + 1 < arguments.Length ? arguments[++i] : throw new ReportException($"{argument} needs a value");
                parsed._options[argument[2..]] = value;
            }
        }
        return parsed;
    }

    public bool Has(string name) => _options.ContainsKey(name);

    public string Text(string name, string? otherwise = null) =>
        _options.GetValueOrDefault(name) ?? otherwise ?? throw new ReportException($"--{name} is missing");

    public int Number(string name, int? otherwise = null)
    {
        string text = Text(name, otherwise?.ToString(CultureInfo.InvariantCulture));
        return int.TryParse(text, CultureInfo.InvariantCulture, out int number) && number >= 0
            ? number : throw new ReportException($"--{name} {text}: no number");
    }

    public long Mask(string name, long otherwise)
    {
        string text = Text(name, $"0x{otherwise:x}");
        bool hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        return hex && long.TryParse(text.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out long mask)
            ? mask : throw new ReportException($"--{name} {text}: no number as 0x7f");
    }
}
