using System;
using System.Collections.Concurrent;
using System.Linq;
using System.Threading;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>
/// Two threads run the halves of a program on the same engine and spaces, which either may destroy under the other. There is no model:
/// the library must live, answer what is documented, and have nothing left at the end.
/// </summary>
internal sealed unsafe partial class Race(Library library, GuestArea guest, KeySet keys) : ITarget
{
    private const int Threads = 2;
    private const int MostSpaces = 3;
    private const int MostOperations = 300;
    private const ulong Limit = (8UL << 30) - 1;

    private static readonly int[] s_answers =
    [
        0, Status.NoEntry, Status.ArgumentTooBig, Status.BadHandle, Status.NoMemory, Status.Fault, Status.Busy, Status.Exists,
        Status.Invalid, Status.Deadlock, Status.NotSupported, Status.NotPermitted, Status.Protection, Status.Addressing,
        Status.SegmentTranslation, Status.PageTranslation, Status.AsceType, Status.RegionThirdTranslation, InlineWriter.Ask,
        Status.TryAgain, Status.TranslationSpecification, // of shadows: tables that change all the time, and what is written over them
    ];

    private Library Calls { get; } = library;

    private readonly ulong[] _spaces = new ulong[MostSpaces];
    private readonly ConcurrentBag<ulong> _all = [];
    private readonly ConcurrentBag<ulong> _opened = [];   // consumers, closed or not
    private readonly ulong[] _consumers = new ulong[2];
    private readonly ConcurrentBag<ulong> _taken = [];    // snapshots, freed or not
    private readonly ConcurrentBag<ulong> _attached = []; // backings that could not be detached: pages of theirs were missing
    private readonly ulong[] _snapshots = new ulong[2];
    private ulong _engine;
    private ulong _backing;
    private string? _wrong;

    public long Operations { get; private set; }

    /// <summary>Null, or what was wrong.</summary>
    public string? Run(byte[] program)
    {
        Operations = 0;
        _wrong = null;
        var config = new EngineConfig { struct_size = (uint)sizeof(EngineConfig), arena_bytes = 2 << 20 };
        ulong engine;
        if (Calls.EngineCreate(&config, &engine) != 0)
        {
            return "no engine";
        }
        Volatile.Write(ref _engine, engine);
        for (int i = 0; i < MostSpaces - 1; i++)
        {
            CreateSpace(i);
            SetSlot(_spaces[i], 0, 0, 2 << 20, 0, 2);
            SetSlot(_spaces[i], 1, 2UL << 30, 1 << 20, 1 << 20, 2);
        }
        PlantTables();
        using var start = new Barrier(Threads);
        Runner[] runners =
            [.. Enumerable.Range(0, Threads).Select(i => (From: i * program.Length / Threads, To: (i + 1) * program.Length / Threads))
                .Select(half => new Runner(this, program[half.From..half.To]))];
        var other = new Thread(() =>
        {
            start.SignalAndWait();
            runners[1].Run();
        });
        other.Start();
        start.SignalAndWait();
        runners[0].Run();
        other.Join();
        foreach ((uint operation, int status) in runners.SelectMany(one => one.Seen))
        {
            keys.See(operation, status, 0, 0);
            Operations++;
        }
        End();
        return _wrong;
    }

    private void End()
    {
        while (_shadowed.TryTake(out ulong shadow))
        {
            _ = Calls.ShadowClose(shadow);
        }
        while (_taken.TryTake(out ulong snapshot))
        {
            _ = Calls.SnapshotFree(snapshot);
        }
        while (_opened.TryTake(out ulong consumer))
        {
            _ = Calls.ConsumerClose(consumer);
        }
        while (_all.TryTake(out ulong space))
        {
            _ = Calls.SpaceDestroy(space);
        }
        _attached.Add(_backing);
        while (_attached.TryTake(out ulong backing))
        {
            _ = Calls.BackingDetach(backing); // its number: where pages were missing it could not be before
        }
        EngineStats stats = new() { struct_size = (uint)sizeof(EngineStats) };
        int status = Calls.EngineStats(_engine, &stats);
        ulong left = stats.spaces + stats.limbo_bytes + stats.log_bytes + stats.region_table_bytes + stats.page_table_bytes
            + stats.dense_bytes;
        if (status == 0 && (left != 0 || Calls.EngineDestroy(_engine) != 0))
        {
            _wrong ??= $"{left} bytes or spaces are left at the end, or the engine does not end";
        }
    }

