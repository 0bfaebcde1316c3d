using System;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Tests.Interleaving;

namespace GmapNative.Tests.Model;

/// <summary>The real gmap_inline.h on the tables of this process: what a host does with one view.</summary>
internal sealed unsafe class HeaderWriter
{
    private readonly InlineShim _header = InlineShim.Of(HeaderTwin.None);
    private readonly View _view;

    /// <param name="view">The calling thread's view.</param>
    public HeaderWriter(View view)
    {
        _view = view;
        _header.Begin(_ => { }, buffersStores: false);
    }

    public void Enter() => _header.Enter(_view);

    public void Leave() => _header.Leave(_view);

    /// <summary>0 or GMAP_INLINE_ASK. In a section.</summary>
    public int Load(ulong address, out nint host) => _header.LoadPointer(_view, address, 1, out host);

    /// <summary>0 or GMAP_INLINE_ASK: the page is dirty and may be written. In a section.</summary>
    public int Store(ulong address, out nint host) => _header.StorePointer(_view, address, 1, out host);

    /// <summary>A store of a word in a section; <paramref name="fault"/> where the header asks. 0 or what the fault answers.</summary>
    public int Write(ulong address, ulong value, Func<ulong, int> fault)
    {
        int status;
        nint host;
        while ((status = _header.StorePointer(_view, address, sizeof(ulong), out host)) == InlineWriter.Ask
            && (status = fault(address)) == 0)
        {
        }
        if (status == 0)
        {
            Volatile.Write(ref *(ulong*)host, value); // guest memory of the test, valid until the section ends
        }
        return status;
    }
}
