using System.Collections.Generic;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;

namespace GmapNative.Tests.Memory;

/// <summary>What cannot be locked is refused under REQUIRE_MLOCK, and told otherwise.</summary>
[TestFixture]
[NonParallelizable]
[Category("Linux")] // setrlimit
public sealed class LockingTests
{
    private static readonly GuestMemory s_memory = new(72 << 20);

    [TestCase(0UL)]
    [TestCase(32UL << 10)]
    public void Engine_that_must_be_locked_is_refused(ulong lockable)
    {
        List<string> log = [];
        int status = 1;
        Engine? engine = null;
        ThreadLimits.WithLockable(lockable, () =>
            status = Engine.TryCreate(Options(required: true, log), out engine));
        engine?.Dispose();
        Assert.That((status, engine is null), Is.EqualTo((Status.NotPermitted, true)));
        Assert.That(log, Has.Count.EqualTo(1));
        Assert.That(log[0], Does.Contain("RLIMIT_MEMLOCK"));
    }

    [Test]
    public void Engine_that_need_not_be_locked_says_so_once_and_works()
    {
        List<string> log = [];
        ThreadLimits.WithLockable(0, () =>
        {
            using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 }, Options(required: false, log));
            test.Set(new SlotRequest { Id = 1, Size = TestSpace.Segment, HostAddress = s_memory.Start, LogDirty = true });
            test.Write(0);
            Assert.That((ulong)test.Engine.Arena.Locked, Is.Zero);
            Assert.That((ulong)test.Engine.Arena.Committed, Is.GreaterThan(0));
            Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
        });
        Assert.That(log, Has.Count.EqualTo(1));
    }

    [Test]
    public void Arena_that_must_be_locked_grows_no_further_than_it_can()
    {
        List<string> log = [];
        ThreadLimits.WithLockable(512 << 10, () =>
        {
            using var test = new TestSpace(new SpaceOptions { Limit = TestSpace.TwoGigabytes - 1 }, Options(required: true, log));
            test.Set(new SlotRequest { Id = 1, Size = 64 * TestSpace.Segment, HostAddress = s_memory.Start, LogDirty = true });
            int refused = 0;
            for (ulong segment = 0; segment < 64; segment++)
            {
                int status = test.Fault(segment * TestSpace.Segment, Access.Write, out _);
                refused += status == Status.NoMemory ? 1 : 0;
                Assert.That(status, Is.AnyOf(Status.Ok, Status.NoMemory));
            }
            var many = new SlotRequest { Id = 2, GuestAddress = 1 << 30, Size = 1 << 30, HostAddress = s_memory.Start, LogDirty = true };
            for (uint id = 2; id < 34; id++)
            {
                int status = test.Space.Changes.Set(
                    many with { Id = id, GuestAddress = (1UL << 30) + ((id - 2UL) << 24), Size = 1 << 24 });
                refused += status == Status.NoMemory ? 1 : 0;
                Assert.That(status, Is.AnyOf(Status.Ok, Status.NoMemory));
            }
            Assert.That(refused, Is.GreaterThan(0));
            Assert.That((ulong)test.Engine.Arena.Locked, Is.EqualTo((ulong)test.Engine.Arena.Committed));
            test.Check();
        });
    }

    private static EngineOptions Options(bool required, List<string> log) => new()
    {
        ArenaBytes = 16 << 20,
        RequireLock = required,
        Log = (_, message) => log.Add(message),
    };
}
