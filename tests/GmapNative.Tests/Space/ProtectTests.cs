using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using GmapNative.Tests.Notify;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Space;

/// <summary>Rule 28: what gmap_protect forbids is refused, nothing else is, and it belongs to the address until it is lifted.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // the probe is the process's
internal sealed class ProtectTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly (int, FaultReason) Forbidden = (Status.Protection, FaultReason.Protected);
    private static readonly (int, FaultReason) Fine = (Status.Ok, FaultReason.None);

    [Test]
    public void Reads_and_writes_are_refused_as_asked(
        [Values] SplitPolicy policy, [Values] bool logs, [Values] bool huge, [Values("unmapped", "read", "written")] string before)
    {
        using var watched = new WatchedSpace(policy, logs, huge);
        int first = policy == SplitPolicy.Never && huge ? 256 : 300;
        int count = policy == SplitPolicy.Never && huge ? 256 : 10;
        _ = before == "unmapped" ? default : watched.Try(first, before == "read" ? Access.Read : Access.Write);
        watched.Arm(first, count, NotifyFlags.None, Protection.Read);
        Assert.That(watched.Try(first, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(first, Access.Read), Is.EqualTo(Fine));
        Assert.That(watched.Try(first + count - 1, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(first + count, Access.Write), Is.EqualTo(Fine));
        Assert.That(watched.Try(first - 1, Access.Write), Is.EqualTo(Fine));
        watched.Arm(first, count, NotifyFlags.None, Protection.None);
        Assert.That(watched.Try(first, Access.Read), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(first, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(first + count, Access.Read), Is.EqualTo(Fine));
        watched.Arm(first, count, NotifyFlags.None);
        Assert.That(watched.Try(first, Access.Read), Is.EqualTo(Fine));
        Assert.That(watched.Try(first, Access.Write), Is.EqualTo(Fine));
        Assert.That(watched.Heard, Is.Empty);
    }

    [Test]
    public void Restriction_stays_while_the_page_is_unmapped_mapped_split_aged_discarded_and_harvested([Values] bool huge)
    {
        using var watched = new WatchedSpace(huge: huge);
        watched.WritePage(7);
        watched.Arm(7, 1, NotifyFlags.None, Protection.Read);
        Assert.That(watched.Unmap(0, 256), Is.Zero);
        Assert.That(watched.Try(7, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(7, Access.Read), Is.EqualTo(Fine));
        Assert.That(RangeCalls.Age(watched.Test.Space, 0, Segment, out ulong young), Is.Zero);
        Assert.That(young, Is.EqualTo(1), "one was used");
        Assert.That(watched.Try(7, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(7, Access.Read), Is.EqualTo(Fine));
        Assert.That(RangeCalls.Discard(watched.Test.Space, 0, Segment, out _), Is.Zero);
        Assert.That(watched.Test.Harvest(1), Is.Empty);
        Assert.That(watched.Try(7, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(RangeCalls.Populate(watched.Test.Space, 0, Segment, Access.Write, out ulong next), Is.EqualTo(Status.Protection));
        Assert.That(next, Is.EqualTo(7 * Page));
        watched.Test.Check();
        watched.Test.Set(TheSlot with { ReadOnly = true });
        Assert.That(watched.Try(7, Access.Write), Is.EqualTo((Status.Protection, FaultReason.ReadOnlySlot)));
        watched.Test.Set(TheSlot);
        Assert.That(watched.Try(7, Access.Write), Is.EqualTo(Forbidden));
        Assert.That(watched.Try(8, Access.Write), Is.EqualTo(Fine));
    }

    [Test]
    public void It_goes_with_the_slot([Values("deleted", "moved", "resized")] string how)
    {
        using var watched = new WatchedSpace();
        watched.Arm(256, 256, NotifyFlags.None, Protection.Read);
        watched.Arm(520, 2, NotifyFlags.Write | NotifyFlags.Change, Protection.None);
        watched.Test.Set(how switch
        {
            "deleted" => new SlotRequest { Id = 1 },
            "moved" => TheSlot with { GuestAddress = 16 * Segment },
            _ => TheSlot with { Size = 4 * Segment },
        });
        watched.Test.Check();
        if (how != "deleted")
        {
            watched.Test.Set(new SlotRequest { Id = 1 });
        }
        watched.Test.Set(TheSlot);
        Assert.That(watched.Try(300, Access.Write), Is.EqualTo(Fine));
        Assert.That(watched.Try(520, Access.Write), Is.EqualTo(Fine));
        Assert.That(watched.Heard, Is.Empty, "nothing was mapped that could be weakened");
    }

    /// <summary>A dirty page that is made read-only stays dirty, and is reported once.</summary>
    [Test]
    public void Dirty_state_survives([Values] SplitPolicy policy)
    {
        using var watched = new WatchedSpace(policy);
        watched.WritePage(256);
        watched.Arm(256, 256, NotifyFlags.None, Protection.Read);
        int[] dirty = policy == SplitPolicy.Never ? Range(256, 256) : [256];
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(dirty));
        Assert.That(watched.Test.Harvest(1), Is.Empty);
        watched.Test.Check();
        watched.Arm(256, 256, NotifyFlags.None);
        watched.WritePage(256);
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(dirty));
    }

    [Test]
    public void Lifted_restriction_of_a_dirty_page_needs_no_mark()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, NotifyFlags.None, Protection.Read);
        Assert.That(watched.TakesStores(3), Is.False);
        watched.Arm(3, 1, NotifyFlags.None);
        Assert.That(watched.WritePage(3).Done & FaultDone.Granted, Is.EqualTo(FaultDone.None), "it was dirty all the time");
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 3 }));
    }

    [Test]
    public void Whole_leaves_stay_and_parts_split_by_the_policy([Values] SplitPolicy policy, [Values] bool logs)
    {
        using var watched = new WatchedSpace(policy, logs);
        for (int page = 0; page < 4 * 256; page += 256)
        {
            watched.ReadPage(page);
        }
        watched.Arm(256, 512, NotifyFlags.None, Protection.Read);
        Assert.That((watched.SizeAt(256), watched.SizeAt(512)), Is.EqualTo((Segment, Segment)));
        int part = watched.Protect(100, 200, Protection.Read);
        if (policy == SplitPolicy.Never)
        {
            Assert.That(part, Is.EqualTo(Status.NotSupported));
            Assert.That(watched.SizeAt(0), Is.EqualTo(Segment));
            Assert.That(watched.Try(100, Access.Write), Is.EqualTo(Fine), "nothing is changed");
            Assert.That(watched.Protect(300, 10, Protection.Read), Is.Zero, "it is so already");
            Assert.That(watched.Protect(300, 10, All), Is.EqualTo(Status.NotSupported));
        }
        else
        {
            Assert.That((part, watched.SizeAt(0), watched.SizeAt(256)), Is.EqualTo((Status.Ok, Page, Segment)), "256 was restricted so");
            Assert.That(watched.Protect(300, 10, All), Is.Zero);
            Assert.That((watched.Try(300, Access.Write), watched.Try(299, Access.Write)), Is.EqualTo((Fine, Forbidden)));
        }
        watched.Test.Check();
    }

    [Test]
    public void Mapping_anew_keeps_a_leaf_only_where_its_pages_agree([Values] SplitPolicy policy)
    {
        using var watched = new WatchedSpace(policy);
        watched.Arm(256, 256, NotifyFlags.None, Protection.Read);
        watched.Arm(0, 3, NotifyFlags.Change);
        Assert.That(watched.ReadPage(256).LeafSize, Is.EqualTo(Segment));
        Assert.That(watched.ReadPage(0).LeafSize, Is.EqualTo(policy == SplitPolicy.Eager ? Page : Segment));
        if (policy != SplitPolicy.Never)
        {
            watched.Arm(700, 1, NotifyFlags.None, Protection.Read);
            Assert.That(watched.ReadPage(600).LeafSize, Is.EqualTo(Page));
            Assert.That(watched.Try(700, Access.Write), Is.EqualTo(Forbidden));
        }
    }

    [Test]
    public void Errors_change_nothing()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        Assert.That(watched.Test.Protect(1, Page, Protection.Read), Is.EqualTo(Status.Invalid), "misaligned");
        Assert.That(watched.Test.Protect(0, 1, Protection.Read), Is.EqualTo(Status.Invalid), "misaligned");
        Assert.That(watched.Test.Protect(ulong.MaxValue - 4095, 2 * Page, Protection.Read), Is.EqualTo(Status.Invalid), "wrapped");
        Assert.That(watched.Test.Protect(TwoGigabytes, Page, Protection.Read), Is.EqualTo(Status.Invalid), "beyond");
        Assert.That(watched.Protect(0, 8, Protection.Write), Is.EqualTo(Status.Invalid), "write alone");
        Assert.That(watched.Protect(0, 8, (Protection)4), Is.EqualTo(Status.Invalid));
        Assert.That(watched.Protect(0, 8, All, (NotifyFlags)8), Is.EqualTo(Status.Invalid));
        Assert.That(watched.Protect(0, 8, Protection.None, NotifyFlags.Mapped), Is.EqualTo(Status.Invalid));
        Assert.That(watched.Protect(0, (8 * 256) + 1, Protection.Read), Is.EqualTo(Status.Fault), "a hole at the end");
        Assert.That(watched.Protect(0, 0, Protection.None), Is.Zero, "nothing");
        watched.Test.View.Enter();
        int inside = watched.Protect(0, 8, Protection.Read);
        watched.Test.View.Leave();
        Assert.That(inside, Is.EqualTo(Status.Deadlock));
        Assert.That(watched.TakesStores(3), Is.True);
        Assert.That(watched.Test.Engine.Pool.Live(GmapNative.Memory.TableKind.Watch), Is.Zero);
        using var other = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, ByGeneration = true });
        other.Set(TheSlot);
        Assert.That(other.Protect(0, Page, Protection.Read), Is.EqualTo(Status.NotSupported));
    }

    /// <summary>Each allocation in turn fails: the call answers so, nothing is changed, and the same call succeeds afterwards.</summary>
    [Test]
    public void Every_allocation_in_turn_fails([Values(SplitPolicy.Lazy, SplitPolicy.Eager)] SplitPolicy policy)
    {
        int refused = 0;
        bool any = true;
        for (int n = 0; any; n++)
        {
            using var watched = new WatchedSpace(policy);
            watched.WritePage(40 + 256);
            watched.ReadPage(9 * 64 * 2);
            watched.Test.Engine.Arena.FailAfter = n;
            int status = watched.Protect(300, 1000, Protection.Read, NotifyFlags.Change);
            any = status == Status.NoMemory;
            watched.Test.Check();
            if (any)
            {
                refused++;
                Assert.That(watched.Test.Engine.Pool.Live(GmapNative.Memory.TableKind.Watch), Is.Zero);
                Assert.That(watched.Try(300, Access.Write), Is.EqualTo(Fine));
                status = watched.Protect(300, 1000, Protection.Read, NotifyFlags.Change);
            }
            Assert.That(status, Is.Zero);
            Assert.That(watched.Try(300, Access.Write), Is.EqualTo(Forbidden));
            watched.Test.Engine.Arena.FailAfter = -1;
        }
        Assert.That(refused, Is.GreaterThanOrEqualTo(3), "two watch tables and a page table");
    }

    [Test]
    public void Collapse_passes_over_what_is_watched_and_not_over_what_was()
    {
        using var watched = new WatchedSpace();
        for (int page = 0; page < 256; page++)
        {
            watched.Test.Write((ulong)page * Page);
        }
        watched.Arm(9, 1, NotifyFlags.Change);
        Assert.That(RangeCalls.Collapse(watched.Test.Space, 0, Segment, out ulong collapsed), Is.Zero);
        Assert.That(collapsed, Is.Zero);
        watched.Arm(9, 1, NotifyFlags.Change | NotifyFlags.Cancel);
        Assert.That(RangeCalls.Collapse(watched.Test.Space, 0, Segment, out collapsed), Is.Zero);
        Assert.That(collapsed, Is.EqualTo(1));
        watched.Test.Check();
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(Range(0, 256)));
        Assert.That(watched.Heard, Is.Empty);
    }

    [Test]
    public void Translation_tells_what_is_forbidden_without_changing_anything()
    {
        using var watched = new WatchedSpace();
        watched.WritePage(3);
        watched.Arm(3, 1, NotifyFlags.None, Protection.Read);
        Assert.That(watched.Test.Translate(3 * Page, Access.Read, out _), Is.Zero);
        Assert.That(watched.Test.Translate(3 * Page, Access.Write, out FaultOutcome write), Is.EqualTo(Status.Protection));
        watched.Arm(3, 1, NotifyFlags.None, Protection.None);
        Assert.That(watched.Test.Translate(3 * Page, Access.Read, out FaultOutcome read), Is.EqualTo(Status.Protection));
        Assert.That((write.Reason, read.Reason), Is.EqualTo((FaultReason.Protected, FaultReason.Protected)));
    }

    [Test]
    public void Host_is_not_bound()
    {
        using var watched = new WatchedSpace();
        watched.Arm(3, 1, NotifyFlags.None, Protection.None);
        Assert.That(watched.Test.HostWrite(3 * Page, 77), Is.Zero);
        Assert.That(watched.Test.HostRead(3 * Page, out ulong value), Is.Zero);
        Assert.That(value, Is.EqualTo(77));
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(new[] { 3 }));
    }

    [Test]
    public void Watched_tables_are_harvested_like_others_afterwards()
    {
        using var watched = new WatchedSpace();
        for (int page = 0; page < 256; page++)
        {
            watched.Test.Write((ulong)page * Page);
        }
        watched.Arm(9, 1, NotifyFlags.Change);
        Assert.That(watched.Test.Harvest(1), Is.EqualTo(Range(0, 256)));
        Assert.That(watched.Heard, Is.EqualTo(Once(9, 9, NotifyFlags.Change)));
        for (int page = 0; page < 256; page += 2)
        {
            watched.Test.Write((ulong)page * Page);
        }
        Assert.That(watched.Test.Harvest(1), Has.Length.EqualTo(128));
        Assert.That(watched.Test.Space.Tree.TryFindCell(0, out SegmentCell cell), Is.True);
        Assert.That(cell.Load().IsWatched, Is.False, "it is forgotten");
        watched.Test.Check();
    }
}
