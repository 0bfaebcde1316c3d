using System;
using System.Collections.Generic;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Notify;

/// <summary>A space with a slot of eight segments at 0, and what a notifier heard there, in pages.</summary>
internal sealed class WatchedSpace : IDisposable
{
    public const Protection All = Protection.Read | Protection.Write;
    public const NotifyFlags Change = NotifyFlags.Change;
    public const NotifyFlags Write = NotifyFlags.Write;
    public const NotifyFlags ShadowKind = NotifyFlags.Shadow;

    private static readonly GuestMemory s_memory = new(16 << 20);
    private readonly List<(int First, int Last, NotifyFlags Kind)> _heard = [];
    private readonly Notifier _notifier;

    public WatchedSpace(
        SplitPolicy policy = SplitPolicy.Lazy, bool logs = true, bool huge = true, ulong graceTimeout = 0, ulong arena = 32 << 20,
        bool global = false)
    {
        Test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, Policy = policy, Huge = huge, GlobalDirty = global },
            new EngineOptions { ArenaBytes = arena, GraceTimeoutNanoseconds = graceTimeout });
        Test.Set(TheSlot with { LogDirty = logs });
        Assert.That(Notifier.TryRegister(Test.Space, NotifyFlags.None, Hear, out Notifier? made), Is.Zero);
        _notifier = made!;
    }

    public static SlotRequest TheSlot { get; } = new()
    {
        Id = 1,
        GuestAddress = 0,
        Size = 8 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    public TestSpace Test { get; }

    /// <summary>Called in each callback, after it was noted.</summary>
    public Action<ulong, ulong, NotifyFlags>? Callback { get; set; }

    /// <summary>What was told since the last look.</summary>
    public (int First, int Last, NotifyFlags Kind)[] Heard
    {
        get
        {
            lock (_heard)
            {
                (int, int, NotifyFlags)[] heard = [.. _heard];
                _heard.Clear();
                return heard;
            }
        }
    }

    public static (int First, int Last, NotifyFlags Kind)[] Nothing => [];

    public static (int First, int Last, NotifyFlags Kind)[] Once(int first, int last, NotifyFlags kind) => [(first, last, kind)];

    /// <summary>gmap_protect on pages.</summary>
    public int Protect(int first, int count, Protection protection, NotifyFlags notify = NotifyFlags.None) =>
        Test.Protect((ulong)first * Page, (ulong)count * Page, protection, notify);

    /// <summary>The same, which must succeed; afterwards everything must hold.</summary>
    public void Arm(int first, int count, NotifyFlags notify, Protection protection = All)
    {
        Assert.That(Protect(first, count, protection, notify), Is.Zero);
        Test.Check();
    }

    /// <summary>A fault; its status and reason.</summary>
    public (int Status, FaultReason Reason) Try(int page, Access access)
    {
        int status = Test.Fault((ulong)page * Page, access, out FaultOutcome outcome);
        Test.Check();
        return (status, outcome.Reason);
    }

    public FaultOutcome WritePage(int page)
    {
        FaultOutcome outcome = Test.Write((ulong)page * Page);
        Test.Check();
        return outcome;
    }

    public FaultOutcome ReadPage(int page) => Test.Read((ulong)page * Page);

    public int Unmap(int first, int count) => RangeCalls.Unmap(Test.Space, (ulong)first * Page, (ulong)count * Page, out _);

    public ulong SizeAt(int page)
    {
        _ = Test.Translate((ulong)page * Page, Access.Read, out FaultOutcome outcome);
        return outcome.LeafSize;
    }

    /// <summary>Whether a store goes through untold.</summary>
    public bool TakesStores(int page) => Test.Translate((ulong)page * Page, Access.Write, out _) == 0;

    public void Dispose()
    {
        Probe.Visitor = null;
        Probe.LeftOut = Step.None;
        Assert.That(_notifier.Unregister(), Is.Zero);
        Test.Dispose();
    }

    public int Unregister() => _notifier.Unregister();

    /// <summary>As <see cref="Dispose"/>, where a deliberate bug may have left something wrong.</summary>
    public void End()
    {
        _ = _notifier.Unregister();
        _ = Test.Close();
    }

    private void Hear(ulong first, ulong last, NotifyFlags kind)
    {
        lock (_heard)
        {
            _heard.Add(((int)(first / Page), (int)(last / Page), kind));
        }
        Callback?.Invoke(first, last, kind);
    }
}
