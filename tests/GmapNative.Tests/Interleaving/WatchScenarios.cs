using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>As <see cref="Scenarios"/>, with pages that gmap_protect watches (rules 28 to 31).</summary>
internal static class WatchScenarios
{
    private const Protection Free = Protection.Read | Protection.Write;
    private const NotifyFlags ChangeOfMapped = NotifyFlags.Change | NotifyFlags.Mapped;

    private static readonly SlotRequest s_segment = World.Slot(1, 0, 256);
    private static readonly SlotRequest s_untracked = World.Slot(1, 0, 256, log: false);
    private static readonly SpaceOptions s_pages = new() { Limit = TestSpace.TwoGigabytes - 1, Huge = false };
    private static readonly SpaceOptions s_leaves = new() { Limit = TestSpace.TwoGigabytes - 1, Policy = SplitPolicy.Never };

    public static Scenario ArmingAndCachedWriter { get; } = new(
        "a writer whose cache is warm, the page is armed for writes",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Arm(3, NotifyFlags.Write))
    {
        Before = world =>
        {
            Scenarios.Dirty(world, s_segment, 3);
            world.Notify();
            world.Actors[0].WriteCached(3);
        },
    };

    public static Scenario ArmingAndFault { get; } = new(
        "a fault maps a leaf, is to be told before it writes", a => ReadAndWrite(a), b => b.Arm(3, NotifyFlags.Write))
    {
        Before = world => Watch(world, s_untracked),
    };

    public static Scenario ArmingAndInstall { get; } = new(
        "a fault maps a page, is to be told before it writes", a => ReadAndWrite(a), b => b.Arm(3, NotifyFlags.Write))
    {
        Options = s_pages,
        Before = world => Watch(world, s_segment, 9),
    };

    /// <summary>Armed while nothing is mapped there.</summary>
    public static Scenario InstallOfAnArmedPage { get; } = new(
        "a page that is armed is mapped for reading, then written, a harvest", a => ReadAndWrite(a), b => b.HarvestTold(256))
    {
        Options = s_pages,
        Before = world =>
        {
            Watch(world, s_segment, 9);
            world.Actors[0].Arm(3, NotifyFlags.Write);
        },
    };

    public static Scenario SplitOfAnArmedLeaf { get; } = new(
        "a leaf of which a page is armed is split by a writer beside it, and by hand",
        a =>
        {
            a.Write(9);
            a.Write(3);
        },
        b => b.Split(0, 256))
    {
        Before = world =>
        {
            Watch(world, s_segment);
            world.Actors[2].ReadMapped(0);
            world.Actors[0].Arm(3, NotifyFlags.Write);
        },
    };

    public static Scenario HarvestOfAnArmedPage { get; } = new(
        "a harvest takes a page that is armed for that, a writer beside it", a => a.Write(4), b => b.HarvestTold(256))
    {
        FreezesFrom = 1,
        Before = world =>
        {
            Watch(world, s_segment, 3);
            world.Actors[0].Arm(3, ChangeOfMapped);
        },
    };

    public static Scenario UnmapOfAnArmedPage { get; } = new(
        "an armed page is unmapped, a harvest", a => a.UnmapTold(3, 1), b => b.HarvestTold(256))
    {
        Before = world =>
        {
            Watch(world, s_segment, 3);
            world.StaysGone = true;
            world.Actors[0].Arm(3, ChangeOfMapped);
        },
    };

    public static Scenario HarvestAndWriterOfAnArmedPage { get; } = new(
        "an armed page is taken while a store is under way", a => a.Write(3), b => b.HarvestTold(256))
    {
        Before = world =>
        {
            Watch(world, s_segment, 3);
            world.ToldIsGone = true;
            world.Actors[0].Arm(3, ChangeOfMapped);
        },
    };

    /// <summary>Both deliver what is due in the segment.</summary>
    public static Scenario UnmapBesideAHarvest { get; } = new(
        "a page beside the armed one is unmapped, a harvest takes the armed one", a => a.UnmapTold(9, 1), b => b.HarvestTold(8))
    {
        Before = world =>
        {
            Watch(world, World.Slot(1, 0, 8), 3);
            world.Set(World.Slot(2, 8, 248));
            world.Actors[2].Write(9);
            world.Actors[0].Arm(3, ChangeOfMapped);
        },
    };

    public static Scenario ArmedAgain { get; } = new(
        "an armed page is taken, armed again while that is told, and unmapped",
        a => a.HarvestTold(256),
        b =>
        {
            b.Write(3);
            b.Arm(3, ChangeOfMapped);
            b.UnmapTold(3, 1);
        })
    {
        Before = world =>
        {
            Watch(world, s_segment, 3);
            world.Actors[0].Arm(3, ChangeOfMapped);
        },
    };

