using System.Threading;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>
/// Rule 8: nothing waits for a host lock inside a section. A slot change holds the configuration lock and waits for a vcpu that
/// stays inside; the calls of that vcpu's thread must come back.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class InsideTests(bool pgstes) : FormatFixture(pgstes)
{
    [Test]
    [Property("Scenario", 55)]
    public void A_thread_inside_is_not_caught_by_a_slot_change_that_waits_for_it()
    {
        using var host = new Host(4 * Host.Segment);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        using var reader = new OtherThread(host);
        reader.Write(0);
        int changed = -1;
        var change = new Thread(() => Volatile.Write(ref changed, host.SetSlot(1, 0, Host.Segment, 0)));
        change.Start();
        SpinWait.SpinUntil(() => host.Inside.Epochs.GracePeriods > 1, 2000);
        int stats = -1;
        int export = 0;
        int open = 0;
        bool returned = reader.TryDo(() =>
        {
            stats = Stats(host.Space);
            export = Export(host.Space);
            open = Open(host.Space);
        });
        bool waited = Volatile.Read(ref changed) == -1;
        if (returned)
        {
            reader.Leave();
            change.Join();
        }
        Assert.Multiple(() =>
        {
            Assert.That(returned, "a call of the thread that is inside hangs");
            Assert.That(waited, "the change did not wait for the reader: this proves nothing");
            Assert.That(stats, Is.Zero);
            Assert.That(export, Is.EqualTo(Status.Deadlock));
            Assert.That(open, Is.EqualTo(Status.Deadlock));
            Assert.That(changed, Is.Zero);
        });
    }

    private static int Stats(ulong space)
    {
        var stats = new SpaceStats { struct_size = (uint)sizeof(SpaceStats) };
        delegate* unmanaged<ulong, SpaceStats*, int> get = &Spaces.GetStats;
        return get(space, &stats);
    }

    private static int Export(ulong space)
    {
        ulong size;
        ulong asce;
        var sink = new ImageSink { struct_size = (uint)sizeof(ImageSink), size = &size };
        delegate* unmanaged<ulong, ulong, ImageSink*, ulong*, int> export = &Images.Export;
        return export(space, 0, &sink, &asce);
    }

    private static int Open(ulong space)
    {
        var config = new VcpuConfig { struct_size = (uint)sizeof(VcpuConfig) };
        ulong vcpu;
        delegate* unmanaged<ulong, VcpuConfig*, ulong*, ViewWords**, int> open = &Vcpus.Open;
        return open(space, &config, &vcpu, null);
    }
}
