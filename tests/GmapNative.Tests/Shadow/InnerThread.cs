using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// One virtual processor of an inner guest, on the thread that made this: what it stores is in a word of its own in each page, and each
/// access must end where the tables lead at that moment: as long as it is in its section nobody may have rewritten them.
/// </summary>
internal sealed unsafe class InnerThread(PagedGuest guest, ShadowSpace shadow, int word) : IDisposable
{
    private const int MostCached = 16;

    private readonly View _view = guest.Guest.OpenView(shadow);
    private readonly Dictionary<ulong, (ulong Generation, nint Host, bool Writable)> _cache = [];
    private readonly Dictionary<long, ulong> _last = [];
    private InlineWriter? _inline;
    private ulong _stamp;

    public void Enter()
    {
        _inline ??= new InlineWriter(_view);
        _inline.Enter();
    }

    public void Leave() => _inline!.Leave();

    /// <summary>Stores a word of the page; null, or what was wrong. In a section.</summary>
    public string? Store(ulong address)
    {
        string? wrong = Access(address, GmapNative.Space.Access.Write, out nint host);
        if (host != 0)
        {
            Volatile.Write(ref Word(host), ++_stamp);
            _last[PageOf(host)] = _stamp;
        }
        return wrong;
    }

    /// <summary>Loads the word; null, or what was wrong. In a section.</summary>
    public string? Load(ulong address)
    {
        string? wrong = Access(address, GmapNative.Space.Access.Read, out nint host);
        ulong expected = host == 0 ? 0 : _last.GetValueOrDefault(PageOf(host));
        ulong found = host == 0 || expected == 0 ? expected : Volatile.Read(ref Word(host));
        return wrong ?? (found == expected ? null : $"{address:x}: {found}, and {expected} was stored");
    }

    /// <summary>Stores an entry of a table that the inner guest keeps. In a section.</summary>
    public string? Plant(ulong address, ulong entry)
    {
        string? wrong = Access(address, GmapNative.Space.Access.Write, out nint host);
        if (host != 0)
        {
            Volatile.Write(ref *(ulong*)host, BinaryPrimitives.ReverseEndianness(entry)); // guest memory, valid in the section
        }
        return wrong;
    }

    public void Dispose() => guest.Guest.CloseView(shadow, _view);

    /// <summary>0 where the guest's tables, or others who are at them all the time, answer otherwise.</summary>
    private string? Access(ulong address, Access access, out nint host)
    {
        bool write = access == GmapNative.Space.Access.Write;
        bool cached = _cache.TryGetValue(address, out (ulong Generation, nint Host, bool Writable) known)
            && known.Generation == _view.Generation && (known.Writable || !write);
        host = known.Host;
        string how = "cached";
        int status = 0;
        bool keeps = true;
        if (!cached)
        {
            how = "walked";
            status = write ? _inline!.Store(address, out host) : _inline!.Load(address, out host);
        }
        if (status == InlineWriter.Ask)
        {
            how = "by a fault";
            _view.EnterCall();
            status = shadow.Space.Faults.Resolve(_view, address, access, View.CurrentThread, out FaultOutcome outcome);
            _view.LeaveCall();
            host = (nint)outcome.HostAddress;
            keeps = outcome.Rights != GmapNative.Space.Access.None;
        }
        if (status != 0)
        {
            host = 0;
            return status > 0 || status == Status.TryAgain ? null : $"{address:x}: {status}";
        }
        if (keeps && !cached)
        {
            if (_cache.Count >= MostCached)
            {
                _cache.Clear();
            }
            _cache[address] = (_view.Generation, host, write);
        }
        long leads = keeps ? guest.LeadsTo(shadow, address) : (long)((ulong)host - guest.Host);
        return leads == (long)((ulong)host - guest.Host) ? null
            : $"shadow {shadow.Id}, {address:x} leads to {leads:x}, and led to {(ulong)host - guest.Host:x}, {how}";
    }

    private long PageOf(nint host) => (long)(((ulong)host - guest.Host) / Page);

    private ref ulong Word(nint host) => ref ((ulong*)((ulong)host & ~(Page - 1)))[word]; // guest memory, valid in the section
}
