using System;
using System.Linq;

namespace GmapNative.Fuzz;

internal enum Operation
{
    EngineCreate,
    EngineDestroy,
    EngineStats,
    SpaceCreate,
    SpaceDestroy,
    Limit,
    Asce,
    SpaceStats,
    Image,
    Slot,
    SlotFlags,
    SlotDelete,
    VcpuOpen,
    VcpuClose,
    Fault,
    FaultMany,
    Translate,
    Enter,
    Leave,
    LeaveAll,
    InlineLoad,
    InlineStore,
    Read,
    Write,
    Mark,
    MarkBitmap,
    MarkBatch,
    Unmap,
    Discard,
    Split,
    Collapse,
    Age,
    Populate,
    Get,
    Clear,
    Harvest,
    Drain,
    SlotRate,
    VcpuRate,
    Attach,
    Descriptor,
    Detach,
    Texts,
    HarvestRanges,
    ConsumerOpen,
    ConsumerClose,
    EpochBegin,
    EpochBitmap,
    EpochRanges,
    EpochCommit,
    EpochAbort,
    EpochRedirty,
    Export,
    SnapshotTake,
    SnapshotRestore,
    SnapshotVerify,
    SnapshotFree,
    PgsteGet,
    PgsteUpdate,
    Protect,
    NotifierRegister,
    NotifierUnregister,
    Shadow,
    ShadowOpen,
    ShadowClose,
    ShadowTables,
    Serve,
}

/// <summary>Which byte is which operation, by how often each is wanted; and the numbers that operands choose from.</summary>
internal static class Language
{
    /// <summary>A byte below this, for a handle, is a good one.</summary>
    public const int GoodHandles = 240;

    private static readonly (Operation, int)[] s_weights =
    [
        (Operation.EngineCreate, 2), (Operation.EngineDestroy, 2), (Operation.EngineStats, 2), (Operation.SpaceCreate, 3),
        (Operation.SpaceDestroy, 2), (Operation.Limit, 4), (Operation.Asce, 1), (Operation.SpaceStats, 2), (Operation.Image, 3),
        (Operation.Slot, 12), (Operation.SlotFlags, 10), (Operation.SlotDelete, 3), (Operation.VcpuOpen, 4), (Operation.VcpuClose, 3),
        (Operation.Fault, 36), (Operation.FaultMany, 6), (Operation.Translate, 4), (Operation.Enter, 3), (Operation.Leave, 4),
        (Operation.LeaveAll, 12), (Operation.Drain, 2), (Operation.SlotRate, 1), (Operation.VcpuRate, 2),
        (Operation.InlineLoad, 8), (Operation.InlineStore, 28), (Operation.Read, 3), (Operation.Write, 7),
        (Operation.Mark, 4), (Operation.MarkBitmap, 4), (Operation.MarkBatch, 3), (Operation.Unmap, 9), (Operation.Discard, 6),
        (Operation.Split, 5), (Operation.Collapse, 6), (Operation.Age, 6), (Operation.Populate, 7), (Operation.Get, 6),
        (Operation.Clear, 9), (Operation.Harvest, 16), (Operation.Attach, 2), (Operation.Descriptor, 1), (Operation.Detach, 2),
        (Operation.Texts, 1),
    ];

    /// <summary>Whose bytes they take, so that the others keep theirs and the corpus its meaning.</summary>
    private static readonly (Operation, Operation, int)[] s_taken =
    [
        (Operation.HarvestRanges, Operation.Harvest, 4), (Operation.ConsumerOpen, Operation.Slot, 3),
        (Operation.ConsumerClose, Operation.FaultMany, 2), (Operation.EpochBegin, Operation.Fault, 9),
        (Operation.EpochBitmap, Operation.InlineStore, 4), (Operation.EpochRanges, Operation.InlineStore, 4),
        (Operation.EpochCommit, Operation.Fault, 5), (Operation.EpochAbort, Operation.SlotFlags, 3),
        (Operation.EpochRedirty, Operation.Clear, 2), (Operation.Export, Operation.Fault, 3),
        (Operation.SnapshotTake, Operation.Slot, 2), (Operation.SnapshotRestore, Operation.InlineStore, 4),
        (Operation.SnapshotVerify, Operation.LeaveAll, 2), (Operation.SnapshotFree, Operation.Harvest, 1),
        (Operation.PgsteGet, Operation.Drain, 1), (Operation.PgsteUpdate, Operation.InlineLoad, 4),
        (Operation.Protect, Operation.Fault, 4), (Operation.NotifierRegister, Operation.SlotFlags, 1),
        (Operation.NotifierUnregister, Operation.Age, 1), (Operation.Shadow, Operation.Fault, 1),
        (Operation.ShadowOpen, Operation.LeaveAll, 3), (Operation.ShadowClose, Operation.Slot, 1),
        (Operation.ShadowTables, Operation.InlineStore, 4), (Operation.ShadowTables, Operation.Fault, 2),
        (Operation.ShadowTables, Operation.Harvest, 1), (Operation.Serve, Operation.LeaveAll, 1),
    ];

    public static Operation[] Operations { get; } = Spread();

    public static ulong[] Bases { get; } = [0, 1, 2, 3, 2046, 2047, 2048, 5 * 1024];     // in segments

    public static ulong[] Offsets { get; } = [0, 0, 0, 0, 0, 0, 1, 5, 128, 250, 255];    // in pages

    public static ulong[] SlotPages { get; } = [256, 512, 768, 256, 512, 1, 3, 16, 64, 65, 130, 255, 300, 600];

    public static ulong[] Limits { get; } =
    [
        (16 << 20) - 1, (1UL << 31) - 1, (1UL << 31) - 1, 1UL << 31, 8UL << 30, 9UL << 30, (1UL << 42) - 1, 0, 4095, 4096,
        1UL << 42, ulong.MaxValue, (1UL << 31) - 4096, (1UL << 42) - 4096, (1UL << 42) - 4097, 3 << 20,
    ];

    public static ulong[] Sizes { get; } =
    [
        0x1000, 0x2000, 0x8000, 0x9000, 0x10000, 0xFF000, 0x100000, 0x101000, 0x200000, 0x300000, 0x1000, 0x100000,
        0, 1, 7, 8, 0xFFF, 0x1001, 1UL << 31, 1UL << 63, ulong.MaxValue, ulong.MaxValue & ~0xFFFUL,
    ];

    /// <summary>The byte that stands for an operation.</summary>
    public static byte ByteOf(Operation operation) => (byte)Array.IndexOf(Operations, operation);

    private static Operation[] Spread()
    {
        Operation[] all = [.. s_weights.SelectMany(one => Enumerable.Repeat(one.Item1, one.Item2))];
        all = [.. Enumerable.Range(0, 256).Select(i => all[i % all.Length])];
        foreach ((Operation taker, Operation from, int count) in s_taken)
        {
            for (int i = 0; i < count; i++)
            {
                all[Array.LastIndexOf(all, from)] = taker;
            }
        }
        return all;
    }
}
