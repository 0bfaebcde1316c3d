using System;
using System.Collections.Generic;
using GmapNative.Memory;
using GmapNative.Notify;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.RegionSpace;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Notify;

/// <summary>Rules 28 to 30 of 2 GB leaves (rule 33).</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
internal sealed class WatchedRegionTests(bool pgstes) : FormatFixture(pgstes)
{
    private const Protection All = Protection.Read | Protection.Write;

    private readonly List<(ulong First, ulong Last, NotifyFlags Kind)> _heard = [];
    private TestSpace _test = null!;
    private Notifier _notifier = null!;

    [TearDown]
    public void End()
    {
        Assert.That(_notifier.Unregister(), Is.Zero);
        _test.Dispose();
    }

    [Test]
    public void Notify_of_a_page_leaves_the_leaf_and_is_told_for_all_of_it_when_it_is_taken_away()
    {
        Make(SplitPolicy.Lazy);
        _ = _test.Read(First);
        Protect(First + (7 * Page), Page, All, NotifyFlags.Change);
        Assert.That((_test.SizeAt(First), _test.Engine.Pool.Live(TableKind.Watch)), Is.EqualTo((TwoGigabytes, 257L)));
        Assert.That(RangeCalls.Age(_test.Space, First, TwoGigabytes, out _), Is.Zero);
        Assert.That(_test.SizeAt(First), Is.EqualTo(TwoGigabytes), "aging passes over what it would tell");
        Assert.That(RangeCalls.Unmap(_test.Space, First, TwoGigabytes, out _), Is.Zero);
        Assert.That(Heard(), Is.EqualTo(new[] { (First, Second - 1, NotifyFlags.Change) }));
        _ = _test.Read(First);
        Assert.That(RangeCalls.Unmap(_test.Space, First, TwoGigabytes, out _), Is.Zero);
        Assert.That(Heard(), Is.Empty, "once");
        _test.Check();
    }

    [Test]
    public void Split_hands_the_markers_down_and_pages_are_told_one_by_one()
    {
        Make(SplitPolicy.Lazy);
        _ = _test.Read(First);
        Protect(First + (7 * Page), Page, All, NotifyFlags.Change);
        _ = _test.Write(First + Segment);
        _test.Check();
        Assert.That((_test.SizeAt(First), Heard().Length), Is.EqualTo((Segment, 0)));
        Assert.That(RangeCalls.Unmap(_test.Space, First + Segment, Segment, out _), Is.Zero);
        Assert.That(Heard(), Is.Empty);
        Assert.That(RangeCalls.Unmap(_test.Space, First + (7 * Page), Page, out _), Is.Zero);
        Assert.That(Heard(), Is.EqualTo(new[] { (First + (7 * Page), First + (8 * Page) - 1, NotifyFlags.Change) }));
        _test.Check();
    }

    [Test]
    public void Armed_leaf_that_a_harvest_weakens_is_told_of_as_a_whole_under_never()
    {
        Make(SplitPolicy.Never);
        _ = _test.Write(First);
        Protect(First, Page, All, NotifyFlags.Change);
        Assert.That(Heard(), Is.Empty);
        Assert.That(_test.Count(), Is.EqualTo(Pages));
        Assert.That(Heard(), Is.EqualTo(new[] { (First, Second - 1, NotifyFlags.Change) }));
        _test.Check();
    }

    /// <summary>A pair of pages of a vcpu in 2 GB that stay one mapping: weakened, told once, faulted in and armed anew.</summary>
    [Test]
    public void Prefix_pages_in_the_leaf_are_refreshed_and_it_stays_one([Values("harvest", "read-only", "unmap")] string by)
    {
        Make(SplitPolicy.Never, logs: by == "harvest");
        for (int round = 0; round < 3; round++)
        {
            Assert.That((_test.Write(First + (4 * Page)).LeafSize, _test.Write(First + (5 * Page)).LeafSize),
                Is.EqualTo((TwoGigabytes, TwoGigabytes)));
            Protect(First + (4 * Page), 2 * Page, All, NotifyFlags.Change | NotifyFlags.Mapped);
            Assert.That((_test.SizeAt(First), Heard().Length), Is.EqualTo((TwoGigabytes, 0)));
            ulong weakened = by switch
            {
                "harvest" => _test.Count() - Pages,
                "read-only" => (ulong)_test.Protect(First, TwoGigabytes, Protection.Read),
                _ => (ulong)RangeCalls.Unmap(_test.Space, First, TwoGigabytes, out _),
            };
            Assert.That((weakened, _test.TakesStores(First + (5 * Page))), Is.EqualTo((0UL, false)));
            Assert.That(Heard(), Is.EqualTo(new[] { (First, Second - 1, NotifyFlags.Change) }), "once, for the leaf with both");
            Protect(First, TwoGigabytes, All, NotifyFlags.None);
        }
    }

    [Test]
    public void Write_of_an_armed_page_is_told_before_it_is_granted([Values(SplitPolicy.Lazy, SplitPolicy.Never)] SplitPolicy policy)
    {
        Make(policy, logs: false);
        _ = _test.Write(First);
        Protect(First + (2 * Segment), Page, All, NotifyFlags.Write);
        Assert.That((_test.TakesStores(First), Heard().Length), Is.EqualTo((false, 0)));
        _ = _test.Write(First + (2 * Segment));
        const ulong At = First + (2 * Segment);
        (ulong first, ulong last) = policy == SplitPolicy.Never ? (First, Second - 1) : (At, At + Page - 1);
        Assert.That(Heard(), Is.EqualTo(new[] { (first, last, NotifyFlags.Write) }));
        Assert.That(_test.SizeAt(First), Is.EqualTo(policy == SplitPolicy.Never ? TwoGigabytes : Segment));
        _test.Check();
    }

