using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using GmapNative.Tests.BuildHabits;
using NUnit.Framework;

namespace GmapNative.Tests;

/// <summary>gmap-migrate, or a host like it, as a process of its own: what it says, and how it ends.</summary>
internal sealed class MigrateProgram : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    private readonly string _name;
    private readonly Process _process;
    private readonly Task<string> _errors;

    private MigrateProgram(string name, string[] arguments)
    {
        string file = HostFile(name);
        Assert.That(file, Does.Exist, "the program is not there: run ./build.sh build");
        _name = name;
        ProcessStartInfo start = new(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
    }

    public static string FileName { get; } = HostFile("gmap-migrate");

    public static MigrateProgram Start(params string[] arguments) => StartHost("gmap-migrate", arguments);

    public static MigrateResult Run(params string[] arguments) => RunHost("gmap-migrate", arguments);

    /// <summary>Another host with the same protocol and the same manners.</summary>
    public static MigrateProgram StartHost(string name, params string[] arguments) => new(name, arguments);

    public static async Task<MigrateResult> RunAsync(params string[] arguments)
    {
        using MigrateProgram program = Start(arguments);
        return await program.Ended();
    }

    public static MigrateResult RunHost(string name, params string[] arguments)
    {
        using MigrateProgram program = new(name, arguments);
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

        throw new InvalidOperationException($"{_name} ended without a line \"{beginning}\": {await _errors}");
    }

    public void Kill() => _process.Kill();

    public MigrateResult End() => Ended().GetAwaiter().GetResult();

    /// <summary>The same, and no thread waits: for tests in which many programs run at once.</summary>
    public async Task<MigrateResult> Ended()
    {
        Task<string> output = _process.StandardOutput.ReadToEndAsync();
        try
        {
            await _process.WaitForExitAsync().WaitAsync(s_patience).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _process.Kill();
            Assert.Fail($"{_name} did not end in time: {await _errors}");
        }

        return new MigrateResult(_process.ExitCode, await output.ConfigureAwait(false), await _errors.ConfigureAwait(false));
    }

    private static string HostFile(string name) => Path.Combine(Repository.Artifacts, "bin", name);

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }
}

/// <summary>How a run of a host ended.</summary>
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
