using System.Collections.Generic;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>Threads that stay inside and poll (rule 6).</summary>
internal static class AgainScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    public static Scenario CachedWriter { get; } = new(
        "a writer that polls, its cache warm, a harvest",
        a =>
        {
            a.Enter();
            a.WriteAgain(3);
            a.WriteAgain(3);
            a.Leave();
        },
        b => b.Harvest())
    {
        Before = world =>
        {
            Scenarios.Clean(world, s_segment, 3);
            world.Actors[0].WriteCached(3);
        },
        Bound = 3,
    };

    public static Scenario BufferedCachedWriter { get; } = CachedWriter with
    {
        Name = "a writer that polls and whose enter stays in its store buffer, a harvest",
        BuffersStores = true,
    };

    /// <summary>The poll and the access by functions of their own, two harvests.</summary>
    public static Scenario CachedWriterByTwo { get; } = new(
        "a writer that polls between two stores through its cache, harvests",
        a =>
        {
            a.Enter();
            a.WriteCachedInside(3);
            a.Again();
            a.WriteCachedInside(3);
            a.Leave();
        },
        b =>
        {
            b.Harvest();
            b.Harvest();
        })
    {
        Before = CachedWriter.Before,
    };

    public static Scenario WalkingWriter { get; } = new(
        "a writer that polls and walks, two harvests",
        a =>
        {
            a.Enter();
            a.WriteInside(3);
            a.Again();
            a.WriteInside(4);
            a.Leave();
        },
        b => b.Harvest(),
        c => c.Harvest())
    {
        Before = world => Scenarios.Clean(world, s_segment, 3, 4),
    };

    public static Scenario Unmap { get; } = new(
        "a writer that polls, unmap of its page, a harvest",
        a =>
        {
            a.Enter();
            a.WriteAgain(3);
            a.WriteAgain(3);
            a.Leave();
        },
        b => b.Unmap(0, 256),
        c => c.Harvest())
    {
        Before = CachedWriter.Before,
    };

    /// <summary>The grace of a freeze and that of its harvest, between which the thread polls.</summary>
    public static Scenario Freeze { get; } = CachedWriterByTwo with
    {
        Name = "a writer that polls, a harvest that freezes",
        FreezesFrom = 1,
    };

    public static IEnumerable<Scenario> All =>
        [CachedWriter, BufferedCachedWriter, CachedWriterByTwo, WalkingWriter, Unmap, Freeze];
}
