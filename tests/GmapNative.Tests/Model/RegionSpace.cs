using System;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Model;

/// <summary>
/// A space with 2 GB leaves and a slot from 1 GB to 8 GB: the first of its 2 GB regions it has only in part. Guest and host addresses
/// agree modulo 2 GB.
/// </summary>
internal static class RegionSpace
{
    public const ulong Gigabyte = 1UL << 30;
    public const ulong Start = Gigabyte;
    public const ulong Size = 7 * Gigabyte;

    /// <summary>The 2 GB regions that lie in the slot wholly.</summary>
    public const ulong First = TwoGigabytes;
    public const ulong Second = 2 * TwoGigabytes;
    public const ulong Third = 3 * TwoGigabytes;

    /// <summary>Pages of 2 GB.</summary>
    public const int Pages = 1 << 19;

    private static readonly Lazy<ulong> s_memory = new(Reserve);

    /// <summary>8 GB, 2 GB aligned, zeroed, which take memory only where a test stores.</summary>
    public static ulong Memory => s_memory.Value;

    public static SlotRequest Slot => new()
    {
        Id = 1,
        GuestAddress = Start,
        Size = Size,
        HostAddress = Memory + Start,
        LogDirty = true,
    };

    public static SpaceOptions Options => new() { Limit = (8 * TwoGigabytes) - 1, Huge2G = true };

    public static TestSpace Make(SplitPolicy policy = SplitPolicy.Lazy, bool logs = true)
    {
        var test = new TestSpace(Options with { Policy = policy });
        test.Set(Slot with { LogDirty = logs });
        return test;
    }

    /// <summary>The number of a page in the slot.</summary>
    public static int PageOf(ulong address) => (int)((address - Start) / Page);

    public static ulong HostOf(ulong address) => Memory + address;

    /// <summary>How large what maps an address is; 0: nothing does.</summary>
    public static ulong SizeAt(this TestSpace test, ulong address)
    {
        _ = test.Translate(address, Access.Read, out FaultOutcome outcome);
        return outcome.LeafSize;
    }

    /// <summary>Whether a store goes through untold.</summary>
    public static bool TakesStores(this TestSpace test, ulong address) => test.Translate(address, Access.Write, out _) == 0;

    /// <summary>How many pages a harvest of the slot reports; <paramref name="first"/> and <paramref name="last"/>, as numbers.</summary>
    public static ulong Count(this TestSpace test, out int first, out int last, HarvestFlags flags = HarvestFlags.None)
    {
        ulong pages = test.Space.Map.ById(1)!.Pages;
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        Assert.That(test.Harvest(1, 0, pages, flags, bitmap, out ulong dirty), Is.Zero);
        int word = Array.FindIndex(bitmap, one => one != 0);
        first = word < 0 ? -1 : (word * 64) + System.Numerics.BitOperations.TrailingZeroCount(bitmap[word]);
        word = Array.FindLastIndex(bitmap, one => one != 0);
        last = word < 0 ? -1 : (word * 64) + 63 - System.Numerics.BitOperations.LeadingZeroCount(bitmap[word]);
        return dirty;
    }

    public static ulong Count(this TestSpace test) => test.Count(out _, out _);

    private static ulong Reserve()
    {
        ulong bytes = 10 * Gigabyte;
        nint mapping = HostSystem.Current.TryReserve((nuint)bytes);
        Assert.That(mapping, Is.Not.Zero);
        Assert.That(HostSystem.Current.TryCommit(mapping, (nuint)bytes), Is.True);
        return ((ulong)mapping + TwoGigabytes - 1) & ~(TwoGigabytes - 1);
    }
}
