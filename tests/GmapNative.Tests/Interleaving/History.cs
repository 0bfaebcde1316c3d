using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>A short random program for two or three threads, and the history of a run of it.</summary>
internal sealed unsafe class History
{
    private enum What
    {
        Write,
        HostWrite,
        Device,
        Harvest,
        Get,
        Clear,
        Unmap,
    }

    private const int CallsOfAThread = 2;

    private static readonly int[] s_pages = [3, 4, 70]; // two in one line of entries, one in another group

    private readonly (What What, int Page)[][] _program;
    private readonly ConcurrentQueue<(int Page, Call Call)> _calls = new();
    private World _world = null!;
    private long _time;

    public History(int seed)
    {
        var random = new Random(seed);
        _program = new (What, int)[random.Next(2, Turns.MostThreads + 1)][];
        for (int thread = 0; thread < _program.Length; thread++)
        {
            // The first writes, the last looks: else most programs say nothing.
            _program[thread] = [.. Enumerable.Range(0, CallsOfAThread + (_program.Length == 2 ? 1 : 0)).Select(_ => (
                thread == 0 ? (What)random.Next((int)What.Harvest)
                : thread == _program.Length - 1 ? (What)random.Next((int)What.Harvest, (int)What.Unmap)
                : (What)random.Next((int)What.Unmap + 1), s_pages[random.Next(s_pages.Length)]))];
        }
    }

    public int Threads => _program.Length;

    /// <summary>Begins another run: one segment, tracked; page 3 is mapped and clean, or nothing is.</summary>
    public IEnumerable<Action> Begin(World world, bool mapped)
    {
        _world = world;
        _time = 0;
        _calls.Clear();
        world.Set(World.Slot(1, 0, 256));
        if (mapped)
        {
            world.Actors[0].Write(5);
            _ = world.Harvest(1);
        }
        return _program.Select((calls, thread) => (Action)(() =>
        {
            world.Shim.BeThread(thread);
            ulong stamp = 0;
            foreach ((What what, int page) in calls)
            {
                world.Pause(what.ToString());
                Do(thread, what, page, ref stamp);
            }
        }));
    }

    /// <summary>Null, or the pages whose history fits no order.</summary>
    public string? Check()
    {
        foreach (int page in s_pages)
        {
            Call[] calls = [.. _calls.Where(call => call.Page == page).Select(call => call.Call)];
            if (!Linearizer.IsLinearizable(calls))
            {
                return $"no order of these calls explains page {page}:\n  " + string.Join("\n  ", calls);
            }
        }
        return null;
    }

    /// <summary>The words that a run wrote begin at zero again.</summary>
    public static void Clean()
    {
        foreach (int page in s_pages)
        {
            new Span<ulong>(World.Word(0, page), Turns.MostThreads).Clear(); // guest memory of the test
        }
    }

    private void Do(int thread, What what, int page, ref ulong stamp)
    {
        switch (what)
        {
            case What.Write:
            case What.HostWrite:
            case What.Device:
                stamp++;
                long begin = Now();
                Store(thread, what, page, stamp);
                Record(page, DeedOf(what), thread, begin, stamp);
                break;
            case What.Unmap:
                Expect(RangeCalls.Unmap(_world.Test.Space, 0, TestSpace.Segment, out _));
                break;
            default:
                Look(what);
                break;
        }
    }

    private static Deed DeedOf(What store) =>
        store == What.Write ? Deed.Write : store == What.HostWrite ? Deed.HostWrite : Deed.Device;

    private void Store(int thread, What what, int page, ulong stamp)
    {
        ulong address = World.AddressOf(page) + (ulong)(thread * 8);
        if (what == What.Write)
        {
            View view = _world.Actors[thread].View;
            _world.Shim.Enter(view);
            Expect(_world.Shim.Write(view, address, stamp, (nint)World.Word(thread, page)));
            _world.Shim.Leave(view);
            return;
        }
        if (what == What.Device)
        {
            Volatile.Write(ref *World.Word(thread, page), stamp); // guest memory of the test
        }
        int section = LibrarySections.Enter();
        Expect(what == What.Device
            ? _world.Test.Space.Host.MarkRange(address, 8)
            : _world.Test.Space.Host.Write(address, (byte*)&stamp, sizeof(ulong), out _)); // on this frame
        LibrarySections.Leave(section);
    }

    private void Look(What what)
    {
        ulong[] bitmap = new ulong[4];
        foreach (int page in what == What.Clear ? s_pages : [])
        {
            bitmap[page / 64] |= 1UL << (page % 64);
        }
        long begin = Now();
        Expect(what == What.Harvest ? _world.Test.Harvest(1, 0, 256, HarvestFlags.None, bitmap, out _)
            : what == What.Get ? _world.Test.Get(1, 0, 256, bitmap, out _)
            : _world.Test.Clear(1, 0, 256, bitmap));
        Deed deed = what == What.Harvest ? Deed.Harvest : what == What.Get ? Deed.Get : Deed.Clear;
        long end = Now();
        foreach (int page in s_pages)
        {
            ulong bit = bitmap[page / 64] >> (page % 64) & 1;
            _calls.Enqueue((page, new Call(deed, -1, begin, end, bit)));
            for (int thread = 0; thread < Threads && bit != 0 && what == What.Harvest; thread++)
            {
                long read = Now();
                Record(page, Deed.Read, thread, read, Volatile.Read(ref *World.Word(thread, page))); // guest memory of the test
            }
        }
    }

    private long Now() => Interlocked.Increment(ref _time);

    private void Record(int page, Deed deed, int thread, long begin, ulong value) =>
        _calls.Enqueue((page, new Call(deed, thread, begin, Now(), value)));

    private static void Expect(int status)
    {
        if (status != Status.Ok)
        {
            throw new InvalidOperationException($"status {status}");
        }
    }
}
