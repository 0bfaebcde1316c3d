using System;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Benchmarks;

/// <summary>
/// One engine, one space with one slot that logs, one view: as the exports make them. Guest memory is never touched. One thread.
/// </summary>
internal sealed unsafe class SmallGuest : IDisposable
{
    public const ulong Page = 4096;
    public const ulong Segment = 1 << 20;

    private const ulong Host = 0x6000_0000_0000;

    private readonly Engine _engine;
    private readonly View _view;

    public SmallGuest(ulong size)
    {
        Check(Engine.TryCreate(new EngineOptions { ArenaBytes = (64 << 20) + (size >> 8) }, out Engine? engine));
        _engine = engine!;
        Check(AddressSpace.TryCreate(_engine, new SpaceOptions { Limit = size - 1 }, out AddressSpace? space));
        Space = space!;
        Check(Space.Changes.Set(new SlotRequest { Id = 1, Size = size, HostAddress = Host, LogDirty = true }));
        nint words = _engine.Control.TryAllocate();
        _view = new View(words, Space.Words, ViewWords.InlineVersion, _engine.ClosedSpace) { Vcpu = (ulong)words };
        Space.Epochs.Register(_view);
    }

    public AddressSpace Space { get; }

    public static void Check(int status)
    {
        if (status != 0)
        {
            throw new InvalidOperationException($"status {status}");
        }
    }

    /// <summary>As gmap_fault, and the view leaves: harvests wait for nobody.</summary>
    public int Fault(ulong address, Access access)
    {
        _view.EnterCall();
        int status = Space.Faults.Resolve(_view, address, access, View.CurrentThread, out _);
        _view.LeaveCall();
        _view.Leave();
        return status;
    }

    public void Dispose()
    {
        _view.Close(_engine.ClosedSpace);
        Space.Epochs.Unregister(_view);
        Check(Space.TryDestroy());
        _engine.Dispose();
    }
}
