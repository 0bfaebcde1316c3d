using System.Linq;
using System.Threading;
using GmapNative.Exports;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Review;
using NUnit.Framework;

namespace GmapNative.Tests.Litmus;

/// <summary>Rules 11 and 16: a dirty leaf that is split while a harvest takes it. Found by gmap-litmus, test collapse-dirty.</summary>
[TestFixture]
[NonParallelizable] // the visitor of the places is everybody's
internal sealed unsafe class LeafTakeTests
{
    private const int Pages = 256;

    [TestCase(Place.Poured)]
    [TestCase(Place.SummaryCleared)]
    public void A_split_in_the_middle_of_the_take_leaves_nothing_behind(object place)
    {
        using var host = new Host(Host.Segment);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        ulong vcpu = host.Open(out ViewWords* view);
        for (ulong page = 0; page < Pages; page++)
        {
            Write(vcpu, view, page);
        }
        Assert.That(Collapse(host), Is.EqualTo(1));
        SplitAt(host, (Place)place);
        int[] first;
        try
        {
            Assert.That(host.Harvest(1, Pages, out first), Is.Zero);
        }
        finally
        {
            Probe.Visitor = null;
        }
        Assert.That(first, Is.EqualTo(Enumerable.Range(0, Pages)), "all were written");
        Assert.That(host.Inside.Counters.Total().Splits, Is.EqualTo(2), "one to be written, one in the middle of the take");

        Write(vcpu, view, 100);
        Assert.That(host.Harvest(1, Pages, out int[] second), Is.Zero);
        Assert.That(second, Is.EqualTo([100]), "nothing else was written since");
        Host.Close(vcpu);
    }

    private static void Write(ulong vcpu, ViewWords* view, ulong page)
    {
        Assert.That(Host.Fault(vcpu, page * Host.Page, Access.Write), Is.Zero);
        Host.Leave(view);
    }

    /// <summary>By another thread, as soon as this one comes to the place.</summary>
    private static void SplitAt(Host host, Place place)
    {
        Thread harvester = Thread.CurrentThread;
        Probe.Visitor = at =>
        {
            if (at == place && Thread.CurrentThread == harvester)
            {
                Probe.Visitor = null;
                var splitter = new Thread(() => Split(host));
                splitter.Start();
                splitter.Join();
            }
        };
    }

    private static void Split(Host host)
    {
        delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> split = &Ranges.Split;
        Assert.That(split(host.Space, 0, Host.Segment, 0, null), Is.Zero);
    }

    private static ulong Collapse(Host host)
    {
        ulong collapsed;
        delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> collapse = &Ranges.Collapse;
        Assert.That(collapse(host.Space, 0, Host.Segment, 0, &collapsed), Is.Zero);
        return collapsed;
    }
}
