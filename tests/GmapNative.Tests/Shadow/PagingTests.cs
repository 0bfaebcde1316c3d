using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Shadow;

/// <summary>
/// g3 under paging: a guest's guest and its guest store, their tables are rewritten below them, a pager takes away what it can get,
/// visitors come and go, and a harvester copies. Rules 34 to 36, with real threads.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class PagingTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly TimeSpan s_long = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan s_slice = TimeSpan.FromSeconds(1);
    private const int MostSlices = 60;

    [TearDown]
    public void PutProbeBack()
    {
        Probe.Visitor = null;
        Probe.LeftOut = Step.None;
    }

    [Test]
    [Property("Scenario", 45)]
    public void G3_under_paging_loses_nothing_and_sees_nothing_stale([Values] bool freezes)
    {
        using var guest = new PagedGuest(FreezingOf(freezes));
        var run = new PagingRun(guest, seed: freezes ? 1 : 2);
        run.Go(s_long);
        TestContext.Out.WriteLine(run);
        Assert.That(run.Wrong, Is.Empty);
        Assert.That(run.Each, Has.All.GreaterThan(3), "everybody came to something");
    }

    /// <summary>
    /// The same sees what is left out. Not so, or seldom, a take without the lock that passes over a marker, a missing summary bit, a grace
    /// that is left to another fault: they need three threads in one order. The schedules see them (BugTests, which has all of these).
    /// </summary>
    [TestCase(Step.ShadowsNotEmptied)]
    [TestCase(Step.ShadowReadersNotCovered)]
    [TestCase(Step.NoGraceAfterTableArmed)]
    [TestCase(Step.ShadowWithoutSecondWalk)]
    [TestCase(Step.CancelTakesShadows)]
    [TestCase(Step.ShadowRightsStay)]
    [TestCase(Step.EmptyingNotAwaited)]
    public void G3_under_paging_sees_what_is_left_out(object given)
    {
        IReadOnlyList<string> wrong = [];
        int slices = 0;
        for (; slices < MostSlices && wrong.Count == 0; slices++)
        {
            Probe.LeftOut = (Step)given;
            var guest = new PagedGuest(FreezingOf(slices % 4 == 3));
            var run = new PagingRun(guest, seed: slices);
            run.Go(s_slice);
            wrong = run.Wrong;
            _ = guest.Guest.End(); // whatever the step left behind
        }
        TestContext.Out.WriteLine($"{slices} s: {string.Join("; ", wrong)}");
        Assert.That(wrong, Is.Not.Empty);
    }

    private static Freezing FreezingOf(bool freezes) => freezes
        ? new Freezing { LeastLines = 2, LeastSegments = 1, LeastFlagged = 1, LongestNanoseconds = 50_000_000 }
        : Freezing.Never;
}