    private int CreateSpace(int place)
    {
        var config = new SpaceConfig { struct_size = (uint)sizeof(SpaceConfig), limit = Limit };
        ulong space;
        int status = Calls.SpaceCreate(_engine, &config, &space);
        if (status == 0)
        {
            Volatile.Write(ref _spaces[place], space);
            _all.Add(space); // the one before may be in use, and goes at the end
        }
        return status;
    }

    private int SetSlot(ulong space, uint id, ulong start, ulong size, ulong host, uint flags)
    {
        var slot = new SlotConfig
        {
            struct_size = (uint)sizeof(SlotConfig),
            flags = flags,
            id = id,
            guest_addr = start,
            size = size,
            host_addr = guest.Start + host,
        };
        return Calls.SlotSet(space, &slot);
    }

    /// <summary>One thread: a vcpu of its own, everything else shared.</summary>
    private sealed class Runner(Race race, byte[] program)
    {
        private const int MostAsked = 16;

        private readonly Code _code = new(program);
        private readonly ulong[] _bitmap = new ulong[64];
        private ulong _vcpu;
        private InlineWriter? _view;

        public System.Collections.Generic.List<(uint Operation, int Status)> Seen { get; } = [];

        public void Run()
        {
            while (!_code.IsAtEnd && Seen.Count < MostOperations)
            {
                Operation operation = Language.Operations[_code.Byte()];
                int status = Apply(operation);
                Seen.Add(((uint)operation, status));
                if (!s_answers.Contains(status))
                {
                    race._wrong ??= $"{operation} answers {status}";
                }
            }
            if (_vcpu != 0)
            {
                _ = race.Calls.VcpuClose(_vcpu);
            }
        }

