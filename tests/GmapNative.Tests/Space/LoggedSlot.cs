using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>A space with one slot of two segments at 0 that logs; puts the probe back after each test.</summary>
[NonParallelizable] // the probe is the process's
public abstract class LoggedSlot(bool pgstes) : FormatFixture(pgstes)
{
    private protected static GuestMemory Memory { get; } = new(8 << 20);

    private protected static SlotRequest Slot { get; } = new()
    {
        Id = 1,
        GuestAddress = 0,
        Size = 2 * Segment,
        HostAddress = Memory.Start,
        LogDirty = true,
    };

    [TearDown]
    public void PutProbeBack()
    {
        Probe.Visitor = null;
        Probe.LeftOut = Step.None;
    }

    /// <param name="graceTimeout">Nanoseconds; 0: for ever.</param>
    private protected static TestSpace Make(ulong graceTimeout = 0)
    {
        var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 },
            new EngineOptions { ArenaBytes = 32 << 20, GraceTimeoutNanoseconds = graceTimeout });
        test.Set(Slot);
        return test;
    }
}
