using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Space;

internal enum LogLevel
{
    Error = 1,
    Warning = 2,
    Info = 3,
}

/// <summary>What a host asks of an engine; see <c>gmap_engine_config</c>.</summary>
internal sealed record EngineOptions
{
    public const ulong DefaultArenaBytes = 1UL << 30;

    public ulong ArenaBytes { get; init; } = DefaultArenaBytes;

    public bool RequireLock { get; init; }

    public bool HugeArena { get; init; }

    public Freezing Freezing { get; init; } = new();

    public ulong GraceTimeoutNanoseconds { get; init; }

    public Action<LogLevel, string>? Log { get; init; }

    public Action<ulong>? Kick { get; init; }
}

/// <summary>The pinned arena that all spaces of a host share. Thread-safe.</summary>
internal sealed unsafe class Engine : IDisposable, ICounted
{
    private const int Closed = int.MinValue;

    private int _spaces;
    private long _limboBytes;
    private int _lockReported;

    private Engine(EngineOptions options, Arena arena, TablePool pool)
    {
        Options = options;
        Arena = arena;
        Pool = pool;
        Control = new ControlWords(pool);
    }

    public EngineOptions Options { get; }

    public Arena Arena { get; }

    public TablePool Pool { get; }

    public ControlWords Control { get; }

    /// <summary>
    /// The open views of all spaces of all engines: two threads, each inside one engine and waiting for grace in the other's, would wait
    /// for ever (rule 7).
    /// </summary>
    public static ViewList Views { get; } = new();

    /// <summary>The words of a space in which nothing is mapped: what closed views look at.</summary>
    public SpaceWords* ClosedSpace { get; private set; }

    public int Spaces => Volatile.Read(ref _spaces);

    public static int TryCreate(EngineOptions options, out Engine? engine)
    {
        engine = null;
        if (options.ArenaBytes is < Arena.MinimumLimit or > Arena.MaximumLimit)
        {
            return Status.Invalid;
        }
        int status = Arena.TryCreate(options.ArenaBytes, options.RequireLock, options.HugeArena, out Arena? arena);
        if (status != Status.Ok)
        {
            options.Log?.Invoke(LogLevel.Error, status == Status.NotPermitted
                ? $"The arena cannot be locked in memory: {HostSystem.Current.WayToLock}, or create the engine without "
                    + "GMAP_ENGINE_REQUIRE_MLOCK."
                : "There is no address space or memory for the arena: lower arena_bytes.");
            return status;
        }
        TablePool? pool = TablePool.TryCreate(arena!);
        if (pool is null)
        {
            arena!.Dispose();
            return Status.NoMemory;
        }
        var created = new Engine(options, arena!, pool);
        if (!created.TryMakeClosedSpace())
        {
            created.Dispose();
            return Status.NoMemory;
        }
        created.ReportLockRefusal();
        Tell.Born(created);
        engine = created;
        return Status.Ok;
    }

    public void Log(LogLevel level, string message) => Options.Log?.Invoke(level, message);

    /// <summary>Tells the host, once, that pinning is incomplete. Called where no lock is held.</summary>
    public void ReportLockRefusal()
    {
        if (Arena.LockRefused && Interlocked.Exchange(ref _lockReported, 1) == 0)
        {
            string way = HostSystem.Current.WayToLock;
            Log(LogLevel.Warning, Options.RequireLock
                ? $"The arena cannot grow, because no more memory can be locked: {way}, and repeat the call that answered GMAP_ENOMEM."
                : $"Not all table memory could be locked: {way}. The engine goes on with what is locked; "
                    + "locked_bytes tells how much that is.");
        }
    }

    /// <summary>Tables of all spaces that wait for grace.</summary>
    public ulong LimboBytes => (ulong)Interlocked.Read(ref _limboBytes);

    public void CountLimbo(long bytes) => Interlocked.Add(ref _limboBytes, bytes);

    /// <summary>Counts one more space; false if the engine is being destroyed.</summary>
    public bool TryAddSpace()
    {
        int seen = Volatile.Read(ref _spaces);
        while (seen != Closed)
        {
            int before = Interlocked.CompareExchange(ref _spaces, seen + 1, seen);
            if (before == seen)
            {
                return true;
            }
            seen = before;
        }
        return false;
    }

    public void RemoveSpace() => Interlocked.Decrement(ref _spaces);

    /// <summary>Ends the making of spaces, once and if there is none.</summary>
    public bool TryClose() => Interlocked.CompareExchange(ref _spaces, Closed, 0) == 0;

    /// <summary>Returns all memory. The caller knows that no space is left.</summary>
    public void Dispose()
    {
        Tell.Gone(this);
        Views.RemoveAll(view => (nuint)(view.Address - Arena.Start) < Arena.Reserved); // of vcpus that were never closed
        LibrarySections.WaitForAll(); // a call into another engine may be looking at their words
        Pool.Dispose();
        Arena.Dispose();
    }

    void ICounted.AddTo(ref Totals totals)
    {
        foreach (TableKind kind in TableKinds.Tables)
        {
            totals.TableBytes += Pool.Live(kind) * TableKinds.BytesOf(kind);
        }
    }

    private bool TryMakeClosedSpace()
    {
        nint words = Control.TryAllocate();
        nint table = words == 0 ? 0 : Pool.TryAllocate(TableKind.Segment);
        if (table == 0)
        {
            return false;
        }
        // A segment table in which every entry is a hole: each walk ends there and asks.
        new Tables.SegmentTable((ulong)table).Initialize(0, SlotMap.None);
        ClosedSpace = (SpaceWords*)words;
        ClosedSpace->Asce = Asce.For(TableType.Segment, (ulong)table).Value;
        ClosedSpace->Generation = SpaceWords.ClosedGeneration;
        return true;
    }
}