/// <summary>One run and what was wrong.</summary>
internal sealed unsafe class PagingRun(PagedGuest guest, int seed)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static uint t_random;
#pragma warning restore IDE1006

    private readonly TestSpace _root = guest.Guest.Root;
    private readonly ulong _bytes = guest.Guest.TheSlot.Size;
    private readonly byte[] _image = new byte[guest.Guest.TheSlot.Size];
    private readonly List<string> _wrong = [];
    private readonly int[] _each = new int[8];
    private bool _stop;

    public IReadOnlyList<string> Wrong => _wrong;

    /// <summary>How much each thread did.</summary>
    public IReadOnlyList<int> Each => _each;

    public override string ToString() => string.Join(" ", _each);

    public void Go(TimeSpan time)
    {
        CopyAll();
        Probe.Visitor = Jostle;
        Action<Random>[] bodies = [WriteFirst, WriteSecond, Rewrite, RewriteSecond, Harvest, PageOut, PageIn, Visit];
        Thread[] threads = new Thread[bodies.Length];
        for (int i = 0; i < threads.Length; i++)
        {
            int own = i;
            threads[i] = new Thread(() => Guard(own, bodies[own])) { IsBackground = true };
            threads[i].Start();
        }
        for (long begin = Stopwatch.GetTimestamp(); !Volatile.Read(ref _stop) && Stopwatch.GetElapsedTime(begin) < time;)
        {
            Thread.Sleep(10);
        }
        Volatile.Write(ref _stop, true);
        for (int i = 0; i < threads.Length; i++)
        {
            if (!threads[i].Join(s_patience))
            {
                Say($"{bodies[i].Method.Name} hangs");
            }
        }
        Probe.Visitor = null;
        if (_wrong.Count == 0)
        {
            HarvestOnce();
            Compare();
            Say(_root.Violation());
        }
    }

    private void Guard(int own, Action<Random> body)
    {
        try
        {
            body(new Random((seed * 100) + own));
        }
        catch (Exception failure)
        {
            Say(failure.ToString());
        }
    }

    private void Say(string? wrong)
    {
        if (wrong is null)
        {
            return;
        }
        Volatile.Write(ref _stop, true);
        lock (_wrong)
        {
            _wrong.Add(wrong);
        }
    }

    private void Loop(int own, Action step)
    {
        while (!Volatile.Read(ref _stop))
        {
            step();
            _each[own]++;
        }
    }

    /// <summary>Holds threads up between steps, now and then.</summary>
    private static void Jostle(Place place)
    {
        uint x = t_random != 0 ? t_random : (uint)Environment.CurrentManagedThreadId * 0x9E37_79B9; // xorshift
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        t_random = x;
        if (place == Place.Waiting || x % 64 == 0)
        {
            _ = Thread.Yield();
        }
    }

    private void WriteFirst(Random random) => Write(0, guest.First, random);

    private void WriteSecond(Random random) => Write(1, guest.Second, random);

    /// <summary>A few accesses in each section, of which many go by what was cached.</summary>
    private void Write(int own, ShadowSpace shadow, Random random)
    {
        using var inner = new InnerThread(guest, shadow, own);
        Loop(own, () =>
        {
            inner.Enter();
            for (int i = random.Next(1, 6); i > 0; i--)
            {
                ulong address = PagedGuest.AddressOf(random.Next(PagedGuest.Pages));
                Say(random.Next(4) == 0 ? inner.Load(address) : inner.Store(address));
            }
            inner.Leave();
        });
    }

    /// <summary>The outer guest: its tables, and stores to frames that its guest has.</summary>
    private void Rewrite(Random random)
    {
        View view = _root.OpenView();
        Loop(2, () =>
        {
            (ulong at, ulong entry) = random.Next(16) == 0 ? PagedGuest.AnySegment(random)
                : random.Next(16) == 0 ? PagedGuest.AnyMove(random)
                : PagedGuest.AnyFirst(random);
            Store(view, at, entry);
            Thread.Sleep(random.Next(2));
        });
        _root.CloseView(view);
    }

    private void Store(View view, ulong at, ulong entry)
    {
        int status = _root.Fault(view, at, Access.Write, out FaultOutcome outcome);
        if (status == 0)
        {
            Volatile.Write(ref *(ulong*)outcome.HostAddress, System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(entry));
        }
        view.Leave();
        Say(status == 0 ? null : $"a store of the outer guest answers {status}");
    }

    /// <summary>The first guest rewrites the second's tables: stores through its own shadow.</summary>
    private void RewriteSecond(Random random)
    {
        using var inner = new InnerThread(guest, guest.First, 2);
        Loop(3, () =>
        {
            (ulong at, ulong entry) = PagedGuest.AnySecond(random);
            inner.Enter();
            Say(inner.Plant(at, entry));
            inner.Leave();
            Thread.Sleep(random.Next(3));
        });
    }

    private void Harvest(Random random) => Loop(4, () =>
    {
        HarvestOnce();
        Thread.Sleep(random.Next(2));
    });

    private void HarvestOnce()
    {
        foreach (int page in _root.Harvest(NestedGuest.SlotId))
        {
            Copy(page);
        }
    }

    private void PageOut(Random random) => Loop(5, () =>
    {
        (ulong at, ulong size) = AnyRange(random);
        AddressSpace space = _root.Space;
        int status = 0;
        switch (random.Next(5))
        {
            case 0 or 1:
                status = RangeCalls.Unmap(space, at, size, out _);
                break;
            case 2:
                status = RangeCalls.Discard(space, at, size, out _);
                _ = _root.Call(() => space.Host.MarkRange(at, size)); // it was not: what had not been copied is copied again
                break;
            case 3:
                status = RangeCalls.Age(space, at, size, out _);
                break;
            default:
                status = RangeCalls.Collapse(space, at, size, out _);
                break;
        }
        Say(status == 0 ? null : $"the pager: {status}");
        Thread.Sleep(random.Next(2));
    });

    private void PageIn(Random random) => Loop(6, () =>
    {
        (ulong at, ulong size) = AnyRange(random);
        Access access = random.Next(4) == 0 ? Access.Write : Access.Read;
        int status = random.Next(3) switch
        {
            0 => RangeCalls.Populate(_root.Space, at, size, access, out _),
            1 => RangeCalls.Split(_root.Space, at, size, out _),
            _ => Arm(at, size, cancel: random.Next(2) == 0),
        };
        Say(status == 0 ? null : $"populate, split or protect: {status}");
        Thread.Sleep(random.Next(2));
    });

    private int Arm(ulong at, ulong size, bool cancel) => _root.Protect(
        at, size, Protection.Read | Protection.Write, NotifyFlags.Change | NotifyFlags.Shadow | (cancel ? NotifyFlags.Cancel : 0));

    /// <summary>Shadows without tables come and go: there is room for one beside the two.</summary>
    private void Visit(Random random) => Loop(7, () =>
    {
        uint edat = (uint)random.Next(3);
        int status = ShadowFamily.Open(_root.Space, NestedGuest.RealSpaceAsce, edat, out ShadowSpace? shadow);
        if (status == 0)
        {
            using (var inner = new InnerThread(guest, shadow!, 3))
            {
                for (int i = random.Next(8); i > 0; i--)
                {
                    inner.Enter();
                    Say(inner.Store((ulong)(PagedGuest.FirstFrame + random.Next(PagedGuest.Frames)) * Page));
                    inner.Leave();
                }
            }
            status = shadow!.Family.Close(shadow);
        }
        Say(status == 0 ? null : $"a visitor: {status}");
        Thread.Sleep(random.Next(3));
    });

    /// <summary>Tables, frames, or all of it.</summary>
    private (ulong At, ulong Size) AnyRange(Random random) => random.Next(8) switch
    {
        0 => (0, _bytes),
        1 => (0, Segment),
        2 => ((ulong)random.Next(4, 8) * Segment, Segment),
        3 or 4 => ((ulong)random.Next(0x10, 0x34) * Page, Page),
        _ => ((ulong)(PagedGuest.FirstFrame + random.Next(PagedGuest.Frames)) * Page, Page),
    };

    private void CopyAll()
    {
        for (int page = 0; page < (int)(_bytes / Page); page++)
        {
            Copy(page);
        }
    }

    private void Copy(int page) => MemoryOf(page).CopyTo(_image.AsSpan(page * (int)Page));

    private ReadOnlySpan<byte> MemoryOf(int page) => new((byte*)guest.Host + ((ulong)page * Page), (int)Page); // of the test's guest

    private void Compare()
    {
        for (int page = 0; page < (int)(_bytes / Page) && _wrong.Count == 0; page++)
        {
            if (!MemoryOf(page).SequenceEqual(_image.AsSpan(page * (int)Page, (int)Page)))
            {
                Say($"page {page} was never copied with what is there");
            }
        }
    }
}
