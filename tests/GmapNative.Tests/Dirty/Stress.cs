using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Dirty;

/// <summary>What a <see cref="Stress"/> does, beside writing and harvesting.</summary>
internal sealed record StressOptions
{
    public SplitPolicy Policy { get; init; }

    public WriterFlaw Flaw { get; init; }

    /// <summary>A thread that unmaps ranges all the time.</summary>
    public bool Unmaps { get; init; }

    /// <summary>A thread that turns logging off and on (initially dirty: what was missed meanwhile comes again).</summary>
    public bool Toggles { get; init; }

    /// <summary>Where a second slot begins, with a harvester of its own: in the middle of a cache line of entries. 0: none.</summary>
    public int SecondSlotAt { get; init; }

    /// <summary>A slot with a whole stripe, few pages and pauses: harvests find nothing now and then, and clear the stripe's bit.</summary>
    public bool Stripes { get; init; }

    public required TimeSpan Time { get; init; }
}

/// <summary>
/// Writers, a harvester and others on one space, with real memory behind. The oracle needs no lock: a writer publishes a store's stamp
/// after the store; the harvester reads the published stamps, harvests, copies the pages that were reported into an image, and
/// then no stamp of the image may be older than what was published before the harvest began.
/// </summary>
internal sealed unsafe class Stress : IDisposable
{
    private const int Writers = 3;
    private const int HotPages = 48;

    private const int Pages = 768; // all that are written are among the first
    private const ulong StripeSize = SegmentTable.StripeSegments * TestSpace.Segment;

    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(30);

    private static readonly int[] s_hot = // some in one cache line of entries, some in the next, in three segments
        [.. Enumerable.Range(0, HotPages).Select(i => (i % 3 * 256) + (i / 3 * (i % 2 == 0 ? 1 : 9)))];

    private readonly StressOptions _options;
    private readonly ulong _base;
    private readonly GuestMemory _memory;
    private readonly TestSpace _test;
    private readonly SlotRequest[] _slots;
    private readonly int[] _hot;
    private readonly ulong[,] _published = new ulong[Writers, Pages];
    private readonly ulong[,] _image = new ulong[Writers, Pages];
    private string? _failure;
    private bool _stop;
    private int _clean; // harvests that found nothing
    private long _stores;
    private long _delivered;

