using System;
using System.Collections.Generic;
using GmapNative.Diagnostics;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using NUnit.Framework;

namespace GmapNative.Tests.Model;

/// <summary>
/// One engine with one space, driven as the exports drive them, and the view of the thread that made it. Its end checks the
/// invariants once more and that nothing is leaked.
/// </summary>
internal sealed unsafe class TestSpace : IDisposable
{
    public const ulong Page = 4096;
    public const ulong Segment = 1 << 20;
    public const ulong TwoGigabytes = 1UL << 31;

    /// <summary>Whether spaces that say nothing else have PGSTEs; see <see cref="FormatFixture"/>.</summary>
    public static bool WithPgstes { get; set; }

    private readonly List<View> _views = [];
    private bool _closed;

    public TestSpace(SpaceOptions options, EngineOptions? engine = null)
    {
        Assert.That(Engine.TryCreate(engine ?? new EngineOptions { ArenaBytes = 32 << 20 }, out Engine? created), Is.Zero);
        Engine = created!;
        options = options with { Pgstes = options.Pgstes || WithPgstes };
        Assert.That(AddressSpace.TryCreate(Engine, options, out AddressSpace? space), Is.Zero);
        Space = space!;
        View = OpenView();
    }

    public Engine Engine { get; }

    public AddressSpace Space { get; }

    /// <summary>The view of the thread that made this.</summary>
    public View View { get; }

    /// <summary>Page tables that are handed out.</summary>
    public long PageTables => Engine.Pool.Live(Space.Tree.PageTables.Kind);

    public ulong PageTableBytes => (ulong)Space.Tree.PageTables.Bytes;

    public CounterWords Counters => Space.Counters.Total();

    /// <summary>A view of the calling thread.</summary>
    public View OpenView()
    {
        nint words = Engine.Control.TryAllocate();
        Assert.That(words, Is.Not.Zero);
        var view = new View(words, Space.Words, ViewWords.InlineVersion, Engine.ClosedSpace)
        {
            Vcpu = (ulong)words,
            MarksDenseBits = Space.Options.ByGeneration,
        };
        lock (_views)
        {
            _views.Add(view);
        }
        Space.Epochs.Register(view);
        return view;
    }

    public void CloseView(View view)
    {
        view.Close(Engine.ClosedSpace);
        Space.Epochs.Unregister(view);
        lock (_views)
        {
            _views.Remove(view);
        }
    }

    /// <summary>As gmap_fault: leaves the view inside.</summary>
    public int Fault(View view, ulong address, Access access, out FaultOutcome outcome)
    {
        view.EnterCall();
        int status = Space.Faults.Resolve(view, address, access, View.CurrentThread, out outcome);
        view.LeaveCall();
        return status;
    }

    /// <summary>A fault of the own view, which is left afterwards.</summary>
    public int Fault(ulong address, Access access, out FaultOutcome outcome)
    {
        int status = Fault(View, address, access, out outcome);
        View.Leave();
        return status;
    }

    public FaultOutcome Read(ulong address)
    {
        Assert.That(Fault(address, Access.Read, out FaultOutcome outcome), Is.Zero);
        return outcome;
    }

    public FaultOutcome Write(ulong address)
    {
        Assert.That(Fault(address, Access.Write, out FaultOutcome outcome), Is.Zero);
        return outcome;
    }

    public int Translate(ulong address, Access access, out FaultOutcome outcome)
    {
        int section = LibrarySections.Enter();
        int status = Translator.Translate(Space, address, access, out outcome);
        LibrarySections.Leave(section);
        return status;
    }

    public int Call(Func<int> inSection)
    {
        int section = LibrarySections.Enter();
        int status = inSection();
        LibrarySections.Leave(section);
        return status;
    }

    public int HostRead(ulong address, out ulong value)
    {
        int section = LibrarySections.Enter();
        ulong read = 0; // on this frame
        int status = Space.Host.Read(address, (byte*)&read, sizeof(ulong));
        LibrarySections.Leave(section);
        value = read;
        return status;
    }

