using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using Microsoft.Diagnostics.Tracing;

namespace GmapNative.TraceReport;

/// <summary>Reads a .nettrace file. The numbers of the events and the order of their fields are the contract.</summary>
internal sealed class TraceReader
{
    public const string Provider = "GmapNative";

    private readonly Trace _trace = new();
    private readonly Dictionary<(int Thread, ulong Space, uint Slot), (double At, ulong Pages)> _begun = [];

    private readonly Dictionary<int, (ulong Space, ulong Address, double Milliseconds)> _slow = [];

    /// <summary>The events of a file. One that breaks off is refused, or read as far as it goes if it may be <paramref name="partial"/>.</summary>
    public static Trace Read(string file, bool partial = false)
    {
        var reader = new TraceReader();
        Trace trace = reader._trace;
        string? damage = HeadOf(file);
        if (damage is not null)
        {
            throw new ReportException($"{file}: {damage}");
        }
        try
        {
            using var source = new EventPipeEventSource(file);
            source.Dynamic.All += reader.Take;
            _ = source.Process();
            trace.Dropped = source.EventsLost;
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            damage = failure.Message.ReplaceLineEndings(" ").Trim(); // the package throws whatever its reading stumbles over
        }
        trace.OpenHarvests = reader._begun.Count;
        if (damage is not null && (!partial || trace.Events == 0))
        {
            throw new ReportException($"{file} is damaged after {trace.Events} events: {damage}");
        }
        trace.Damage = damage;
        return trace;
    }

    private static string? HeadOf(string file)
    {
        using FileStream stream = File.OpenRead(file);
        Span<byte> magic = stackalloc byte[8];
        int read = stream.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false);
        return read == magic.Length && magic.SequenceEqual("Nettrace"u8) ? null : "not a .nettrace file";
    }

    private void Take(TraceEvent e)
    {
        if (e.ProviderName != Provider || e.ID == (TraceEventID)0xFFFE) // the manifest
        {
            return;
        }
        if (e.ID == 0) // how an event source tells that it does not work
        {
            _trace.Troubles.Add(Convert.ToString(e.PayloadValue(0), CultureInfo.InvariantCulture) ?? "");
            return;
        }
        double at = e.TimeStampRelativeMSec / 1000;
        _trace.Events++;
        _trace.Seconds = Math.Max(_trace.Seconds, at);
        switch ((int)e.ID)
        {
            case 1 or 2:
                TakeFault(e, at);
                break;
            case 3:
                _trace.Splits.Add(new(at, Convert.ToBoolean(e.PayloadValue(2), CultureInfo.InvariantCulture)));
                break;
            case 4:
                _trace.Arms.Add(new(at, (uint)U64(e, 1), U64(e, 2), Milliseconds(e, 3)));
                break;
            case 5:
                _trace.HarvestBegins++;
                _begun[(e.ThreadID, U64(e, 0), (uint)U64(e, 1))] = (at, U64(e, 3));
                break;
            case 6:
                EndHarvest(e, at);
                break;
            case 7:
                _trace.GraceWaits.Add(new(at, Milliseconds(e, 1), I32(e, 2)));
                break;
            case 8:
                _trace.SlotChanges++;
                break;
            case 9:
                _trace.Unmaps++;
                _trace.UnmappedBytes += U64(e, 2);
                break;
            case 10:
                _trace.ArenaGrowthBytes += U64(e, 0);
                break;
            case 11 or 12:
                _trace.Troubles.Add(Convert.ToString(e.PayloadValue(0), CultureInfo.InvariantCulture) ?? "");
                break;
            default:
                _trace.Unknown[(int)e.ID] = _trace.Unknown.GetValueOrDefault((int)e.ID) + 1;
                break;
        }
    }

    /// <summary>A slow fault is told twice where every fault is told: first as a slow one, then as any other, by the same thread.</summary>
    private void TakeFault(TraceEvent e, double at)
    {
        bool slow = e.ID == (TraceEventID)1;
        (ulong, ulong, double) what = (U64(e, 0), U64(e, 1), Milliseconds(e, 4));
        bool again = !slow && _slow.Remove(e.ThreadID, out (ulong, ulong, double) told) && told == what;
        if (slow)
        {
            _slow[e.ThreadID] = what;
        }
        if (!again)
        {
            _trace.Faults.Add(new(at, slow, (uint)U64(e, 3), Milliseconds(e, 4)));
        }
    }

    private void EndHarvest(TraceEvent e, double at)
    {
        ulong? pages = null;
        double milliseconds = Milliseconds(e, 3);
        double begin = Math.Max(0, at - (milliseconds / 1000));
        if (_begun.Remove((e.ThreadID, U64(e, 0), (uint)U64(e, 1)), out (double At, ulong Pages) begun))
        {
            (begin, pages) = begun;
        }
        _trace.Harvests.Add(new(begin, at, (uint)U64(e, 1), pages, U64(e, 2), milliseconds, I32(e, 4)));
    }

    private static ulong U64(TraceEvent e, int field) => Convert.ToUInt64(e.PayloadValue(field), CultureInfo.InvariantCulture);

    private static int I32(TraceEvent e, int field) => Convert.ToInt32(e.PayloadValue(field), CultureInfo.InvariantCulture);

    private static double Milliseconds(TraceEvent e, int field) =>
        Convert.ToInt64(e.PayloadValue(field), CultureInfo.InvariantCulture) / 1e6;
}