    public Stress(StressOptions options)
    {
        _options = options;
        _base = options.Stripes ? StripeSize : TestSpace.Segment;
        int pages = options.Stripes ? (int)(StripeSize / TestSpace.Page) : Pages;
        _memory = new GuestMemory((ulong)pages * TestSpace.Page);
        _test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1, Policy = options.Policy });
        _hot = options.Stripes ? [3, 300]
            : options.SecondSlotAt == 0 ? s_hot
            : TestSpace.Range(options.SecondSlotAt - 1, 2); // nothing else keeps the summary set
        _slots = options.SecondSlotAt == 0 ? [Slot(1, 0, pages)]
            : [Slot(1, 0, options.SecondSlotAt), Slot(2, options.SecondSlotAt, Pages - options.SecondSlotAt)];
        foreach (SlotRequest slot in _slots)
        {
            _test.Set(slot);
        }
    }

    public long Stores => _stores;

    public long Delivered => _delivered;

    public CounterWords Counters => _test.Counters;

    /// <summary>Null, or the first page that was lost.</summary>
    public string? Run()
    {
        List<Thread> threads = [.. Enumerable.Range(0, Writers).Select(i => Start(() => Write(i)))];
        if (_options.Unmaps)
        {
            threads.Add(Start(Unmap));
        }
        if (_options.Toggles)
        {
            threads.Add(Start(Toggle));
        }
        if (_slots.Length > 1)
        {
            threads.Add(Start(() =>
            {
                for (int round = 0; !Stopped; round++)
                {
                    HarvestAndCopy(_slots[1], round);
                }
            }));
        }
        var clock = Stopwatch.StartNew();
        for (int round = 0; Volatile.Read(ref _failure) is null && (clock.Elapsed < _options.Time || IsTooShort(clock)); round++)
        {
            HarvestAndCopy(_slots[0], round);
        }
        Volatile.Write(ref _stop, true);
        foreach (Thread thread in threads)
        {
            thread.Join();
        }
        foreach (SlotRequest slot in _slots)
        {
            while (_failure is null && !HarvestAndCopy(slot, 0))
            {
            }
        }
        _failure ??= _test.Violation();
        return _failure;
    }

    /// <summary>What a stress has found it leaves behind, too.</summary>
    public void Dispose()
    {
        string? wrong = _test.Close();
        Assert.That(_failure is null ? wrong : null, Is.Null);
        _memory.Dispose();
    }

    /// <summary>On a busy machine a stress goes on until all its threads have had their turns.</summary>
    private bool IsTooShort(Stopwatch clock) => clock.Elapsed < s_longest
        && (Counters.Harvests < 100 || Delivered < 500 || Interlocked.Read(ref _stores) < 5000
            || (_options.Unmaps && Counters.PagesUnmapped < 100)
            || (_options.Toggles && Counters.Armings < 10));

    private SlotRequest Slot(uint id, int first, int pages) => new()
    {
        Id = id,
        GuestAddress = _base + ((ulong)first * TestSpace.Page),
        Size = (ulong)pages * TestSpace.Page,
        HostAddress = _memory.Start + ((ulong)first * TestSpace.Page),
        LogDirty = true,
    };

    private Thread Start(Action action)
    {
        var thread = new Thread(() =>
        {
            try
            {
                action();
            }
            catch (Exception exception)
            {
                Fail(exception.ToString());
            }
        });
        thread.Start();
        return thread;
    }

    private void Fail(string failure) => Interlocked.CompareExchange(ref _failure, failure, null);

    private bool Stopped => Volatile.Read(ref _stop) || Volatile.Read(ref _failure) is not null;

    private void Write(int writer)
    {
        View view = _test.OpenView();
        var random = new Random(writer);
        var inline = new InlineWriter(view, () => Dawdle(random), _options.Flaw);
        ulong stamp = 0;
        int page = 0;
        Func<ulong, int> fault = address => _test.Fault(view, address, Access.Write, out _);
        Action publish = () => Volatile.Write(ref _published[writer, page], stamp);
        while (!Stopped)
        {
            inline.Enter();
            for (int i = random.Next(4); i >= 0; i--)
            {
                page = _hot[random.Next(_hot.Length)];
                stamp++;
                ulong address = _base + ((ulong)page * TestSpace.Page) + ((ulong)writer * sizeof(ulong));
                int status = i == 3 && _options.Flaw == WriterFlaw.None
                    ? WriteByFault(view, address, stamp, publish)
                    : inline.Write(address, stamp, fault, publish);
                if (status != 0)
                {
                    Fail($"write at {address:x}: {status}");
                }
                Interlocked.Increment(ref _stores);
            }
            inline.Leave();
            if (_options.Stripes)
            {
                Pause(random);
            }
        }
        _test.CloseView(view);
    }

    /// <summary>A host without the inline header: each store asks.</summary>
    private int WriteByFault(View view, ulong address, ulong stamp, Action publish)
    {
        int status = _test.Fault(view, address, Access.Write, out FaultOutcome outcome);
        if (status == 0)
        {
            Thread.Yield();
            Volatile.Write(ref *(ulong*)outcome.HostAddress, stamp); // in the section that the fault began
            publish();
        }
        return status;
    }

    /// <summary>Until a harvest found nothing, and so cleared the bit of the stripe; then some begin at once, others later.</summary>
    private void Pause(Random random)
    {
        int seen = Volatile.Read(ref _clean);
        while (!Stopped && Volatile.Read(ref _clean) == seen)
        {
            Thread.Yield();
        }
        if (random.Next(2) == 0)
        {
            Thread.SpinWait(random.Next(5000));
        }
    }

    /// <summary>Lets others run in the middle, now and then.</summary>
    private void Dawdle(Random random)
    {
        int what = random.Next(_options.Stripes ? 8 : 64);
        if (what == 0)
        {
            Thread.Yield();
        }
        else if (what < 4)
        {
            Thread.SpinWait(random.Next(200));
        }
    }

    private void Unmap()
    {
        var random = new Random(77);
        while (!Stopped)
        {
            ulong first = (ulong)random.Next(Pages);
            ulong count = random.Next(3) == 0 ? 256 : 1 + (ulong)random.Next(20);
            first = count == 256 ? first & ~255UL : first;
            count = Math.Min(count, Pages - first);
            int status = RangeCalls.Unmap(_test.Space, _base + (first << 12), count << 12, out _);
            if (status != 0)
            {
                Fail($"unmap: {status}");
            }
            Thread.Sleep(random.Next(2));
        }
    }

    private void Toggle()
    {
        while (!Stopped)
        {
            int off = _test.Space.Changes.Set(_slots[0] with { LogDirty = false });
            int on = _test.Space.Changes.Set(_slots[0] with { InitiallyDirty = true });
            if (off != 0 || on != 0)
            {
                Fail($"logging off: {off}, on: {on}");
            }
            Thread.Sleep(1);
        }
    }

    /// <summary>False if logging was off and so nothing was learned.</summary>
    private bool HarvestAndCopy(SlotRequest slot, int round)
    {
        var before = (ulong[,])_published.Clone(); // word by word: older stamps at worst
        ulong pages = slot.Size / TestSpace.Page;
        int first = (int)((slot.GuestAddress - _base) / TestSpace.Page);
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        int status;
        if (round % 4 == 3)
        {
            status = _test.Get(slot.Id, 0, pages, bitmap, out _);
            status = status != 0 ? status : _test.Clear(slot.Id, 0, pages, bitmap);
        }
        else
        {
            HarvestFlags flags = round % 16 == 5 ? HarvestFlags.NoRearm : HarvestFlags.None;
            status = _test.Harvest(slot.Id, 0, pages, flags, bitmap, out _);
        }
        if (status != 0)
        {
            if (!_options.Toggles || status != Status.NoEntry)
            {
                Fail($"harvest: {status}");
            }
            return false;
        }
        foreach (int page in TestSpace.PagesOf(bitmap))
        {
            Copy(first + page);
        }
        Compare(before, first, first + (int)pages, round);
        _clean += bitmap.AsSpan().ContainsAnyExcept(0UL) ? 0 : 1;
        return true;
    }

    private void Copy(int page)
    {
        Interlocked.Increment(ref _delivered);
        for (int writer = 0; writer < Writers; writer++)
        {
            // The stress's own memory, a word of each writer in front of the page.
            _image[writer, page] = Volatile.Read(ref ((ulong*)(_memory.Start + ((ulong)page * TestSpace.Page)))[writer]);
        }
        if (!_hot.Contains(page) && _options is { Toggles: false, Policy: not SplitPolicy.Never })
        {
            Fail($"page {page} was reported and never written");
        }
    }

    private void Compare(ulong[,] before, int first, int end, int round)
    {
        foreach (int page in _hot.Where(page => page >= first && page < end))
        {
            for (int writer = 0; writer < Writers; writer++)
            {
                if (_image[writer, page] < before[writer, page])
                {
                    Fail($"lost: page {page}, writer {writer}, round {round}: "
                        + $"copied {_image[writer, page]}, stored {before[writer, page]}");
                }
            }
        }
    }
}
