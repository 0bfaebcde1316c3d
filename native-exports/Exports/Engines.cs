using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Engine".</summary>
internal static unsafe class Engines
{
    public const uint RequireMlock = 0x1;
    public const uint HugeArena = 0x2;

    [UnmanagedCallersOnly(EntryPoint = "gmap_engine_create")]
    public static int Create(EngineConfig* config, ulong* handle)
    {
        try
        {
            EngineConfig given = default;
            int status = config is null ? Status.Ok : SizedStruct.Read(config, out given);
            if (status != Status.Ok)
            {
                return status;
            }
            if (handle is null || (given.flags & ~(RequireMlock | HugeArena)) != 0 || given.reserved != 0
                || given.log_level is < 0 or > (int)LogLevel.Info)
            {
                return Status.Invalid;
            }
            status = Engine.TryCreate(OptionsOf(given), out Engine? engine);
            if (status != Status.Ok)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Engine, engine!);
            if (added == 0)
            {
                engine!.Dispose();
                return Status.NoMemory;
            }
            *handle = added;
            return Status.Ok;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_engine_destroy")]
    public static int Destroy(ulong handle)
    {
        try
        {
            Engine? engine = HandleTable.Find<Engine>(HandleKind.Engine, handle);
            if (engine is null)
            {
                return Status.BadHandle;
            }
            if (!engine.TryClose())
            {
                return Status.Busy;
            }
            if (!HandleTable.Remove(HandleKind.Engine, handle))
            {
                return Status.BadHandle;
            }
            LibrarySections.WaitForAll(); // a call for figures may be reading them
            engine.Dispose();
            return Status.Ok;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_engine_get_stats")]
    public static int GetStats(ulong handle, EngineStats* stats)
    {
        int section = LibrarySections.Enter(); // the engine found inside it ends after it
        Engine? engine = HandleTable.Find<Engine>(HandleKind.Engine, handle);
        uint size = 0;
        int status = engine is null ? Status.BadHandle : SizedStruct.Check(stats, out size);
        if (status == Status.Ok)
        {
            SizedStruct.Write(stats, size, StatsOf(engine!));
        }
        LibrarySections.Leave(section);
        return status;
    }

    private static EngineOptions OptionsOf(EngineConfig given)
    {
        delegate* unmanaged<void*, int, byte*, void> log = given.log;
        delegate* unmanaged<void*, ulong, void> kick = given.kick;
        nint user = (nint)given.user;
        int highest = given.log_level == 0 ? (int)LogLevel.Warning : given.log_level;
        return new EngineOptions
        {
            ArenaBytes = given.arena_bytes == 0 ? EngineOptions.DefaultArenaBytes : given.arena_bytes,
            RequireLock = (given.flags & RequireMlock) != 0,
            HugeArena = (given.flags & HugeArena) != 0,
            GraceTimeoutNanoseconds = given.grace_timeout_ns,
            Log = log is null ? null : (level, message) =>
            {
                if ((int)level <= highest)
                {
                    Messages.Tell(log, (void*)user, (int)level, message);
                }
            },
            Kick = kick is null ? null : vcpu => kick((void*)user, vcpu),
        };
    }

    private static EngineStats StatsOf(Engine engine)
    {
        TablePool pool = engine.Pool;
        return new EngineStats
        {
            reserved_bytes = engine.Arena.Reserved,
            limit_bytes = engine.Arena.Limit,
            committed_bytes = engine.Arena.Committed,
            locked_bytes = engine.Arena.Locked,
            region_table_bytes = BytesOf(pool, TableKind.Region) + BytesOf(pool, TableKind.RegionThird),
            segment_table_bytes = BytesOf(pool, TableKind.Segment),
            page_table_bytes = BytesOf(pool, TableKind.Page) + BytesOf(pool, TableKind.PagePgste),
            limbo_bytes = engine.LimboBytes,
            log_bytes = engine.Arena.Charged,
            view_bytes = BytesOf(pool, TableKind.Control),
            free_bytes = (ulong)pool.FreeBytes + engine.Arena.Unused,
            spaces = (ulong)engine.Spaces,
            dense_bytes = BytesOf(pool, TableKind.DenseBits),
            watch_bytes = BytesOf(pool, TableKind.Watch),
        };
    }

    private static ulong BytesOf(TablePool pool, TableKind kind) => (ulong)(pool.Live(kind) * TableKinds.BytesOf(kind));
}