        private int Apply(Operation operation)
        {
            Library library = race.Calls;
            int place = _code.Byte() % MostSpaces;
            ulong space = Volatile.Read(ref race._spaces[place]);
            ulong address = ((_code.Byte() % 4) switch { 0 => 2UL << 30, 1 => 1UL << 20, _ => 0 }) + ((_code.Byte() % 64UL) << 12);
            ulong size = Language.Sizes[_code.Byte() % 10];
            uint id = _code.Byte() % 3u;
            ulong number = 0;
            fixed (ulong* bitmap = _bitmap)
            {
                switch (operation)
                {
                    case Operation.EngineCreate or Operation.SpaceCreate:
                        return race.CreateSpace(place);
                    case Operation.EngineDestroy:
                        return library.EngineDestroy(race._engine) is var engine && engine == 0 ? Status.Busy : engine;
                    case Operation.EngineStats:
                        EngineStats engineStats = new() { struct_size = (uint)sizeof(EngineStats) };
                        return library.EngineStats(race._engine, &engineStats);
                    case Operation.SpaceDestroy:
                        return library.SpaceDestroy(space);
                    case Operation.Limit:
                        return library.SetLimit(space, (place == 1 ? 4UL << 30 : 8UL << 30) - 1);
                    case Operation.Asce:
                        return library.GetAsce(space, &number);
                    case Operation.SpaceStats:
                        SpaceStats stats = new() { struct_size = (uint)sizeof(SpaceStats) };
                        return library.SpaceStats(space, &stats);
                    case Operation.Slot or Operation.SlotFlags:
                        return race.SetSlot(space, id, id << 31, (1 + (size % 3)) << 20, id << 20, 2 * (_code.Byte() % 2u));
                    case Operation.SlotDelete:
                        return race.SetSlot(space, id, 0, 0, 0, 0);
                    case Operation.VcpuOpen or Operation.Enter or Operation.Leave or Operation.LeaveAll:
                        return Section(operation, operation == Operation.VcpuOpen && id != 0 ? race.ShadowOr(space) : space);
                    case Operation.VcpuClose:
                        int closed = library.VcpuClose(_vcpu);
                        (_vcpu, _view) = (0, null);
                        return closed;
                    case Operation.Fault or Operation.FaultMany or Operation.InlineLoad or Operation.InlineStore:
                        return Access(operation, address);
                    case Operation.Translate:
                        return library.Translate(id == 2 ? race.ShadowOr(space) : space, address, 2, null);
                    case Operation.Read:
                        return library.Read(space, address, bitmap, 512);
                    case Operation.Write:
                        return library.Write(space, address, bitmap, 512);
                    case Operation.Mark:
                        return library.Mark(space, address, size);
                    case Operation.MarkBitmap:
                        return library.MarkBitmap(space, id, 0, 256, bitmap);
                    case Operation.MarkBatch:
                        return library.MarkBatch(space, bitmap, 8);
                    case Operation.Unmap:
                        return library.Unmap(space, address, size, 0, &number);
                    case Operation.Discard:
                        return library.Discard(space, address, size, 0, &number);
                    case Operation.Split:
                        return library.Split(space, address, size, 0, &number);
                    case Operation.Collapse:
                        return library.Collapse(space, address & ~0xFFFFFUL, 2 << 20, 0, &number);
                    case Operation.Age:
                        return library.Age(space, address, size, 0, &number);
                    case Operation.Populate:
                        return library.Populate(space, address, size, 1 + (id % 2), 0, &number);
                    case Operation.Get:
                        return library.DirtyGet(space, id, 0, 256, 0, bitmap, &number);
                    case Operation.Clear:
                        return library.DirtyClear(space, id, 0, 256, 0, bitmap);
                    case Operation.Harvest:
                        return library.DirtyHarvest(space, id, 0, 256, 0, bitmap, 64, &number);
                    case Operation.ConsumerOpen:
                        return OpenConsumer(space, id);
                    case Operation.HarvestRanges or Operation.ConsumerClose or Operation.EpochBegin or Operation.EpochBitmap
                        or Operation.EpochRanges or Operation.EpochCommit or Operation.EpochAbort or Operation.EpochRedirty
                        or Operation.Export:
                        return Consume(operation, space, id, bitmap);
                    case Operation.SnapshotTake or Operation.SnapshotRestore or Operation.SnapshotVerify or Operation.SnapshotFree:
                        return Snapshot(operation, space, id);
                    case Operation.Shadow or Operation.ShadowOpen or Operation.ShadowClose or Operation.ShadowTables:
                        return race.Nest(operation, space, address, id, _code.Byte());
                    case Operation.Attach:
                        return Attach(space, id);
                    case Operation.Descriptor:
                        return library.BackingFd(Volatile.Read(ref race._backing), (int*)&number);
                    case Operation.Serve:
                        return Arrive(address, size);
                    case Operation.Detach:
                        return library.BackingDetach(Volatile.Read(ref race._backing));
                    default:
                        ImageSink sink = new() { struct_size = (uint)sizeof(ImageSink), size = &number };
                        ulong asce;
                        int image = library.ImageExport(space, 0, &sink, &asce);
                        return image == Status.NoBuffer ? 0 : image;
                }
            }
        }

        private int OpenConsumer(ulong space, uint id)
        {
            ulong consumer;
            int status = race.Calls.ConsumerOpen(space, id == 2 ? uint.MaxValue : id, id == 2 ? 1u : 0, &consumer);
            if (status == 0)
            {
                race._opened.Add(consumer);
                ulong before = Interlocked.Exchange(ref race._consumers[id % 2], consumer);
                status = before == 0 ? 0 : race.Calls.ConsumerClose(before);
            }
            return status;
        }