    [Test]
    public void Restriction_of_a_part_splits_or_is_refused_and_that_of_all_of_it_stays(
        [Values] SplitPolicy policy, [Values(Protection.None, Protection.Read)] Protection protection)
    {
        Make(policy);
        _ = _test.Read(First);
        _ = _test.Read(Second);
        int status = _test.Protect(First + Segment, Page, protection);
        Assert.That(status, Is.EqualTo(policy == SplitPolicy.Never ? Status.NotSupported : Status.Ok));
        _test.Check();
        if (policy != SplitPolicy.Never)
        {
            Assert.That(_test.SizeAt(First), Is.EqualTo(Segment));
            Assert.That(_test.Fault(First + Segment, Access.Write, out _), Is.EqualTo(Status.Protection));
            Assert.That(_test.Fault(First + Segment + Page, Access.Write, out _), Is.Zero);
        }
        Protect(Second, TwoGigabytes, protection, NotifyFlags.None);
        Assert.That(_test.Fault(Second + Page, Access.Write, out FaultOutcome outcome), Is.EqualTo(Status.Protection));
        Assert.That(outcome.Reason, Is.EqualTo(FaultReason.Protected));
        Assert.That(_test.Fault(Second + Page, Access.Read, out _), Is.EqualTo(protection == Protection.None ? Status.Protection : 0));
        Assert.That(_test.Translate(Second, Access.Write, out _), Is.EqualTo(Status.Protection));
        Assert.That(RangeCalls.Unmap(_test.Space, Second, TwoGigabytes, out _), Is.Zero);
        Assert.That(_test.Fault(Second, Access.Write, out _), Is.EqualTo(Status.Protection), "unmapped it is restricted still");
        _test.Check();
        Protect(Second, TwoGigabytes, All, NotifyFlags.None);
        Assert.That(_test.Read(Second).LeafSize, Is.EqualTo(TwoGigabytes));
        Assert.That(_test.Fault(Second, Access.Write, out _), Is.Zero);
    }

    [Test]
    public void Policy_eager_splits_where_a_part_is_armed()
    {
        Make(SplitPolicy.Eager);
        _ = _test.Read(First);
        _ = _test.Read(Second);
        Protect(First + Segment, Page, All, NotifyFlags.Change);
        Assert.That((_test.SizeAt(First), _test.SizeAt(First + Segment)), Is.EqualTo((Segment, Page)));
        Protect(Second, TwoGigabytes, All, NotifyFlags.Change);
        Assert.That(_test.SizeAt(Second), Is.EqualTo(TwoGigabytes));
    }

    [Test]
    public void Restriction_of_what_is_not_mapped_is_kept_and_a_part_of_it_forbids_the_leaf()
    {
        Make(SplitPolicy.Lazy);
        Protect(First, TwoGigabytes, Protection.Read, NotifyFlags.None);
        Assert.That(_test.Read(First).LeafSize, Is.EqualTo(TwoGigabytes));
        Assert.That(_test.Fault(First, Access.Write, out _), Is.EqualTo(Status.Protection));
        Protect(Second + Segment, Segment, Protection.Read, NotifyFlags.None);
        Assert.That(_test.Read(Second).LeafSize, Is.EqualTo(Segment));
        Assert.That(_test.Fault(Second + Segment, Access.Write, out _), Is.EqualTo(Status.Protection));
        _test.Set(new SlotRequest { Id = 1 });
        Assert.That(_test.Engine.Pool.Live(TableKind.Watch), Is.Zero);
        _test.Check();
    }

    [Test]
    public void Mapped_is_asked_of_the_leaf_and_a_host_write_tells()
    {
        Make(SplitPolicy.Lazy);
        Assert.That(_test.Protect(First, Page, All, NotifyFlags.Write | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain));
        _ = _test.Read(First);
        Assert.That(_test.Protect(First, Page, All, NotifyFlags.Write | NotifyFlags.Mapped), Is.EqualTo(Status.TryAgain), "P = 1");
        Protect(First, Page, Protection.Read, NotifyFlags.None);
        Assert.That(_test.SizeAt(First + Segment), Is.EqualTo(Segment));
        _ = _test.Read(Second);
        Protect(Second + Page, Page, All, NotifyFlags.Write);
        Assert.That(_test.HostWrite(Second + Page, 5), Is.Zero);
        Assert.That(Heard(), Is.EqualTo(new[] { (Second + Page, Second + (2 * Page) - 1, NotifyFlags.Write) }));
        Assert.That(_test.SizeAt(Second), Is.EqualTo(TwoGigabytes));
        _test.Check();
    }

    private void Make(SplitPolicy policy, bool logs = true)
    {
        _test = RegionSpace.Make(policy, logs);
        _heard.Clear();
        Assert.That(Notifier.TryRegister(_test.Space, NotifyFlags.None, Hear, out Notifier? made), Is.Zero);
        _notifier = made!;
    }

    private void Hear(ulong first, ulong last, NotifyFlags kind) => _heard.Add((first, last, kind));

    private (ulong First, ulong Last, NotifyFlags Kind)[] Heard()
    {
        (ulong, ulong, NotifyFlags)[] heard = [.. _heard];
        _heard.Clear();
        return heard;
    }

    private void Protect(ulong address, ulong size, Protection protection, NotifyFlags notify)
    {
        Assert.That(_test.Protect(address, size, protection, notify), Is.Zero);
        _test.Check();
    }
}
