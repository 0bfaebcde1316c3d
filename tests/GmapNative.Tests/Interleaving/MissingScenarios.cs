using System.Collections.Generic;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>Pages that come later (rule 38).</summary>
internal static class MissingScenarios
{
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    /// <summary>A late copy would overwrite the store, and no harvest would tell.</summary>
    public static Scenario TwoBringersAndWriter { get; } = new(
        "a writer of a missing page, two that bring it, one of them harvests",
        a => a.WriteWhenThere(3),
        b => b.Provide(3),
        c =>
        {
            c.Provide(3);
            c.Harvest();
        })
    {
        Before = world => Missing(world, 3),
    };

    /// <summary>Of a segment of which one page lacks no leaf is mapped, whoever asks for the others.</summary>
    public static Scenario LastPageOfALeaf { get; } = new(
        "a reader of a page that is there, one of the only one that is missing, who brings it",
        a => a.ReadWhenThere(4),
        b => b.ReadWhenThere(3),
        c => c.Provide(3))
    {
        Before = world => Missing(world, 3),
    };

    /// <summary>Two pages of one word of the bitmaps, and the end.</summary>
    public static Scenario TwoPagesAndTheEnd { get; } = new(
        "a writer of two missing pages, who brings one, who brings the other",
        a =>
        {
            a.WriteWhenThere(3);
            a.WriteWhenThere(5);
        },
        b => b.Provide(5),
        c =>
        {
            c.Provide(3);
            c.EndMissing();
        })
    {
        Before = world => Missing(world, 3, 5),
    };

    public static IReadOnlyList<Scenario> All { get; } = [TwoBringersAndWriter, LastPageOfALeaf, TwoPagesAndTheEnd];

    private static void Missing(World world, params int[] pages)
    {
        world.Set(s_segment);
        world.Expect(1, pages);
    }
}