        private int Consume(Operation operation, ulong space, uint id, ulong* bitmap)
        {
            Library library = race.Calls;
            ulong consumer = Volatile.Read(ref race._consumers[_code.Byte() % 2]);
            ulong number = 0;
            nuint count;
            var range = default(Dirty.DirtyRun); // on this frame
            switch (operation)
            {
                case Operation.HarvestRanges:
                    return library.DirtyHarvestRanges(space, id, 0, 256, 0, &range, 1, &count, &number);
                case Operation.ConsumerClose:
                    return library.ConsumerClose(consumer);
                case Operation.EpochBegin:
                    return library.ConsumerBegin(consumer, 0, null);
                case Operation.EpochBitmap:
                    return library.ConsumerReadBitmap(consumer, id, 0, 256, 0, bitmap, 64, &number);
                case Operation.EpochRanges:
                    return library.ConsumerReadRanges(consumer, 0, &range, 1, &count, &number);
                case Operation.EpochCommit:
                    return library.ConsumerCommit(consumer);
                case Operation.EpochAbort:
                    return library.ConsumerAbort(consumer);
                case Operation.Export:
                    int exported = library.DirtyExport(consumer, 1, 0, bitmap, 64 * sizeof(ulong), &number);
                    return exported == Status.NoBuffer ? 0 : exported;
                default:
                    return library.ConsumerRedirty(consumer, id, 0, 256, 0, bitmap);
            }
        }

        /// <summary>The memory of all slots is there, whatever the other thread does to them.</summary>
        private int Snapshot(Operation operation, ulong space, uint id)
        {
            Library library = race.Calls;
            ref ulong place = ref race._snapshots[id % 2];
            ulong number = 0;
            switch (operation)
            {
                case Operation.SnapshotTake:
                    int status = library.SnapshotTake(space, null, &number);
                    if (status == 0)
                    {
                        race._taken.Add(number);
                        ulong before = Interlocked.Exchange(ref place, number);
                        status = before == 0 ? 0 : library.SnapshotFree(before);
                    }
                    return status;
                case Operation.SnapshotRestore:
                    return library.SnapshotRestore(Volatile.Read(ref place), &number);
                case Operation.SnapshotVerify:
                    return library.SnapshotVerify(Volatile.Read(ref place), &number);
                default:
                    return library.SnapshotFree(Volatile.Read(ref place));
            }
        }

        /// <summary>Pages of the last backing, where they come later.</summary>
        private int Arrive(ulong address, ulong size)
        {
            ulong wanted, count;
            ulong backing = Volatile.Read(ref race._backing);
            int status = race.Calls.BackingWanted(backing, 0, _code.Byte() % 2u, &wanted, 1, &count);
            ulong start = status == 0 && count != 0 ? wanted : address;
            return status is 0 or Status.Deadlock ? race.Calls.BackingProvide(backing, start, null, Math.Min(size, 1 << 16)) : status;
        }

        private int Attach(ulong space, uint id)
        {
            var config = new BackingConfig { struct_size = (uint)sizeof(BackingConfig), kind = id % 2 == 0 ? 1u : 3u };
            ulong backing;
            int status = race.Calls.BackingAttach(space, id, &config, &backing);
            if (status == 0)
            {
                ulong before = Interlocked.Exchange(ref race._backing, backing);
                if (race.Calls.BackingDetach(before) == Status.Busy)
                {
                    race._attached.Add(before);
                }
            }
            return status;
        }

        private int Section(Operation operation, ulong space)
        {
            if (_vcpu == 0)
            {
                var config = new VcpuConfig { struct_size = (uint)sizeof(VcpuConfig), inline_version = ViewWords.InlineVersion };
                ulong vcpu;
                ViewWords* view;
                int status = race.Calls.VcpuOpen(space, &config, &vcpu, &view);
                (_vcpu, _view) = status == 0 ? (vcpu, new InlineWriter((nint)view)) : (0, null);
                return status;
            }
            if (operation == Operation.Enter)
            {
                _view!.Enter();
            }
            else
            {
                _view!.Leave();
            }
            return 0;
        }

        private int Access(Operation operation, ulong address)
        {
            if (_view is null || operation == Operation.Fault)
            {
                return race.Calls.Fault(_vcpu, address, 1 + ((uint)(address >> 12) % 2), null);
            }
            if (!_view.IsInside)
            {
                _view.Enter();
            }
            if (operation == Operation.InlineLoad)
            {
                return _view.Load(address, out _);
            }
            int asked = 0; // a store of a shadow's guest into its own tables is granted for that access only: the header always asks
            return _view.Write(
                address & ~7UL, address, at => asked++ < MostAsked ? race.Calls.Fault(_vcpu, at, 2, null) : InlineWriter.Ask);
        }
    }
}
