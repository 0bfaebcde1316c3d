using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// A root with a slot at 0, a guest that keeps tables in it, and a shadow of its guest. The tables' format is of the book; nothing of the
/// engine's is asked.
/// </summary>
internal sealed unsafe class NestedGuest : IDisposable
{
    public const uint SlotId = 1;
    private readonly GuestMemory _memory;
    private readonly List<ShadowSpace> _shadows = [];
    private readonly Dictionary<ShadowSpace, View> _views = [];

    public NestedGuest(
        ulong segments = 16, SplitPolicy policy = SplitPolicy.Lazy, bool logs = true, ulong graceTimeout = 0, ulong arena = 32 << 20,
        int mostShadows = 64, ulong shadowBytes = 16 << 20, Freezing? freezing = null,
        bool pgstes = false)
    {
        _memory = new GuestMemory(segments * Segment);
        Root = new TestSpace(
            new SpaceOptions
            {
                Limit = TwoGigabytes - 1,
                Policy = policy,
                MostShadows = mostShadows,
                ShadowBytes = shadowBytes,
                Pgstes = pgstes,
            },
            new EngineOptions { ArenaBytes = arena, GraceTimeoutNanoseconds = graceTimeout, Freezing = freezing ?? new Freezing() });
        TheSlot = new SlotRequest
        {
            Id = SlotId,
            GuestAddress = 0,
            Size = segments * Segment,
            HostAddress = _memory.Start,
            LogDirty = logs,
        };
        Root.Set(TheSlot);
    }

    public TestSpace Root { get; }

    public SlotRequest TheSlot { get; }

    public ulong Host => _memory.Start;

    /// <summary>A segment-table ASCE; its table has 512 entries.</summary>
    public static ulong SegmentAsce(ulong origin) => origin;

    public static ulong RealSpaceAsce => 0x20;

    /// <summary>The bytes of an entry, without a word to the engine: before shadows know it.</summary>
    public void Plant(ulong at, ulong entry) =>
        BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>((void*)(_memory.Start + at), sizeof(ulong)), entry); // inside the slot

    /// <summary>A store of the outer guest: by a fault of its vcpu, as a host does it. A status.</summary>
    public int Store(ulong at, ulong entry)
    {
        int status = Root.Fault(Root.View, at, Access.Write, out FaultOutcome outcome);
        if (status == 0)
        {
            BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>((void*)outcome.HostAddress, sizeof(ulong)), entry);
        }
        Root.View.Leave();
        return status;
    }

    /// <summary>Tables for one segment: its entry in a segment table, and page entries for pages from a first frame on.</summary>
    public void PlantSegment(ulong segmentTable, int index, ulong pageTable, ulong frame, int pages = 256, ulong bits = 0)
    {
        Plant(segmentTable + ((ulong)index * 8), pageTable);
        for (int page = 0; page < 256; page++)
        {
            Plant(pageTable + ((ulong)page * 8), page < pages ? (frame + ((ulong)page * Page)) | bits : 0x400);
        }
    }

    /// <summary>A segment table of 512 entries that say nothing.</summary>
    public void PlantEmptySegments(ulong segmentTable)
    {
        for (int i = 0; i < 512; i++)
        {
            Plant(segmentTable + ((ulong)i * 8), 0x20);
        }
    }

    /// <summary>The root maps a segment by pages.</summary>
    public void SplitRoot(ulong segment)
    {
        _ = Root.Read(segment);
        Assert.That(RangeCalls.Split(Root.Space, segment, Segment, out _), Is.Zero);
    }

    public ShadowSpace Open(ulong asce, EdatLevel edat = EdatLevel.One, ShadowSpace? below = null)
    {
        Assert.That(ShadowFamily.Open(below?.Space ?? Root.Space, asce, (uint)edat, out ShadowSpace? shadow), Is.Zero);
        _shadows.Add(shadow!);
        return shadow!;
    }

    public void Close(ShadowSpace shadow)
    {
        if (_views.Remove(shadow, out View? view))
        {
            CloseView(shadow, view);
        }
        Assert.That(shadow.Family.Close(shadow), Is.Zero);
        _shadows.Remove(shadow);
    }

    public View ViewOf(ShadowSpace shadow)
    {
        if (!_views.TryGetValue(shadow, out View? view))
        {
            _views[shadow] = view = OpenView(shadow);
        }
        return view;
    }

    public View OpenView(ShadowSpace shadow)
    {
        nint words = Root.Engine.Control.TryAllocate();
        var view = new View(words, shadow.Space.Words, ViewWords.InlineVersion, Root.Engine.ClosedSpace) { Vcpu = (ulong)words };
        shadow.Space.Epochs.Register(view);
        return view;
    }

    public void CloseView(ShadowSpace shadow, View view)
    {
        view.Close(Root.Engine.ClosedSpace);
        shadow.Space.Epochs.Unregister(view);
    }

    /// <summary>An access of the inner guest: a fault, which the view leaves afterwards.</summary>
    public int Try(ShadowSpace shadow, ulong address, Access access, out FaultOutcome outcome)
    {
        View view = ViewOf(shadow);
        view.EnterCall();
        int status = shadow.Space.Faults.Resolve(view, address, access, View.CurrentThread, out outcome);
        view.LeaveCall();
        view.Leave();
        return status;
    }

    /// <summary>Where in the root an access of the inner guest ends, or minus the program-interruption code.</summary>
    public long At(ShadowSpace shadow, ulong address, Access access)
    {
        int status = Try(shadow, address, access, out FaultOutcome outcome);
        return status == 0 ? (long)(outcome.HostAddress - _memory.Start) : -status;
    }

    public long Read(ShadowSpace shadow, ulong address) => At(shadow, address, Access.Read);

    public long Write(ShadowSpace shadow, ulong address) => At(shadow, address, Access.Write);

    /// <summary>Whether the shadow's own tables answer, without a fault.</summary>
    public static bool IsMapped(ShadowSpace shadow, ulong address, bool write = false)
    {
        FaultOutcome outcome = default;
        var mapped = new MappedAccess(shadow.Space.Tree);
        return mapped.TryResolve(address, write, ref outcome);
    }

    public void Check() => Root.Check();

    /// <summary>Null, or what was wrong.</summary>
    public string? End()
    {
        Probe.Visitor = null;
        Probe.LeftOut = Step.None;
        foreach (ShadowSpace shadow in _shadows.ToArray())
        {
            Close(shadow);
        }
        string? wrong = Root.Close();
        _memory.Dispose();
        return wrong;
    }

    public void Dispose() => Assert.That(End(), Is.Null);
}
