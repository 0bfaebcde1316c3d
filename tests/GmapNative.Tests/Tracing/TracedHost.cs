using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Threading.Tasks;
using GmapNative.Tests.Abi;
using NUnit.Framework;

namespace GmapNative.Tests.Tracing;

/// <summary>tests/native/traced.c as a process: it stops before its known run and after it, and says what the library counted.</summary>
internal sealed class TracedHost : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly Process _process;
    private readonly Task<string> _complaints;

    /// <param name="libraries">Before the host's own run path; null: the shipped library.</param>
    /// <param name="sockets">Where a diagnostic port would be.</param>
    public TracedHost(string? libraries, string sockets)
    {
        var start = new ProcessStartInfo(NativeHost.Compile("traced.c", Flavour.Plain))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TMPDIR"] = sockets;
        start.Environment.Remove("DOTNET_EnableDiagnostics");
        if (libraries is not null)
        {
            start.Environment["LD_LIBRARY_PATH"] = libraries;
        }
        _process = Process.Start(start)!;
        _complaints = _process.StandardError.ReadToEndAsync();
        Pid = (int)Number("pid");
        Features = Number("features");
    }

    public int Pid { get; }

    public ulong Features { get; }

    /// <summary>What the library counted, by the names of gmap_space_stats and gmap_engine_stats.</summary>
    public Dictionary<string, ulong> Run()
    {
        _process.StandardInput.WriteLine("go");
        Dictionary<string, ulong> counted = [];
        for (string line = Line(); line != "ran"; line = Line())
        {
            string[] words = line.Split(' ');
            counted[words[0]] = ulong.Parse(words[1], CultureInfo.InvariantCulture);
        }
        return counted;
    }

    public void End()
    {
        _process.StandardInput.WriteLine("end");
        Assert.That(_process.WaitForExit(s_patience), "the host does not end");
        Assert.That(_process.ExitCode, Is.Zero, _complaints.Result);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }
        _process.Dispose();
    }

    private ulong Number(string name)
    {
        string[] words = Line().Split(' ');
        Assert.That(words[0], Is.EqualTo(name));
        return ulong.Parse(words[1], CultureInfo.InvariantCulture);
    }

    private string Line()
    {
        Task<string?> line = _process.StandardOutput.ReadLineAsync();
        Assert.That(line.Wait(s_patience), "the host says nothing");
        return line.Result ?? throw new EndOfStreamException($"the host ended: {_complaints.Result}");
    }
}
