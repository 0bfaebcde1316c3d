using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-migrate as a process of its own: what it says, and how it ends.</summary>
internal sealed class MigrateProgram : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly Process _process;
    private readonly Task<string> _errors;

    private MigrateProgram(string[] arguments)
    {
        Assert.That(FileName, Does.Exist, "the program is not there: run ./build.sh build");
        ProcessStartInfo start = new(FileName, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
    }

    public static string FileName { get; } = Path.Combine(Repository.Artifacts, "bin", "gmap-migrate");

    public static MigrateProgram Start(params string[] arguments) => new(arguments);

    public static MigrateResult Run(params string[] arguments)
    {
        using MigrateProgram program = new(arguments);
        return program.End();
    }

    /// <summary>Reads lines until one begins as asked; answers what follows.</summary>
    public async Task<string> LineAfter(string beginning)
    {
        while (await _process.StandardOutput.ReadLineAsync().WaitAsync(s_patience) is { } line)
        {
            if (line.StartsWith(beginning, StringComparison.Ordinal))
            {
                return line[beginning.Length..];
            }
        }

        throw new InvalidOperationException($"gmap-migrate ended without a line \"{beginning}\": {await _errors}");
    }

    public void Kill() => _process.Kill();

    public MigrateResult End()
    {
        Task<string> output = _process.StandardOutput.ReadToEndAsync();
        if (!_process.WaitForExit(s_patience))
        {
            _process.Kill();
            Assert.Fail("gmap-migrate did not end in time");
        }

        return new MigrateResult(_process.ExitCode, output.Result, _errors.Result);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }
}

/// <summary>How a run of gmap-migrate ended.</summary>
internal sealed record MigrateResult(int Status, string Output, string Errors)
{
    public string[] ErrorLines => Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The object of --json: the last line.</summary>
    public JsonElement Json
    {
        get
        {
            string last = Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault("");
            Assert.That(last, Does.StartWith("{"), Everything);
            return JsonDocument.Parse(last).RootElement;
        }
    }

    public string Everything => $"status {Status}\n{Errors}{Output}";
}
