using System.Collections.Generic;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, in which a harvest freezes the segment (rule 20), however little of it is dirty.</summary>
internal static class FreezingScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    public static Scenario AndWriter { get; } = new(
        "a writer of a clean page, a harvest that freezes", a => a.Write(3), b => b.Harvest())
    {
        FreezesFrom = 1,
        Bound = 3,
        Before = world =>
        {
            Scenarios.Clean(world, s_segment, 3);
            world.Actors[2].Write(4);
        },
    };

    public static Scenario AndWriters { get; } = new(
        "a writer of a clean page, one of a dirty page, a harvest that freezes", a => a.Write(3), b => b.Write(4), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static Scenario AndFault { get; } = new(
        "a writer that maps its page in the library, a harvest that freezes", a => a.Write(3), b => b.Harvest())
    {
        FreezesFrom = 1,
        Bound = 3,
        // Not a leaf: pages are installed one by one.
        Options = new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1, Huge = false },
        Before = world => Scenarios.Dirty(world, s_segment, 4),
    };

    public static Scenario AndGet { get; } = new(
        "a get in a section, a writer, a harvest that freezes", a => a.GetInside(), b => b.Write(3), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static Scenario AndUnmap { get; } = new(
        "unmap, a writer, a harvest that freezes", a => a.Unmap(0, 256), b => b.Write(3), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static Scenario AndCollapse { get; } = new(
        "collapse, a writer, a harvest that freezes", a => a.Collapse(0, 256), b => b.Write(3), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = world => Scenarios.Dirty(world, s_segment, TestSpace.Range(0, 256)),
    };

    public static Scenario AndAge { get; } = new(
        "aging, a writer, a harvest that freezes", a => a.Age(0, 256), b => b.Write(3), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static Scenario AndEnd { get; } = new(
        "logging ends, a writer, a harvest that freezes",
        a => a.SetWithFinal(World.Slot(1, 0, 256, log: false)),
        b => b.Write(3),
        c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static Scenario AndDeletion { get; } = new(
        "a slot ends, a harvest that freezes", a => a.SetWithFinal(new SlotRequest { Id = 1 }), b => b.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    /// <summary>The first segment is taken entry by entry before the second is frozen.</summary>
    public static Scenario AndHarvest { get; } = new(
        "a writer, a harvest that leaves the marks, and one that freezes",
        a => a.Write(3),
        b => b.Harvest(flags: HarvestFlags.NoRearm),
        c => c.Harvest())
    {
        FreezesFrom = 2,
        Before = world => Scenarios.Dirty(world, World.Slot(1, 0, 512), 256, 300),
    };

    public static Scenario AndCachedWriter { get; } = Scenarios.CachedWriterGoesOn with
    {
        Name = "a writer whose cache is warm, a harvest that freezes",
        FreezesFrom = 1,
    };

    public static Scenario AndClear { get; } = new(
        "get and clear, a writer, a harvest that freezes", a => a.GetAndClear(), b => b.Write(3), c => c.Harvest())
    {
        FreezesFrom = 1,
        Before = AndWriter.Before,
    };

    public static IEnumerable<Scenario> All =>
    [
        AndWriter, AndWriters, AndFault, AndGet, AndUnmap, AndCollapse, AndAge, AndEnd,
        AndDeletion, AndHarvest, AndCachedWriter, AndClear,
    ];
}
