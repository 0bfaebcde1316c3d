using System;
using System.Runtime.InteropServices;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>Rule 20: dense segments are taken frozen, exactly as entry by entry, and a freeze that fails costs only itself.</summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable] // Probe's visitor is the process's
public sealed unsafe class FreezeTests(bool pgstes) : FormatFixture(pgstes)
{
    private const int TableBytes = 2048;

    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = 0,
        Size = 4 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    [TearDown]
    public void PutProbeBack() => Probe.Visitor = null;

    [Test]
    public void Vector_edits_are_those_of_single_entries()
    {
        var random = new Random(20);
        void* memory = NativeMemory.AlignedAlloc(TableBytes, TableBytes); // a table that only we have
        var words = new Span<ulong>(memory, GuestAddress.PageTableEntries);
        var table = new PageTable((ulong)memory);
        for (int round = 0; round < 2000; round++)
        {
            random.NextBytes(MemoryMarshal.AsBytes(words));
            for (int group = 0; group < PageTable.Groups; group++)
            {
                Span<ulong> pages = words.Slice(group * PageTable.GroupPages, PageTable.GroupPages);
                ulong[] expected = new ulong[pages.Length];
                ulong dirty = 0;
                for (int i = 0; i < pages.Length; i++)
                {
                    pages[i] = round % 3 == 0 ? pages[i] & ~PageEntry.SoftDirty : pages[i];
                    pages[i] |= round % 65 == i ? PageEntry.SoftDirty : 0; // a single planted bit at each place
                    bool taken = (pages[i] & PageEntry.SoftDirty) != 0;
                    dirty |= taken ? 1UL << i : 0;
                    expected[i] = taken ? new PageEntry(pages[i]).WithArmed.Value : pages[i];
                }
                Assert.That(table.SoftDirty(group, 0xFF), Is.EqualTo(dirty));
                table.ArmFrozen(group, 0xFF);
                Assert.That(pages.SequenceEqual(expected), Is.True, $"round {round}, group {group}");
            }
        }
        NativeMemory.AlignedFree(memory);
    }

    [Test]
    public void Bitmap_words_that_nobody_shares_are_changed_alike()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        const ulong Bits = 10_000;
        PinnedBitmap shared = PinnedBitmap.TryCreate(test.Engine.Arena, Bits)!;
        PinnedBitmap alone = PinnedBitmap.TryCreate(test.Engine.Arena, Bits, lines: true)!;
        var random = new Random(20);
        for (int round = 0; round < 3000; round++)
        {
            ulong first = (ulong)random.Next((int)Bits - 64);
            ulong mask = (ulong)random.NextInt64() & (ulong)random.NextInt64();
            if (round % 3 != 0)
            {
                _ = shared.Or(first, mask);
                alone.OrAlone(first, mask);
            }
            else
            {
                shared.Clear(first, mask);
                alone.ClearAlone(first, mask);
            }
            ulong at = (ulong)random.Next((int)Bits);
            Assert.That((alone.Peek(first), alone.Skip(at, Bits)), Is.EqualTo((shared.Peek(first), shared.Skip(at, Bits))));
        }
        shared.Free();
        alone.Free();
    }

    [Test]
    public void Reader_that_stays_costs_the_freeze_and_nothing_is_lost()
    {
        using TestSpace test = Make(graceTimeout: 20_000_000);
        int frozen = Dirty(test);
        View reader = test.OpenView();
        reader.Owner = -1; // as if it were another thread's: ours may wait for it
        reader.Enter();
        int seen = 0;
        Probe.Visitor = place => seen += place == Place.SegmentFrozen ? 1 : 0;
        Assert.That(test.Harvest(1, 0, 1024, default, new ulong[16], out _), Is.EqualTo(Status.TimedOut));
        Probe.Visitor = null;
        Assert.That(seen, Is.EqualTo(frozen));
        test.Check(); // thawed
        reader.Leave();
        test.CloseView(reader);
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, 1024)));
        Assert.That(test.Harvest(1), Is.Empty);
    }

    /// <summary>Calls without a view that come to a frozen segment end their section, or the freeze would wait for them for ever.</summary>
    [Test]
    public void Populate_and_age_wait_for_the_thaw()
    {
        using TestSpace test = Make(graceTimeout: 0);
        _ = Dirty(test);
        int populated = -1;
        int aged = -1;
        Thread[] others =
        [
            new(() => populated = RangeCalls.Populate(test.Space, 0, 4 * Segment, Access.Write, out _)),
            new(() => aged = RangeCalls.Age(test.Space, 0, 4 * Segment, out _)),
        ];
        Probe.Visitor = place =>
        {
            foreach (Thread other in place == Place.SegmentFrozen ? others : [])
            {
                if (other.ThreadState == ThreadState.Unstarted)
                {
                    other.Start();
                }
            }
        };
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, 1024)));
        Probe.Visitor = null;
        foreach (Thread other in others)
        {
            other.Join();
        }
        Assert.That((populated, aged), Is.EqualTo((Status.Ok, Status.Ok)));
        test.Check();
        Assert.That(test.Harvest(1), Is.SubsetOf(Range(0, 1024)));
    }

    private static TestSpace Make(ulong graceTimeout)
    {
        var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 },
            new EngineOptions
            {
                ArenaBytes = 32 << 20,
                GraceTimeoutNanoseconds = graceTimeout,
                Freezing = new Freezing { LeastLines = 1, LeastSegments = 1 },
            });
        test.Set(s_slot);
        return test;
    }

    /// <summary>Writes every page; how many segments that is.</summary>
    private static int Dirty(TestSpace test)
    {
        for (ulong page = 0; page < 1024; page++)
        {
            test.Write(page * Page);
        }
        return 4;
    }
}