    /// <summary>A virtual processor's loop: mapped, armed, else once more.</summary>
    public static Scenario ArmingAndHarvest { get; } = new(
        "a page is armed if it is mapped for writing, a harvest",
        a =>
        {
            a.Write(3);
            a.Arm(3, ChangeOfMapped);
        },
        b =>
        {
            b.HarvestTold(256);
            b.HarvestTold(256);
        })
    {
        Before = world => Watch(world, s_segment, 9),
    };

    public static Scenario ArmingAndAging { get; } = new(
        "a page is armed if it is mapped for writing, aging", a => a.Arm(3, ChangeOfMapped), b => b.Age(0, 256))
    {
        Bound = 3,
        Before = world => Watch(world, s_segment, 3),
    };

    public static Scenario TwoWriters { get; } = new(
        "two writers of an armed page", a => a.Write(3), b => b.Write(3))
    {
        Bound = 3,
        Before = world =>
        {
            Watch(world, s_segment, 3);
            world.Actors[0].Arm(3, NotifyFlags.Write);
        },
    };

    public static Scenario WritersAndArming { get; } = new(
        "two writers of an armed page, it is armed again", a => a.Write(3), b => b.Write(3), c => c.Arm(3, NotifyFlags.Write))
    {
        Before = TwoWriters.Before,
    };

    public static Scenario WriterAndHostWriter { get; } = new(
        "a writer of an armed page, gmap_write", a => a.Write(3), b => b.HostWriteTold(3))
    {
        Before = TwoWriters.Before,
    };

    public static Scenario ArmingAndHostWriter { get; } = new(
        "gmap_write, the page is armed for writes", a => a.HostWriteTold(3), b => b.Arm(3, NotifyFlags.Write))
    {
        Bound = 3,
        Before = world => Watch(world, s_segment, 3),
    };

    public static Scenario WritersOfALeaf { get; } = new(
        "two writers of two armed pages of a leaf that stays", a => a.Write(3), b => b.Write(200))
    {
        Options = s_leaves,
        Before = world =>
        {
            Watch(world, s_segment);
            world.Actors[2].ReadMapped(0);
            world.Actors[0].Protect(0, 256, Free, NotifyFlags.Write);
        },
    };

    public static Scenario RestrictionAndCachedWriter { get; } = new(
        "a writer whose cache is warm, writing is forbidden, a harvest",
        a =>
        {
            a.WriteCached(3);
            a.WriteCached(3);
        },
        b => b.Protect(3, Protection.Read, NotifyFlags.None),
        c => c.HarvestTold(256))
    {
        Before = ArmingAndCachedWriter.Before,
    };

    /// <summary>What is mapped anew, and what a split brings, forbids it too.</summary>
    public static Scenario RestrictionAndUnmap { get; } = new(
        "writing is forbidden, the page is unmapped, writers",
        a => a.Write(3),
        b => b.Write(4),
        c =>
        {
            c.Protect(0, 256, Protection.Read, NotifyFlags.None);
            c.UnmapTold(0, 256);
        })
    {
        Before = world =>
        {
            Watch(world, s_segment);
            world.Actors[2].ReadMapped(0);
        },
    };

    public static Scenario EndAndWriter { get; } = new(
        "a notifier ends while a writer tells it", a => a.Write(3), b => b.Unregister())
    {
        Bound = 3,
        Before = TwoWriters.Before,
    };

    public static IEnumerable<Scenario> All =>
    [
        ArmingAndCachedWriter, ArmingAndFault, ArmingAndInstall, InstallOfAnArmedPage, SplitOfAnArmedLeaf, HarvestOfAnArmedPage,
        UnmapOfAnArmedPage, HarvestAndWriterOfAnArmedPage, UnmapBesideAHarvest, ArmedAgain, ArmingAndHarvest, ArmingAndAging, TwoWriters,
        WritersAndArming, WriterAndHostWriter, ArmingAndHostWriter, WritersOfALeaf, RestrictionAndCachedWriter, RestrictionAndUnmap,
        EndAndWriter,
    ];

    private static void ReadAndWrite(Actor actor)
    {
        actor.ReadMapped(3);
        actor.Write(3);
    }

    private static void Watch(World world, SlotRequest slot, params int[] pages)
    {
        Scenarios.Dirty(world, slot, pages);
        world.Notify();
    }
}
