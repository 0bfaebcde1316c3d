using System.Collections.Generic;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, in spaces that track by generation (rule 26).</summary>
internal static class GenerationScenarios
{
    public static Scenario WriterAndHarvest { get; } = Of(Scenarios.WriterAndHarvest);

    public static Scenario TwoWritersAndHarvest { get; } = Of(Scenarios.TwoWritersAndHarvest);

    public static Scenario WriterOfALine { get; } = Of(Scenarios.WriterOfALine);

    public static Scenario CachedWriter { get; } = Of(Scenarios.CachedWriter);

    public static Scenario CachedWriterGoesOn { get; } = Of(Scenarios.CachedWriterGoesOn);

    public static Scenario FaultsAndHarvest { get; } = Of(Scenarios.FaultsAndHarvest);

    public static Scenario SharedLine { get; } = Of(Scenarios.SharedLine);

    public static Scenario ArmingAndWriter { get; } = Of(Scenarios.ArmingAndWriter);

    /// <summary>The page is mapped: the writer needs no fault, and marks until the grace.</summary>
    public static Scenario DeletionAndWriter { get; } = Of(
        new("a slot ends, a writer", a => a.Write(3), b => b.SetWithFinal(new SlotRequest { Id = 1 }))
        {
            Before = Scenarios.CachedWriter.Before,
            Bound = 3,
        });

    /// <summary>What is stored while the page is discarded is worthless; what is stored after that counts, by whatever right.</summary>
    public static Scenario DiscardAndCachedWriter { get; } = Of(
        new(
            "a discard, a writer with a translation cache",
            a =>
            {
                a.WriteCached(3); // maps the page
                a.WriteCached(3); // fills the cache
                a.AwaitDiscard();
                a.WriteCached(3);
            },
            b => b.Discard(3, 1))
        {
            Before = Scenarios.CachedWriter.Before,
            Bound = 3,
        });

    public static Scenario SwapAndWriters { get; } = Swapping(Scenarios.WriterOfALine);

    public static Scenario SwapAndWriter { get; } = Swapping(Scenarios.WriterAndHarvest) with { Bound = 2 };

    /// <summary>The harvest begins alone in its 2 GB, and ends with a neighbour.</summary>
    public static Scenario SwapAndNewSlot { get; } = Swapping(
        new("another slot comes, a writer, a harvest", a => a.Add(World.Slot(2, 512, 256)), b => b.Write(3), c => c.Harvest())
        {
            Before = world => Scenarios.Dirty(world, World.Slot(1, 0, 256), 9),
        });

    public static IEnumerable<Scenario> All =>
    [
        WriterAndHarvest, TwoWritersAndHarvest, WriterOfALine, CachedWriter, CachedWriterGoesOn, FaultsAndHarvest, SharedLine,
        ArmingAndWriter, DeletionAndWriter, DiscardAndCachedWriter, Of(Scenarios.BufferedEnter), Of(Scenarios.TwoHarvests),
        Of(Scenarios.HarvestAndGetClear), Of(Scenarios.GetAndWriter), Of(Scenarios.KeptHarvest), Of(Scenarios.TwoWritersOfALeaf),
        Of(Scenarios.CrossingWriter), Of(Scenarios.CollapseAndWriter), Of(Scenarios.AgingAndWriter), Of(Scenarios.UnmapWriterHarvest),
        SwapAndNewSlot, SwapAndWriters, SwapAndWriter, Swapping(Scenarios.TwoWritersAndHarvest), Swapping(Scenarios.CachedWriterGoesOn),
        Swapping(Scenarios.GetAndWriter), Swapping(Scenarios.TwoHarvests), Swapping(Scenarios.KeptHarvest),
        Swapping(Scenarios.HarvestAndGetClear), Swapping(Scenarios.DisarmingAndWriter), Swapping(Scenarios.UnmapWriterHarvest),
        Swapping(DeletionAndHarvest), Of(Scenarios.UnmapPage), Of(Scenarios.DisarmingAndWriter), Of(Scenarios.LimitAndWalkers),
        Of(Scenarios.DeletionAndFault),
    ];

    private static Scenario DeletionAndHarvest => new(
        "a slot ends, a writer, a harvest", a => a.SetWithFinal(new SlotRequest { Id = 1 }), b => b.Write(3), c => c.Harvest())
    {
        Before = world => Scenarios.Dirty(world, World.Slot(1, 0, 256), 9),
    };

    /// <summary>The harvest swaps dense bits (rule 27), however few are set.</summary>
    private static Scenario Swapping(Scenario scenario) =>
        Of(scenario) with { Name = "by generation, swapped: " + scenario.Name, FreezesFrom = 1 };

    private static Scenario Of(Scenario scenario) =>
        scenario with { Name = "by generation: " + scenario.Name, Options = scenario.Options with { ByGeneration = true } };
}
