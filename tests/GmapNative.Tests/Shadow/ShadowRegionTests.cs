using System;
using System.Buffers.Binary;
using GmapNative.Memory;
using GmapNative.Shadow;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Shadow;

/// <summary>Shadows over leaves of 2 GB: as large as the guest's and the root's both allow.</summary>
[TestFixture(false)]
[TestFixture(true)]
internal sealed unsafe class ShadowRegionTests(bool pgstes) : FormatFixture(pgstes)
{
    private const ulong RealSpace = 0x20;
    private const ulong Regions = RegionSpace.Start + 0x10000; // the guest's region-third table, in the slot's first, partial 2 GB
    private const ulong Segments = RegionSpace.Start + 0x20000;

    [Test]
    public void Two_gigabytes_on_two_gigabytes_stay_one_leaf([Values] bool real, [Values] bool logs)
    {
        using TestSpace root = RegionSpace.Make(logs: logs);
        ShadowSpace shadow = Open(root, real, FarLeaf);
        View view = OpenView(root, shadow);
        ulong inner = real ? RegionSpace.Second + 0x12345678 : 0x12345678;
        FaultOutcome read = Fault(shadow, view, inner, Access.Read);
        Assert.That((read.LeafSize, read.HostAddress), Is.EqualTo((TwoGigabytes, RegionSpace.HostOf(RegionSpace.Second + 0x12345678))));
        root.Check();
        FaultOutcome written = Fault(shadow, view, inner, Access.Write);
        Assert.That(written.LeafSize, Is.EqualTo(logs ? Page : TwoGigabytes), "a logging root splits for the first store");
        root.Check();
        if (logs)
        {
            Assert.That(root.Harvest(1), Is.EqualTo(new[] { RegionSpace.PageOf(RegionSpace.Second + 0x12345678) }));
        }
        Assert.That(RangeCalls.Unmap(root.Space, RegionSpace.Second, TwoGigabytes, out _), Is.Zero);
        Assert.That(shadow.Tables.Entries, Is.Zero);
        root.Check();
        Close(root, shadow, view);
    }

    [Test]
    public void Policy_never_dirties_the_leaf_as_a_whole_and_a_harvest_takes_it_back()
    {
        using TestSpace root = RegionSpace.Make(SplitPolicy.Never);
        ShadowSpace shadow = Open(root, real: true, FarLeaf);
        View view = OpenView(root, shadow);
        Assert.That(Fault(shadow, view, RegionSpace.Second, Access.Write).LeafSize, Is.EqualTo(TwoGigabytes));
        Assert.That(root.Harvest(1), Has.Length.EqualTo(RegionSpace.Pages));
        Assert.That(shadow.Tables.Entries, Is.Zero);
        root.Check();
        Close(root, shadow, view);
    }

    [Test]
    public void A_guests_leaf_of_one_megabyte_splits_the_root_so_far_and_a_larger_leaf_of_the_guest_takes_what_there_is()
    {
        using TestSpace root = RegionSpace.Make(logs: false);
        ShadowSpace shadow = Open(root, real: false, SegmentLeaf);
        View view = OpenView(root, shadow);
        Assert.That(Fault(shadow, view, 0x234567, Access.Write).LeafSize, Is.EqualTo(Segment));
        Assert.That(root.SizeAt(RegionSpace.Second), Is.EqualTo(Segment));
        root.Check();
        ShadowSpace real = Open(root, real: true, FarLeaf);
        View realView = OpenView(root, real);
        Assert.That(Fault(real, realView, RegionSpace.Second + Segment, Access.Read).LeafSize, Is.EqualTo(Segment));
        Assert.That(RangeCalls.Split(root.Space, RegionSpace.Second + Segment, Segment, out _), Is.Zero);
        Assert.That(RangeCalls.Unmap(root.Space, RegionSpace.Second + Segment, Page, out _), Is.Zero);
        root.Check();
        Assert.That(Fault(real, realView, RegionSpace.Second + Segment + Page, Access.Read).LeafSize, Is.EqualTo(Page));
        root.Check();
        Close(root, real, realView);
        Close(root, shadow, view);
    }

    private static void FarLeaf() => Plant(Regions, RegionSpace.Second | 0x404); // FC: 2 GB

    private static void SegmentLeaf()
    {
        Plant(Regions, Segments | 0x7);
        Plant(Segments + 16, (RegionSpace.Second + (2 * Segment)) | 0x400); // FC: 1 MB
    }

    private static void Plant(ulong at, ulong entry) =>
        BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>((void*)RegionSpace.HostOf(at), sizeof(ulong)), entry); // in the slot

    private static ShadowSpace Open(TestSpace root, bool real, Action plant)
    {
        plant();
        ulong asce = real ? RealSpace : Regions | 0x7;
        Assert.That(ShadowFamily.Open(root.Space, asce, (uint)EdatLevel.Two, out ShadowSpace? shadow), Is.Zero);
        return shadow!;
    }

    private static View OpenView(TestSpace root, ShadowSpace shadow)
    {
        nint words = root.Engine.Control.TryAllocate();
        var view = new View(words, shadow.Space.Words, ViewWords.InlineVersion, root.Engine.ClosedSpace) { Vcpu = (ulong)words };
        shadow.Space.Epochs.Register(view);
        return view;
    }

    private static FaultOutcome Fault(ShadowSpace shadow, View view, ulong address, Access access)
    {
        view.EnterCall();
        int status = shadow.Space.Faults.Resolve(view, address, access, View.CurrentThread, out FaultOutcome outcome);
        view.LeaveCall();
        view.Leave();
        Assert.That(status, Is.Zero);
        return outcome;
    }

    private static void Close(TestSpace root, ShadowSpace shadow, View view)
    {
        view.Close(root.Engine.ClosedSpace);
        shadow.Space.Epochs.Unregister(view);
        Assert.That(shadow.Family.Close(shadow), Is.Zero);
    }
}
