using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, in a space whose page tables have PGSTEs (rule 32): no change of one is lost.</summary>
internal static class PgsteScenarios
{
    private static readonly SpaceOptions s_options = new() { Limit = TestSpace.TwoGigabytes - 1, Pgstes = true };
    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);

    public static Scenario ChangesAndUnmap { get; } = new(
        "a PGSTE is set and cleared, another bit of it set, its segment unmapped",
        a =>
        {
            a.UpdatePgste(3, 0, from: false, to: true);
            a.UpdatePgste(3, 0, from: true, to: false);
        },
        b =>
        {
            b.UpdatePgste(3, 1, from: false, to: true);
            b.UpdatePgste(3, 1, from: true, to: true);
        },
        c => c.Unmap(0, 256))
    {
        Options = s_options,
        Before = world => Scenarios.Dirty(world, s_segment, 5),
    };

    public static Scenario ChangeAndCollapse { get; } = new(
        "a PGSTE is set, its clean table collapses, a writer",
        a =>
        {
            a.UpdatePgste(3, 0, from: false, to: true);
            a.UpdatePgste(3, 0, from: true, to: true);
        },
        b => b.Collapse(0, 256),
        c => c.Write(5))
    {
        Options = s_options,
        Before = world => Scenarios.Clean(world, s_segment, 4),
    };

    public static Scenario ChangesAndSplit { get; } = new(
        "two PGSTEs of a leaf are set, a writer of the leaf",
        a =>
        {
            a.UpdatePgste(3, 0, from: false, to: true);
            a.UpdatePgste(3, 0, from: true, to: true);
        },
        b => b.UpdatePgste(4, 0, from: false, to: true),
        c => c.Write(5))
    {
        Options = s_options,
        Before = world =>
        {
            world.Set(s_segment);
            world.Actors[2].ReadMapped(0);
        },
    };

    public static Scenario ChangeAndFreeze { get; } = new(
        "a PGSTE is set, a harvest that freezes, a writer",
        a => a.UpdatePgste(3, 0, from: false, to: true),
        b => b.Harvest(),
        c => c.Write(5))
    {
        Options = s_options,
        FreezesFrom = 1,
        Before = world => Scenarios.Dirty(world, s_segment, 4),
    };

    public static IEnumerable<Scenario> All => [ChangesAndUnmap, ChangeAndCollapse, ChangesAndSplit, ChangeAndFreeze];
}
