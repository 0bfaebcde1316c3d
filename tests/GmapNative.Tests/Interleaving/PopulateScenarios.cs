using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, with a populate that links what it built (rule 16) beside what can be in its way.</summary>
internal static class PopulateScenarios
{
    private const ulong Wide = (4UL << 30) - 1;

    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);
    private static readonly SlotRequest s_two = World.Slot(1, 0, 512);
    private static readonly SpaceOptions s_pages = new() { Limit = TestSpace.TwoGigabytes - 1, Huge = false };

    public static Scenario OfPagesAndWriter { get; } = new(
        "a populate by pages, a writer of the segment, a harvest", a => a.Populate(0, 512), b => b.Write(259), c => c.Harvest())
    {
        Options = s_pages,
        Before = world => world.Set(s_two),
    };

    public static Scenario ForWritingAndHarvest { get; } = new(
        "a populate for writing, a harvest", a => a.PopulateForWriting(2, 12), b => b.Harvest())
    {
        Before = world =>
        {
            Scenarios.Dirty(world, s_segment, 3);
            world.Actors[2].Unmap(0, 256);
        },
        Bound = 3,
    };

    public static Scenario ForWritingAndWriter { get; } = new(
        "a populate for writing, a writer, a harvest", a => a.PopulateForWriting(2, 4), b => b.Write(3), c => c.Harvest())
    {
        Before = world => world.Set(s_segment),
    };

    public static Scenario OfALeafAndWriter { get; } = new(
        "a populate by leaves, a writer, a harvest", a => a.Populate(0, 512), b => b.Write(259), c => c.Harvest())
    {
        Before = world => world.Set(s_two),
    };

    /// <summary>No segment table is there: each links one.</summary>
    public static Scenario OfARegionAndWriter { get; } = new(
        "a populate of a region, a writer, a harvest", a => a.Populate(0, 512), b => b.Write(259), c => c.Harvest())
    {
        Options = new SpaceOptions { Limit = Wide },
        Before = world => world.Set(s_two),
    };

    public static Scenario Two { get; } = new(
        "two populates of a region, a writer", a => a.Populate(0, 512), b => b.Populate(256, 256), c => c.Write(300))
    {
        Options = new SpaceOptions { Limit = Wide },
        Before = world => world.Set(s_two),
    };

    public static Scenario AndUnmap { get; } = new(
        "a populate by pages, unmap, a writer", a => a.Populate(0, 512), b => b.Unmap(0, 512), c => c.Write(3))
    {
        Options = s_pages,
        Before = world => Scenarios.Dirty(world, s_two, 3),
    };

    public static Scenario AndDeletion { get; } = new(
        "a populate of a region, a slot ends", a => a.PopulateUntilItEnds(0, 512), b => b.SetWithFinal(new SlotRequest { Id = 1 }))
    {
        Options = new SpaceOptions { Limit = Wide },
        Before = world => world.Set(s_two),
        Bound = 3,
    };

    public static Scenario OfPagesAndDeletion { get; } = new(
        "a populate by pages, a slot ends", a => a.PopulateUntilItEnds(0, 512), b => b.SetWithFinal(new SlotRequest { Id = 1 }))
    {
        Options = s_pages,
        Before = world => world.Set(s_two),
        Bound = 3,
    };

    public static Scenario AndArming { get; } = new(
        "a populate by pages, logging begins, a writer", a => a.Populate(0, 512), b => b.Arm(s_two), c => c.Write(3))
    {
        Options = s_pages,
        Before = world => world.Set(World.Slot(1, 0, 512, log: false)),
    };

    public static IEnumerable<Scenario> All =>
    [
        OfPagesAndWriter, ForWritingAndHarvest, ForWritingAndWriter, OfALeafAndWriter, OfARegionAndWriter, Two, AndUnmap, AndDeletion,
        OfPagesAndDeletion, AndArming,
    ];
}