    public int HostWrite(ulong address, ulong value)
    {
        for (; ; )
        {
            int section = LibrarySections.Enter();
            int status = Space.Host.Write(address, (byte*)&value, sizeof(ulong), out ulong asks); // on this frame
            LibrarySections.Leave(section);
            if (status != FaultResolver.Watched || (status = Space.Watches.SettleWrite(asks, byHost: true)) != Status.Ok)
            {
                return status;
            }
        }
    }

    public int Protect(ulong address, ulong size, Protection protection, NotifyFlags notify = NotifyFlags.None) =>
        RangeProtector.Protect(Space, address, size, protection, notify);

    public void Set(SlotRequest request) => Assert.That(Space.Changes.Set(request), Is.Zero);

    /// <summary>Sets a slot with a buffer for its last dirty bits; the pages that are in it.</summary>
    public int[] SetWithFinal(SlotRequest request)
    {
        ulong pages = Space.Map.ById(request.Id)!.Pages;
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        fixed (ulong* words = bitmap)
        {
            Set(request with { FinalBitmap = (nint)words, FinalWords = (ulong)bitmap.Length });
        }
        return PagesOf(bitmap);
    }

    public int Harvest(uint slot, ulong first, ulong count, HarvestFlags flags, ulong[] bitmap, out ulong dirty)
    {
        fixed (ulong* words = bitmap)
        {
            return Harvester.Harvest(Space, slot, first, count, flags, words, (nuint)bitmap.Length, out dirty);
        }
    }

    /// <summary>The pages of a slot that a harvest of all of it reports.</summary>
    public int[] Harvest(uint slot, HarvestFlags flags = HarvestFlags.None)
    {
        ulong pages = Space.Map.ById(slot)!.Pages;
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        Array.Fill(bitmap, flags.HasFlag(HarvestFlags.Or) ? 0 : ulong.MaxValue); // what was in the buffer must not matter
        Assert.That(Harvest(slot, 0, pages, flags, bitmap, out ulong dirty), Is.Zero);
        int[] found = PagesOf(bitmap);
        Assert.That(dirty, Is.EqualTo((ulong)found.Length));
        return found;
    }

    public int Get(uint slot, ulong first, ulong count, ulong[]? bitmap, out ulong dirty)
    {
        fixed (ulong* words = bitmap)
        {
            return Harvester.Get(Space, slot, first, count, words, out dirty);
        }
    }

    public int Clear(uint slot, ulong first, ulong count, ulong[] bitmap)
    {
        fixed (ulong* words = bitmap)
        {
            return Harvester.Clear(Space, slot, first, count, words);
        }
    }

    public static int[] PagesOf(ulong[] bitmap)
    {
        List<int> pages = [];
        for (int page = 0; page < bitmap.Length * 64; page++)
        {
            if (page % 64 == 0 && bitmap[page / 64] == 0)
            {
                page += 63;
            }
            else if ((bitmap[page / 64] >> (page % 64) & 1) != 0)
            {
                pages.Add(page);
            }
        }
        return [.. pages];
    }

    public static int[] Range(int first, int count) => [.. System.Linq.Enumerable.Range(first, count)];

    /// <summary>Null, or the invariant that does not hold.</summary>
    public string? Violation() => InvariantChecker.Check(Engine, Space.IsDead ? [] : [Space]);

    public void Check() => Assert.That(Violation(), Is.Null);

    /// <summary>Ends all; null, or what was wrong: an invariant, a leak.</summary>
    public string? Close()
    {
        if (_closed)
        {
            return null;
        }
        _closed = true;
        foreach (View view in _views.ToArray())
        {
            CloseView(view);
        }
        string? wrong = Violation();
        int status = Space.IsDead ? 0 : Space.TryDestroy();
        wrong ??= status != 0 ? $"destroy: {status}" : Violation();
        Engine.Dispose();
        return wrong;
    }

    public void Dispose() => Assert.That(Close(), Is.Null);
}
