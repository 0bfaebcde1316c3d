using System.Linq;
using GmapNative.Exports.Abi;

namespace GmapNative.Fuzz;

/// <summary>Operations: the library itself, engines.</summary>
internal sealed unsafe partial class Machine
{
    private const int Skipped = 1000;
    private const int MostEngines = 3;
    private const ulong RoomyArena = 16 << 20;
    private const ulong LargestArena = 1UL << 40;
    private const uint RequireMlock = 1;

    private static readonly ulong[] s_arenas =
        [0, 64 << 20, 256 << 10, 320 << 10, 512 << 10, 1 << 20, 768 << 10, 600_000, 32 << 20, 448 << 10];

    private static readonly ulong[] s_oddArenas = [1, (256 << 10) - 1, LargestArena + 1, ulong.MaxValue, LargestArena, 1UL << 36];

    private int Texts()
    {
        int code = _code.Byte() % 2 == 0 ? -(int)(_code.Byte() % 128) : (int)_code.Spread();
        Say($"strerror({code})");
        Same(library.AbiVersion(), 0x10000u, "ABI version");
        That(*library.VersionString() is >= (byte)'0' and <= (byte)'9', "the version is no number");
        byte* text = library.Message(code);
        That(text is not null && *text != 0, "no message");
        Same(library.RuntimeInit(), 0, "gmap_runtime_init");
        That((library.Features() & 0x18) == (_knownFeatures ??= library.Features() & 0x18), "the features changed");
        return 0;
    }

    private ulong? _knownFeatures;

    private int CreateEngine()
    {
        _expected.Clear();
        uint kind = _code.Byte();
        EngineConfig config = new()
        {
            flags = Flags(_code.Byte() switch { < 220 => 0u, < 236 => 2u, < 250 => 1u, _ => 3u }),
            arena_bytes = kind < 240 ? _code.Any<ulong>(s_arenas) : _code.Any<ulong>(s_oddArenas),
            log = _code.Byte() % 4 == 3 ? null : Callbacks.LogPointer,
            log_level = _code.Byte() switch { < 200 => 0, < 230 => 3, < 245 => 1, < 250 => -1, _ => 4 },
            user = (void*)0x5EED,
            reserved = Reserved(),
        };
        switch (_code.Byte() % 4)
        {
            case 1:
                config.grace_timeout_ns = 20_000;
                break;
            case 2:
                config.kick = Callbacks.KickPointer;
                break;
        }
        EngineConfig* given = Input(config, out EngineConfig seen);
        bool isDefault = kind == 239 || given is null;
        if (isDefault)
        {
            _expected.Clear(); // no config: all defaults
            seen = default;
        }
        ulong* handle = NumberOut(mayBeNull: false);
        Say($"arena {seen.arena_bytes} flags {seen.flags:x} timeout {seen.grace_timeout_ns} kick {seen.kick is not null}");
        if (_engines.Count >= MostEngines)
        {
            return Skipped;
        }
        bool badArena = seen.arena_bytes != 0 && seen.arena_bytes is < (256 << 10) or > LargestArena;
        bool locks = (seen.flags & RequireMlock) != 0;
        _expected.If((seen.flags & ~3u) != 0 || seen.reserved != 0 || seen.log_level is < 0 or > 3 || badArena, Status.Invalid)
            .Maybe(seen.arena_bytes >= 1UL << 36, Status.NoMemory).Maybe(locks, Status.NotPermitted);
        int status = library.EngineCreate(isDefault ? null : given, handle);
        if (!Check(status, 0))
        {
            That(!IsWritten(handle), "a handle was given for an engine that was not created");
            return status;
        }
        var engine = new EngineState
        {
            Handle = *handle,
            IsTight = locks || (seen.arena_bytes != 0 && seen.arena_bytes < RoomyArena),
            Patience = seen.grace_timeout_ns != 0 ? Patience.Short : seen.kick is not null ? Patience.Kicks : Patience.Endless,
        };
        _engines.Add(engine);
        Born(engine.Handle, engine);
        return status;
    }

