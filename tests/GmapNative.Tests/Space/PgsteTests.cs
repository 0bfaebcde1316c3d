using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;
using GmapNative.Tests.Model;
using GmapNative.Tests.Scenarios;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Space;

/// <summary>
/// PGSTEs (rule 32): where they are, what keeps them and what drops them; whoever changes one is seen by whoever unlinks its table.
/// Random sequences of them are among <see cref="SpaceProperties"/>.
/// </summary>
[TestFixture]
[NonParallelizable] // the probe is the process's
public sealed class PgsteTests
{
    private const ulong Key = 0xF800_0000_0000_0000; // ACC and F
    private const ulong Volatile = 3UL << Pgste.UsageShift;

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
    public void A_split_makes_them_zero_in_a_table_of_4_kilobytes()
    {
        using TestSpace test = Make();
        nint[] used = new nint[64];
        int got = new PageTablePool(test.Engine.Pool, hasPgstes: true).TryAllocate(used);
        foreach (nint table in used.AsSpan(0, got))
        {
            FillWithOnes(table);
            test.Engine.Pool.Free(table, TableKind.PagePgste); // so that the next ones were used
        }
        _ = test.Write(Segment + (3 * Page));
        ulong origin = Cell(test, Segment).Load().TableOrigin;
        Assert.That(origin % 4096, Is.Zero);
        Assert.That(test.Engine.Pool.Live(TableKind.PagePgste), Is.EqualTo(1));
        Assert.That(RangeCalls.Populate(test.Space, 2 * Segment, Segment, Access.Write, out _), Is.Zero);
        for (ulong page = 0; page < 512; page++)
        {
            Assert.That(Get(test, Segment + (page * Page)), Is.Zero, $"page {page}");
        }
    }

    [Test]
    public void A_change_is_of_the_masked_bits_and_tells_what_was_there()
    {
        using TestSpace test = Make();
        Assert.That(Update(test, 5 * Page, Key, ulong.MaxValue), Is.Zero);
        Assert.That(Update(test, (5 * Page) + 4095, Pgste.UsageMask, Volatile), Is.EqualTo(Key));
        Assert.That(Update(test, 5 * Page, Key, 0), Is.EqualTo(Key | Volatile));
        Assert.That((Get(test, 5 * Page), Get(test, 4 * Page), Get(test, 6 * Page)), Is.EqualTo((Volatile, 0UL, 0UL)));
        Assert.That(test.Harvest(1), Is.Empty, "it is no write");
    }

    [TestCase(SplitPolicy.Lazy, true, Status.Ok)]
    [TestCase(SplitPolicy.Eager, true, Status.Ok)]
    [TestCase(SplitPolicy.Never, true, Status.NotSupported)]
    [TestCase(SplitPolicy.Never, false, Status.Ok)]
    public void It_makes_the_table_that_it_needs(object policy, bool mapped, int expected)
    {
        using TestSpace test = Make((SplitPolicy)policy);
        _ = mapped ? test.Read(0) : default;
        Assert.That(Pgstes.Update(test.Space, Page, Key, 0, out _), Is.Zero, "zero needs none");
        Assert.That((test.PageTables, Get(test, Page)), Is.EqualTo((0L, 0UL)));
        Assert.That(Pgstes.Update(test.Space, Page, Key, Key, out _), Is.EqualTo(expected));
        Assert.That((test.PageTables, test.Counters.Splits), Is.EqualTo(expected != 0 ? (0L, 0L) : (1L, mapped ? 1L : 0L)));
        Assert.That(test.Write(Page).LeafSize, Is.EqualTo(expected != 0 ? Segment : Page));
    }

    [Test]
    public void Bad_ones_are_refused()
    {
        using TestSpace test = Make();
        Assert.That(Pgstes.Update(test.Space, 0, Key | Pgste.Lock, Key, out _), Is.EqualTo(Status.Invalid));
        Assert.That(Pgstes.Update(test.Space, 4 * Segment, Key, Key, out _), Is.EqualTo(Status.Fault));
        Assert.That(Pgstes.Update(test.Space, ulong.MaxValue, Key, Key, out _), Is.EqualTo(Status.Fault));
        Assert.That(test.Call(() => Pgstes.Get(test.Space, 4 * Segment, out _)), Is.EqualTo(Status.Fault));
        using var plain = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        plain.Set(s_slot);
        Assert.That(Pgstes.Update(plain.Space, 0, Key, Key, out _), Is.EqualTo(Status.NotSupported));
        Assert.That(plain.Call(() => Pgstes.Get(plain.Space, 0, out _)), Is.EqualTo(Status.NotSupported));
    }

