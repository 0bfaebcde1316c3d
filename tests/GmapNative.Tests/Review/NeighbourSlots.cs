using System.Diagnostics;
using System.Threading;
using GmapNative.Exports;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>Rule 11: two slots whose pages lie in one cache line of a page table, harvested at the same time.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class NeighbourSlots(bool pgstes) : FormatFixture(pgstes)
{
    [Test]
    public void A_harvest_of_one_never_hides_a_page_of_the_other()
    {
        using var host = new Host(2 * Host.Segment);
        Assert.That(host.SetSlot(1, 0, 4 * Host.Page, Spaces.SlotLogDirty), Is.Zero);
        Assert.That(host.SetSlot(2, 4 * Host.Page, 4 * Host.Page, Spaces.SlotLogDirty), Is.Zero);
        int stop = 0;
        var other = new Thread(() =>
        {
            ulong vcpu = host.Open(out ViewWords* view);
            while (Volatile.Read(ref stop) == 0)
            {
                _ = Host.Fault(vcpu, Host.Page, Access.Write);
                Host.Leave(view);
                _ = host.Harvest(1, 4, out _);
            }
            Host.Close(vcpu);
        });
        other.Start();
        ulong own = host.Open(out ViewWords* words);
        int rounds = 0;
        int lost = 0;
        for (long start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start).TotalSeconds < 2; rounds++)
        {
            _ = Host.Fault(own, 5 * Host.Page, Access.Write);
            Host.Leave(words);
            _ = host.Harvest(2, 4, out int[] found);
            lost += found is [1] ? 0 : 1;
        }
        Volatile.Write(ref stop, 1);
        other.Join();
        Host.Close(own);
        Assert.That(lost, Is.Zero, $"of {rounds} rounds");
    }
}
