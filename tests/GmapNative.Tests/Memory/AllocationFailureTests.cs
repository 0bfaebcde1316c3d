using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Memory;

/// <summary>No memory: each call answers so, everything stays as it was, and the same call succeeds when there is memory again.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class AllocationFailureTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(72 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = Segment - (4 * Page),
        Size = (4 * Segment) + (8 * Page),
        HostAddress = s_memory.Start + Segment - (4 * Page),
        LogDirty = true,
    };

    /// <summary>A scenario that allocates in every way there is; a step's name tells what would allocate.</summary>
    private static (string Name, Func<TestSpace, int> Run)[] Steps() =>
    [
        ("log of a new slot", test => test.Space.Changes.Set(s_slot)),
        ("leaf", test => test.Fault(Segment, Access.Read, out _)),
        ("split by a write", test => test.Fault(Segment, Access.Write, out _)),
        ("page table of a ragged edge", test => test.Fault(Segment - Page, Access.Write, out _)),
        ("mapping and split in one fault", test => test.Fault(2 * Segment, Access.Write, out _)),
        ("region table", test => test.Space.SetLimit((8 * TwoGigabytes) - 1)),
        ("log of a slot in another region", test => test.Space.Changes.Set(High)),
        ("segment table", test => test.Fault(High.GuestAddress, Access.Write, out _)),
        ("populate", test => RangeCalls.Populate(test.Space, 3 * Segment, 2 * Segment, Access.Write, out _)),
        ("watch tables", test => test.Protect(High.GuestAddress, 4 * Segment, Protection.Read, NotifyFlags.Change)),
        ("watch tables that are there", test => test.Protect(High.GuestAddress, Segment, Protection.Read | Protection.Write)),
        ("harvest", test => test.Harvest(1, 0, 1032, HarvestFlags.None, new ulong[17], out _)),
        ("logging off", test => test.Space.Changes.Set(s_slot with { LogDirty = false })),
        ("log of an armed slot", test => test.Space.Changes.Set(s_slot)),
        ("leaf again", test => Remap(test)),
        ("split ahead", test => RangeCalls.Split(test.Space, 2 * Segment, Segment, out _)),
        ("collapse", test => RangeCalls.Collapse(test.Space, 2 * Segment, Segment, out _)),
        ("age", test => RangeCalls.Age(test.Space, 2 * Segment, Segment, out _)),
        ("split by a discard", test => RangeCalls.Discard(test.Space, 2 * Segment, Page, out _)),
        ("leaf once more", test => Remap(test)),
        ("split by an unmap", test => RangeCalls.Unmap(test.Space, 2 * Segment, Page, out _)),
        ("log of a moved slot", test => test.Space.Changes.Set(High with { GuestAddress = 3 * TwoGigabytes })),
        ("segment table of another region", test => test.Fault(3 * TwoGigabytes, Access.Write, out _)),
        ("another space", AnotherSpace),
        ("views", Views),
        ("log of a resized slot", test => test.Space.Changes.Set(s_slot with { Size = Segment })),
        ("deletion", test => test.Space.Changes.Set(new SlotRequest { Id = 2 })),
        ("deletion of the lowest", test => test.Space.Changes.Set(new SlotRequest { Id = 1 })),
        ("segment table of a lowered limit", test => test.Space.SetLimit(TwoGigabytes - 1)),
        ("slot again", test => test.Space.Changes.Set(s_slot)),
        ("write again", test => test.Fault(Segment, Access.Write, out _)),
    ];

    private static SlotRequest High => s_slot with { Id = 2, GuestAddress = 2 * TwoGigabytes };

    [Test]
    [Property("Scenario", 6)]
    [Property("Scenario", 53)]
    public void Every_allocation_in_turn_fails_and_the_call_is_repeated()
    {
        (string Name, Func<TestSpace, int> Run)[] steps = Steps();
        var failed = new HashSet<string>();
        bool any = true;
        for (int n = 0; any; n++)
        {
            using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
            test.Engine.Arena.FailAfter = n;
            any = false;
            foreach ((string name, Func<TestSpace, int> run) in steps)
            {
                SlotMap map = test.Space.Map;
                int status = run(test);
                Assert.That(test.Violation(), Is.Null, $"{name}, allocation {n}: {status}");
                if (status == Status.NoMemory)
                {
                    any = true;
                    failed.Add(name);
                    Assert.That(test.Space.Map, Is.SameAs(map), $"{name}, allocation {n}: the slots are what they were");
                    status = run(test);
                    Assert.That(test.Violation(), Is.Null, $"{name}, allocation {n}, again");
                }
                Assert.That(status, Is.Zero, $"{name}, allocation {n}");
            }
            Assert.That(test.Engine.Arena.FailAfter < 0, Is.EqualTo(any), "a refusal is never swallowed");
            Assert.That(test.Harvest(1), Is.EqualTo(new[] { 4 }));
        }
        string[] never =
        [
            "leaf", "watch tables that are there", "harvest", "logging off", "leaf again", "collapse", "age", "leaf once more", "deletion",
            "deletion of the lowest",
        ];
        Assert.That(steps.Select(step => step.Name).Except(failed), Is.EquivalentTo(never));
    }

    [TestCase(256 << 10)]
    [TestCase(320 << 10)]
    [TestCase(1 << 20)]
    [Property("Scenario", 10)]
    public void Exhausted_arena_serves_again_after_an_unmap(int limit)
    {
        const int Segments = 72;
        var options = new EngineOptions { ArenaBytes = (ulong)limit };
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 }, options);
        test.Set(new SlotRequest { Id = 1, Size = Segments * Segment, HostAddress = s_memory.Start, LogDirty = true });
        List<int> written = [];
        int refused = 0;
        for (int segment = 0; segment < Segments; segment++)
        {
            ulong address = ((ulong)segment * Segment) + Page;
            int status = test.Fault(address, Access.Write, out _);
            if (status == Status.NoMemory)
            {
                refused++;
                test.Check();
                Assert.That(test.Fault(address, Access.Write, out _), Is.EqualTo(Status.NoMemory), "it stays refused");
                Assert.That(RangeCalls.Unmap(test.Space, 0, (ulong)segment * Segment, out _), Is.Zero);
                status = test.Fault(address, Access.Write, out _);
            }
            Assert.That(status, Is.Zero);
            written.Add((segment * 256) + 1);
            test.Check();
        }
        Assert.That(refused > 0, Is.EqualTo(limit < 1 << 20), "the limit was met, or was not");
        Assert.That(test.Harvest(1), Is.EqualTo(written));
    }

    [Test]
    public void Budget_of_tables_that_are_gone_serves_logs_and_comes_back()
    {
        const ulong FourGigabytes = 2 * TwoGigabytes; // two logs of 132 KB; nothing of its memory is touched
        var many = new SlotRequest { Id = 1, Size = 512 * Segment, HostAddress = 1UL << 40, LogDirty = true };
        SlotRequest big = many with { Id = 2, GuestAddress = TwoGigabytes, Size = FourGigabytes };
        using var test = new TestSpace(new SpaceOptions { Limit = 8 * TwoGigabytes }, new EngineOptions { ArenaBytes = 1 << 20 });
        test.Set(many);
        int status = RangeCalls.Populate(test.Space, 0, Segment * 512, Access.Read, out _);
        for (ulong at = 0; status == 0 && at < 512 * Segment; at += Segment)
        {
            status = test.Fault(at, Access.Write, out _);
        }
        Assert.That(status, Is.EqualTo(Status.NoMemory), "page tables fill the arena");
        Assert.That(test.Space.Changes.Set(big), Is.EqualTo(Status.NoMemory));
        test.Check();
        test.Set(new SlotRequest { Id = 1 });
        test.Set(big);
        test.Check();
        test.Write(TwoGigabytes);
        test.Set(new SlotRequest { Id = 2 });
        test.Set(many);
        test.Write(0);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0 }));
    }

    [TestCase(0UL, Status.Invalid)]
    [TestCase(Arena.MinimumLimit - 1, Status.Invalid)]
    [TestCase(Arena.MaximumLimit + 1, Status.Invalid)]
    [TestCase(Arena.MinimumLimit, Status.Ok)]
    [TestCase(Arena.MinimumLimit + 1, Status.Ok)]
    public void Limits_of_an_engine_are_checked(ulong bytes, int status)
    {
        Assert.That(Engine.TryCreate(new EngineOptions { ArenaBytes = bytes }, out Engine? engine), Is.EqualTo(status));
        if (engine is not null)
        {
            Assert.That((ulong)engine.Arena.Limit % Arena.BlockBytes, Is.Zero);
            Assert.That((ulong)engine.Arena.Limit, Is.GreaterThanOrEqualTo(bytes));
            engine.Dispose();
        }
    }

    private static int Remap(TestSpace test)
    {
        int status = RangeCalls.Unmap(test.Space, 2 * Segment, Segment, out _);
        return status != 0 ? status : test.Fault(2 * Segment, Access.Read, out _);
    }

    private static int AnotherSpace(TestSpace test)
    {
        int status = AddressSpace.TryCreate(test.Engine, new SpaceOptions { Limit = TwoGigabytes }, out AddressSpace? other);
        return status != 0 ? status : other!.TryDestroy();
    }

    /// <summary>More pieces than a control page has.</summary>
    private static int Views(TestSpace test)
    {
        Stack<nint> pieces = [];
        int status = 0;
        while (status == 0 && pieces.Count < 40)
        {
            nint piece = test.Engine.Control.TryAllocate();
            status = piece == 0 ? Status.NoMemory : 0;
            if (piece != 0)
            {
                pieces.Push(piece);
            }
        }
        while (pieces.TryPop(out nint piece))
        {
            test.Engine.Control.Free(piece);
        }
        return status;
    }
}