    private int DestroyEngine()
    {
        _expected.Clear();
        ulong handle = EngineHandle(out EngineState? engine);
        Say($"{handle:x}");
        _expected.If(engine is null, Status.BadHandle).If(engine?.Spaces.Count > 0, Status.Busy);
        int status = library.EngineDestroy(handle);
        if (Check(status, 0))
        {
            _engines.Remove(engine!);
            _closed.RemoveAll(vcpu => vcpu.Space.Engine == engine); // their views are gone
            Gone(handle);
        }
        return status;
    }

    private int EngineFigures()
    {
        _expected.Clear();
        ulong handle = EngineHandle(out EngineState? engine);
        EngineStats* stats = Output<EngineStats>(out uint size, mayBeNull: false);
        Say($"{handle:x} size {size}");
        _expected.If(engine is null, Status.BadHandle);
        int status = library.EngineStats(handle, stats);
        if (!Check(status, 0))
        {
            Untouched(stats, size);
            return status;
        }
        EngineStats figures = Received(stats, size);
        if (size >= sizeof(EngineStats))
        {
            CheckEngine(engine!, figures);
        }
        return status;
    }

    private void CheckEngine(EngineState engine, in EngineStats stats)
    {
        ulong tables = stats.region_table_bytes + stats.segment_table_bytes + stats.page_table_bytes + stats.dense_bytes
            + stats.watch_bytes;
        Same(stats.committed_bytes, tables + stats.log_bytes + stats.view_bytes + stats.free_bytes, "committed_bytes");
        ulong shadows = engine.Spaces.Where(space => space.IsNested).Aggregate(0UL, (sum, space) => sum + FiguresOf(space).shadows);
        Same(stats.spaces, (ulong)engine.Spaces.Count + shadows, "spaces");
        That(stats.locked_bytes <= stats.committed_bytes && stats.limbo_bytes <= tables, "locked or limbo bytes");
        ulong linked = 32 << 10; // the space that closed views look at
        foreach (SpaceState space in engine.Spaces)
        {
            linked += ((ulong)space.Model.Regions << 14) + ((ulong)space.Model.SegmentTables << 15) + space.DepositBytes;
            linked += (ulong)space.Model.PageTables * (ulong)space.Model.PageTableBytes;
            linked += (ulong)space.Model.WatchTables << 12;
            linked += space.Model.ByGeneration ? (ulong)space.Model.SegmentTables << 17 : 0;
        }
        bool nested = engine.Spaces.Exists(space => space.IsNested); // shadows have tables, which go when there is need for it
        That(tables - stats.limbo_bytes == linked || (nested && tables - stats.limbo_bytes > linked), "bytes of linked tables");
        if (engine.Patience != Patience.Short && !nested)
        {
            Same(stats.limbo_bytes, 0UL, "limbo_bytes");
        }
        ulong logs = engine.Spaces.Aggregate(0UL, (sum, space) => sum + space.Model.Slots.Values.Aggregate(
            0UL, (bytes, slot) => bytes + (((slot.Log is null ? 0UL : 2) + (slot.Missing is null ? 0UL : 4)) * LogBytes(slot.Pages))));
        logs += engine.Spaces.SelectMany(space => space.Model.Consumers).SelectMany(consumer => consumer.Parts)
            .Aggregate(0UL, (bytes, part) => bytes + (2 * LogBytes(part.Pages)));
        Same(stats.log_bytes, logs, "log_bytes");
    }

    /// <summary>A log: a bit a page, a bit for each 64 words of that, in whole pages.</summary>
    private static ulong LogBytes(ulong pages) => ((((pages + 63) / 64) + ((((pages + 4095) / 4096) + 63) / 64)) * 8 + 4095) & ~4095UL;
}
