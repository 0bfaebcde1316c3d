namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="ShadowScenarios"/>, where the guest's tables change.</summary>
internal static class ShadowTableScenarios
{
    public static Scenario UnmappingOfATable { get; } = new(
        "an inner writer, the page of its table is unmapped and rewritten",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b =>
        {
            b.Unmap(World.PageTable, 1);
            b.Rewrite(World.PageTable, 3, 7);
        })
    {
        Before = ShadowScenarios.CachedWriterAndHarvest.Before,
    };

    public static Scenario TableStore { get; } = new(
        "an inner writer whose cache is warm, its entry is rewritten",
        a =>
        {
            a.InnerWriteCached(3);
            a.InnerWriteCached(3);
        },
        b => b.Rewrite(World.PageTable, 3, 7))
    {
        Before = ShadowScenarios.CachedWriterAndHarvest.Before,
    };

    public static Scenario TableStoreByTheHost { get; } = new(
        "an inner writer whose cache is warm, the host rewrites its entry", TableStore.Threads[0],
        b => b.RewriteByHost(World.PageTable, 3, 7))
    {
        Before = ShadowScenarios.CachedWriterAndHarvest.Before,
    };

    /// <summary>Whoever walked before the store finds the tables armed again.</summary>
    public static Scenario TableStoreAndReinstall { get; } = new(
        "a fault of a shadow, its entry is rewritten and walked again",
        a =>
        {
            a.InnerWrite(3);
            a.InnerWrite(3);
        },
        b => b.Rewrite(World.PageTable, 3, 7),
        c => c.InnerRead(3))
    {
        Before = world => ShadowScenarios.Warm(world, 3),
    };

    /// <summary>Nothing is armed, and the outer guest has the right to store to the table.</summary>
    public static Scenario FirstInstallAndTableStore { get; } = new(
        "the first fault of a shadow, its entry is rewritten",
        a => a.Rewrite(World.PageTable, 3, 7),
        b =>
        {
            b.InnerRead(3);
            b.InnerWrite(3);
        })
    {
        Before = world => ShadowScenarios.Cold(world, 3),
    };

    public static Scenario TwoInstallsAndTableStore { get; } = new(
        "two first faults of a shadow, their entry is rewritten",
        a => a.Rewrite(World.PageTable, 3, 7),
        b => b.InnerRead(4),
        c =>
        {
            c.InnerRead(3);
            c.InnerWrite(3);
        })
    {
        Before = world => ShadowScenarios.Cold(world, 3),
    };

    /// <summary>The page table is the memory of the inner guest, too.</summary>
    public static Scenario StoreIntoItsTable { get; } = new(
        "an inner guest stores into the table that leads there, a harvest",
        a => a.InnerWrite(9), // once: the next one would be granted anew
        b => b.Harvest(2))
    {
        Before = world => ShadowScenarios.Warm(world, 3),
    };

    /// <summary>What hangs on the table above goes with all that the page table describes.</summary>
    public static Scenario UnmappingAboveATable { get; } = new(
        "an inner writer, the page of the table above is unmapped, its entry is rewritten", UnmappingOfATable.Threads[0],
        b => b.Unmap(World.SegmentTable, 1),
        c => c.Rewrite(World.PageTable, 3, 7))
    {
        Before = ShadowScenarios.CachedWriterAndHarvest.Before,
    };

    /// <summary>The same by who needs the room: no grace of the root belongs to that.</summary>
    public static Scenario RoomAndTableStore { get; } = new(
        "an inner writer, its shadow is emptied for others, its entry is rewritten", UnmappingOfATable.Threads[0],
        b => b.EmptyOldest(mayBe: true),
        c => c.Rewrite(World.PageTable, 3, 7))
    {
        Before = ShadowScenarios.Room.Before,
    };

    public static System.Collections.Generic.IEnumerable<Scenario> All =>
    [
        UnmappingOfATable, TableStore, TableStoreByTheHost, TableStoreAndReinstall, FirstInstallAndTableStore, TwoInstallsAndTableStore,
        StoreIntoItsTable, UnmappingAboveATable, RoomAndTableStore,
    ];
}
