using GmapNative.Exports;
using GmapNative.Memory;
using GmapNative.Tests.Review;
using NUnit.Framework;

namespace GmapNative.Tests.Fuzzing;

/// <summary>What the fuzzer found, in few calls. Each failed before its fix.</summary>
[TestFixture]
[NonParallelizable]
public sealed unsafe class FoundByFuzzing
{
    /// <summary>Two threads that do this to each other would wait for ever: "of whichever space" holds over engines, too.</summary>
    [Test]
    public void Inside_one_engine_a_call_that_waits_in_another_answers_deadlock()
    {
        using var inside = new Host(Host.Segment);
        using var other = new Host(Host.Segment);
        ulong vcpu = inside.Open(out ViewWords* view);
        Host.Enter(view);
        Assert.That(other.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.EqualTo(Status.Deadlock));
        Host.Leave(view);
        Assert.That(other.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        Host.Close(vcpu);
    }

    /// <summary>The reader stores by the right that it got from the slot of before; the new slot's log must know the page.</summary>
    [Test]
    public void A_resize_that_timed_out_reports_what_readers_still_store()
    {
        using var host = new Host(2 * Host.Segment, graceTimeout: 2_000_000);
        Assert.That(host.SetSlot(1, 0, Host.Segment, Spaces.SlotLogDirty), Is.Zero);
        using var reader = new OtherThread(host);
        reader.Write(3 * Host.Page);
        Assert.That(host.SetSlot(1, 0, 2 * Host.Segment, Spaces.SlotLogDirty), Is.EqualTo(Status.TimedOut));
        reader.Leave();
        Assert.That(host.Harvest(1, 512, out int[] found), Is.Zero);
        Assert.That(found, Has.Member(3));
        Assert.That(host.Harvest(1, 512, out found), Is.Zero);
        Assert.That(found, Is.Empty);
    }
}