    [Test]
    public void Without_memory_nothing_changed()
    {
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1, Pgstes = true }, new EngineOptions { ArenaBytes = 256 << 10 });
        test.Set(s_slot);
        _ = test.Read(0);
        while (test.Engine.Pool.TryAllocate(TableKind.Page) is not 0 and var table)
        {
            s_held.Add(table);
        }
        Assert.That(Pgstes.Update(test.Space, 0, Key, Key, out _), Is.EqualTo(Status.NoMemory));
        Assert.That((Get(test, 0), test.Read(0).LeafSize), Is.EqualTo((0UL, Segment)));
        s_held.ForEach(table => test.Engine.Pool.Free(table, TableKind.Page));
        s_held.Clear();
        Assert.That(Update(test, 0, Key, Key), Is.Zero);
    }

    [Property("Scenario", 49)]
    [TestCase("unmap", true)]
    [TestCase("discard", true)]
    [TestCase("age", true)]
    [TestCase("harvest", true)]
    [TestCase("read-only", true)]
    [TestCase("logging off", true)]
    [TestCase("collapse", true)]
    [TestCase("moved", false)]
    [TestCase("resized", false)]
    [TestCase("deleted", false)]
    public void It_lasts_as_long_as_the_slot(string by, bool lasts)
    {
        using TestSpace test = Make();
        _ = test.Write(3 * Page);
        _ = Update(test, 2 * Page, Key, Key);
        Change(test, by);
        Assert.That(test.Violation(), Is.Null);
        if (!lasts)
        {
            Assert.That(test.PageTables, Is.Zero);
            _ = test.Space.Changes.Set(new SlotRequest { Id = 1 });
            test.Set(s_slot);
        }
        Assert.That(Get(test, 2 * Page), Is.EqualTo(lasts ? Key : 0UL));
        Assert.That(test.Read(2 * Page).LeafSize, Is.EqualTo(lasts ? Page : Segment), "mapped again beside it");
        Assert.That(Update(test, 2 * Page, Key, 0), Is.EqualTo(lasts ? Key : 0UL));
        Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
        Assert.That(test.PageTables, Is.Zero, "all are zero: the table may go");
    }

    [Test]
    public void A_neighbour_in_the_segment_keeps_its_own()
    {
        using TestSpace test = Make();
        test.Set(s_slot with { Id = 2, GuestAddress = 8 * Segment, Size = 16 * Page, HostAddress = s_memory.Start });
        test.Set(s_slot with { Id = 3, GuestAddress = (8 * Segment) + (16 * Page), Size = 16 * Page, HostAddress = s_memory.Start });
        _ = Update(test, (8 * Segment) + (15 * Page), Key, Key);
        _ = Update(test, (8 * Segment) + (16 * Page), Key, Key);
        test.Set(new SlotRequest { Id = 3 });
        Assert.That(Get(test, (8 * Segment) + (15 * Page)), Is.EqualTo(Key));
        test.Set(new SlotRequest { Id = 2 });
        Assert.That(test.PageTables, Is.Zero);
    }

    /// <summary>The change is under way, its new value is not stored: the unmap must not look at the PGSTEs before that.</summary>
    [Test]
    public void Who_unlinks_the_table_waits_for_a_change()
    {
        using TestSpace test = Make();
        _ = test.Write(0);
        using var held = new HeldThread(Place.PgsteLocked, () => _ = Update(test, Page, Key, Key));
        using var unmap = new Background(() => Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero));
        Assert.That(unmap.EndsSoon(), Is.False);
        Assert.That((Get(test, Page), Word(test, Page)), Is.EqualTo((0UL, Pgste.Lock)), "what was before; who walks by himself sees PCL");
        held.GoOn();
        unmap.Join();
        Assert.That((Get(test, Page), test.PageTables), Is.EqualTo((Key, 1L)));
    }

    /// <summary>
    /// A harvest takes what was written whatever is done to PGSTEs: it waits for the section of the one who holds a lock, as for any other,
    /// and not for the lock.
    /// </summary>
    [Test]
    public void A_harvest_takes_pages_while_the_lock_of_a_PGSTE_is_held()
    {
        using TestSpace test = Make();
        _ = (test.Write(0), test.Write(Page));
        using var held = new HeldThread(Place.PgsteLocked, () => _ = Update(test, Page, Key, Key));
        int[] found = [];
        using var harvest = new Background(() => found = test.Harvest(1));
        Assert.That(SpinWait.SpinUntil(() => test.Translate(Page, Access.Write, out _) != 0, 60_000), "the page is taken");
        Assert.That((held.IsDone, Word(test, Page)), Is.EqualTo((false, Pgste.Lock)));
        Assert.That((test.Get(1, 0, 1024, null, out _), test.Write(Page).HostAddress), Is.EqualTo((0, s_memory.Start + Page)));
        held.GoOn();
        harvest.Join();
        Assert.That((found, Get(test, Page), Get(test, 0)), Is.EqualTo((new[] { 0, 1 }, Key, 0UL)));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 1 }), "written again under the lock");
        test.Check();
    }

    [Test]
    public void Changes_of_many_threads_at_once_lose_nothing()
    {
        using TestSpace test = Make();
        const int Rounds = 20_000;
        using var ended = new CountdownEvent(4);
        int wrong = 0;
        for (int i = 0; i < 4; i++)
        {
            int bit = Pgste.ProgramShift + (2 * i);
            new Thread(() =>
            {
                for (ulong round = 0; round < Rounds; round++)
                {
                    int status = Pgstes.Update(test.Space, Page, 3UL << bit, (round + 1) << bit, out ulong before);
                    wrong += status != 0 || ((before >> bit) & 3) != (round & 3) ? 1 : 0;
                }
                ended.Signal();
            }).Start();
        }
        while (!ended.IsSet)
        {
            Assert.That(RangeCalls.Unmap(test.Space, 0, Segment, out _), Is.Zero);
            _ = test.Write(3 * Page);
            _ = test.Harvest(1);
        }
        Assert.That((wrong, Get(test, Page)), Is.EqualTo((0, 0UL)), "20,000 is a multiple of 4");
    }

    private static readonly System.Collections.Generic.List<nint> s_held = [];

    private static void Change(TestSpace test, string by)
    {
        switch (by)
        {
            case "unmap":
                Assert.That(RangeCalls.Unmap(test.Space, 0, 4 * Segment, out _), Is.Zero);
                break;
            case "discard":
                Assert.That(RangeCalls.Discard(test.Space, 0, 4 * Segment, out _), Is.Zero);
                break;
            case "age":
                Assert.That(RangeCalls.Age(test.Space, 0, 4 * Segment, out _), Is.Zero);
                break;
            case "harvest":
                Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
                break;
            case "collapse":
                _ = test.Harvest(1);
                Assert.That(RangeCalls.Collapse(test.Space, 0, Segment, out ulong collapsed), Is.Zero);
                Assert.That(collapsed, Is.Zero);
                break;
            default:
                test.Set(by switch
                {
                    "read-only" => s_slot with { ReadOnly = true },
                    "logging off" => s_slot with { LogDirty = false },
                    "moved" => s_slot with { GuestAddress = 8 * Segment },
                    "resized" => s_slot with { Size = 3 * Segment },
                    _ => new SlotRequest { Id = 1 },
                });
                break;
        }
    }

    private static TestSpace Make(SplitPolicy policy = SplitPolicy.Lazy)
    {
        var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, Policy = policy, Pgstes = true });
        test.Set(s_slot);
        return test;
    }

    private static ulong Get(TestSpace test, ulong address)
    {
        ulong pgste = 0;
        Assert.That(test.Call(() => Pgstes.Get(test.Space, address, out pgste)), Is.Zero);
        return pgste;
    }

    private static ulong Update(TestSpace test, ulong address, ulong mask, ulong value)
    {
        Assert.That(Pgstes.Update(test.Space, address, mask, value, out ulong before), Is.Zero);
        return before;
    }

    private static SegmentCell Cell(TestSpace test, ulong address)
    {
        Assert.That(test.Space.Tree.TryFindCell(address, out SegmentCell cell), Is.True);
        return cell;
    }

    /// <summary>The live word.</summary>
    private static unsafe ulong Word(TestSpace test, ulong address) => // of a table that is linked
        *(ulong*)(Cell(test, address).Load().TableOrigin + PageTable.PgsteOffset + ((address >> 12 & 0xFF) * sizeof(ulong)));

    private static unsafe void FillWithOnes(nint table) => new Span<byte>((void*)table, 4096).Fill(0xFF); // nobody else's
}
