using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.RegionSpace;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Diagnostics;

/// <summary>The checker finds what is broken on purpose in 2 GB leaves and their deposits (rule 33).</summary>
internal sealed class RegionCheckerTests
{
    [TestCase(SegmentEntry.SoftDirty, "takes stores that nobody would see")]
    [TestCase(SegmentEntry.Writable, "right to write")]
    [TestCase(SegmentEntry.Dirty, "neither dirty nor protected")]
    [TestCase(SegmentEntry.Invalid, "young and aged")]
    [TestCase(SegmentEntry.AccessValidity, "malformed")]
    [TestCase(1UL << 31, "another frame")]
    public void Wrong_bit_of_a_leaf_is_found(ulong bit, string reason)
    {
        using TestSpace test = RegionSpace.Make(SplitPolicy.Never);
        _ = test.Write(First);
        RegionCell cell = Cell(test);
        RegionEntry entry = cell.Load();
        var wrong = new RegionEntry(entry.Value ^ bit);
        Assert.That(cell.TryReplace(entry, wrong), Is.True);
        string? found = test.Violation();
        Assert.That(cell.TryReplace(wrong, entry), Is.True);
        Assert.That(found, Does.Contain(reason));
    }

    [Test]
    public void Leaf_without_deposit_and_a_deposit_that_is_locked_are_found()
    {
        using TestSpace test = RegionSpace.Make();
        _ = test.Read(First);
        RegionCell cell = Cell(test);
        ulong deposit = cell.LockDeposit();
        string? locked = test.Violation();
        cell.UnlockDeposit(0);
        string? none = test.Violation();
        _ = cell.LockDeposit();
        cell.UnlockDeposit(deposit);
        Assert.That(locked, Does.Contain("is locked"));
        Assert.That(none, Does.Contain("has no deposit"));
    }

    [Test]
    public void Deposit_beside_a_table_is_found_and_one_where_no_leaf_fits()
    {
        using TestSpace test = RegionSpace.Make();
        _ = test.Write(First); // a table
        _ = test.Read(Start);  // another, where no leaf fits
        nint spare = test.Engine.Pool.TryAllocate(TableKind.Segment);
        new SegmentTable((ulong)spare).InitializeDeposit();
        foreach (ulong address in (ulong[])[First, Start])
        {
            Assert.That(test.Space.Tree.TryFindRegion(address, out RegionCell cell), Is.True);
            _ = cell.LockDeposit();
            cell.UnlockDeposit((ulong)spare);
            string? found = test.Violation();
            _ = cell.LockDeposit();
            cell.UnlockDeposit(0);
            Assert.That(found, Does.Contain("has a deposit"));
        }
        test.Engine.Pool.Free(spare, TableKind.Segment);
    }

    [Test]
    public void Watched_leaf_without_marker_is_found()
    {
        using TestSpace test = RegionSpace.Make();
        _ = test.Read(First);
        Assert.That(test.Protect(First + Page, Page, Protection.Read | Protection.Write, NotifyFlags.Change), Is.Zero);
        RegionCell cell = Cell(test);
        RegionEntry entry = cell.Load();
        Assert.That(cell.TryReplace(entry, entry.Bits.WithoutMarkers), Is.True);
        string? found = test.Violation();
        Assert.That(cell.TryReplace(cell.Load(), entry), Is.True);
        Assert.That(found, Does.Contain("no marker"));
    }

    private static RegionCell Cell(TestSpace test)
    {
        Assert.That(test.Space.Tree.TryFindRegion(First, out RegionCell cell), Is.True);
        return cell;
    }
}
