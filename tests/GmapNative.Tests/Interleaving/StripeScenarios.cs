using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Tests.Interleaving;

/// <summary>Worlds whose slot is a stripe of 64 segments, so that harvests clear the stripe's bit (rule 39).</summary>
internal static class StripeScenarios
{
    private static readonly SlotRequest s_stripe = World.Slot(1, 0, SegmentTable.StripeSegments * 256);

    /// <summary>The first harvest finds nothing and clears the bit; the other one must see the page that was written meanwhile.</summary>
    public static Scenario WriterAndHarvests { get; } = new(
        "a writer in a stripe that is flagged and clean, harvests",
        a => a.Write(3),
        b =>
        {
            b.Harvest();
            b.Harvest();
        })
    {
        Before = Flagged,
    };

    /// <summary>One finds the other's summary bit set.</summary>
    public static Scenario TwoWritersAndHarvest { get; } = new(
        "two writers of a page in a stripe that is not flagged, a harvest", a => a.Write(3), b => b.Write(3), c => c.Harvest())
    {
        Before = NotFlagged,
    };

    /// <summary>The same in the library: not a leaf, so its pages are installed one by one.</summary>
    public static Scenario TwoFaultsAndHarvest { get; } = new(
        "two first writers of a page in the library, in a stripe, harvests",
        a => a.Write(3),
        b => b.Write(3),
        c =>
        {
            c.Harvest();
            c.Harvest();
        })
    {
        Options = new SpaceOptions { Limit = Model.TestSpace.TwoGigabytes - 1, Huge = false },
        Before = world => world.Set(s_stripe),
    };

    /// <summary>Another segment of the stripe is written, whose summary word a harvest has looked at before.</summary>
    public static Scenario WritersOfTwoSegments { get; } = new(
        "writers of two segments of a stripe, harvests",
        a => a.Write(3),
        b => b.Write(260),
        c =>
        {
            c.Harvest();
            c.Harvest();
        })
    {
        Before = Flagged,
        Bound = 2,
    };

    public static Scenario TwoSlots { get; } = new(
        "two slots in one stripe, a writer, a harvest of each", a => a.Write(260), b => b.Harvest(1), c => c.Harvest(2))
    {
        Before = world =>
        {
            world.Set(World.Slot(2, 256, 256));
            world.Actors[2].Write(260);
            _ = world.Harvest(2);
            Scenarios.Clean(world, World.Slot(1, 0, 256), 3);
        },
    };

    public static IEnumerable<Scenario> All =>
        [WriterAndHarvests, TwoWritersAndHarvest, TwoFaultsAndHarvest, WritersOfTwoSegments, TwoSlots];

    /// <summary>Pages 3 and 260 are clean. A harvest that found something leaves the stripe flagged.</summary>
    private static void Flagged(World world)
    {
        world.Set(s_stripe);
        world.Actors[2].Write(3);
        world.Actors[2].Write(260);
        _ = world.Harvest(1);
    }

    private static void NotFlagged(World world)
    {
        Flagged(world);
        _ = world.Harvest(1);
    }
}
