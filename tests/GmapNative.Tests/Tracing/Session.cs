using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.Tracing;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;
using NUnit.Framework;

namespace GmapNative.Tests.Tracing;

/// <summary>An event as it came out of the pipe.</summary>
internal sealed record Told(int Id, string Name, string[] Fields, object[] Values, double Milliseconds)
{
    public T Get<T>(string field) => (T)Values[Array.IndexOf(Fields, field)];

    public override string ToString() => FormattableString.Invariant($"{Milliseconds,9:0.000} {Name,-13} ")
        + string.Join(' ', Fields.Zip(Values, (field, value) => FormattableString.Invariant($"{field}={value}")));
}

/// <summary>Does what dotnet-trace does: asks a process for the events of GmapNative and reads them while they come.</summary>
internal sealed class Session : IDisposable
{
    private const string Provider = "GmapNative";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(15);

    private readonly EventPipeSession _session;
    private readonly Task _reader;
    private readonly List<Told> _events = [];
    private readonly Dictionary<string, double> _counters = [];

    public Session(int pid, EventLevel level, long keywords)
    {
        var arguments = new Dictionary<string, string> { ["EventCounterIntervalSec"] = "1" };
        _session = new DiagnosticsClient(pid).StartEventPipeSession(
            [new EventPipeProvider(Provider, level, keywords, arguments)], requestRundown: false, circularBufferMB: 16);
        _reader = Task.Factory.StartNew(
            Read, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Waits until a rate, summed over its intervals, is what is expected, or fails.</summary>
    public void WaitForCounter(string name, double expected)
    {
        long begin = Stopwatch.GetTimestamp();
        while (Counter(name) != expected && Stopwatch.GetElapsedTime(begin) < s_patience)
        {
            Thread.Sleep(20);
        }
        Assert.That(Counter(name), Is.EqualTo(expected), $"the counter {name}");
    }

    /// <summary>A rate summed over its intervals, the highest of another one; no number before it came.</summary>
    public double Counter(string name)
    {
        lock (_counters)
        {
            return _counters.GetValueOrDefault(name, double.NaN);
        }
    }

    /// <summary>Ends the session; all events that were written are there.</summary>
    public List<Told> Stop()
    {
        _session.Stop();
        Assert.That(_reader.Wait(s_patience), "the stream does not end");
        return _events;
    }

    public void Dispose() => _session.Dispose();

    private void Read()
    {
        using var source = new EventPipeEventSource(_session.EventStream);
        source.Dynamic.All += Note;
        source.Process();
    }

    private void Note(TraceEvent told)
    {
        if (told.ProviderName != Provider)
        {
            return;
        }
        if (told.EventName == "EventCounters")
        {
            var payload = (IDictionary<string, object>)((IDictionary<string, object>)told.PayloadValue(0))["Payload"];
            NoteCounter(payload);
            return;
        }
        object[] values = [.. Enumerable.Range(0, told.PayloadNames.Length).Select(told.PayloadValue)];
        _events.Add(new Told((int)told.ID, told.EventName, told.PayloadNames, values, told.TimeStampRelativeMSec));
    }

    private void NoteCounter(IDictionary<string, object> payload)
    {
        string name = (string)payload["Name"];
        lock (_counters)
        {
            _counters[name] = payload.TryGetValue("Increment", out object? increment)
                ? _counters.GetValueOrDefault(name) + (double)increment
                : Math.Max(_counters.GetValueOrDefault(name), (double)payload["Max"]);
        }
    }
}
