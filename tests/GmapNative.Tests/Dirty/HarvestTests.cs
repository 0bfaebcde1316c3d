using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>Get, clear, harvest, marks, arming: one documented behaviour at a time.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class HarvestTests(bool pgstes) : FormatFixture(pgstes)
{
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 1,
        GuestAddress = Segment,
        Size = 2 * Segment,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    private static TestSpace Make(SplitPolicy policy = SplitPolicy.Lazy)
    {
        var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, Policy = policy });
        test.Set(s_slot);
        return test;
    }

    private static void Write(TestSpace test, params int[] pages)
    {
        foreach (int page in pages)
        {
            test.Write(Segment + ((ulong)page * Page));
        }
    }

    [Test]
    public void Harvest_takes_and_the_next_write_is_seen_again()
    {
        using TestSpace test = Make();
        Write(test, 0, 63, 64, 255, 256, 511);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 63, 64, 255, 256, 511 }));
        Assert.That(test.Harvest(1), Is.Empty);
        Write(test, 63);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 63 }));
        Assert.That(test.Counters.Splits, Is.EqualTo(2), "the second round splits nothing");
        test.Check();
    }

    [Test]
    public void Harvest_that_finds_nothing_takes_no_grace()
    {
        using TestSpace test = Make();
        test.Read(Segment);
        long before = test.Space.Epochs.GracePeriods;
        ulong generation = test.Space.Tree.Generation;
        Assert.That(test.Harvest(1), Is.Empty);
        Assert.That((test.Space.Epochs.GracePeriods, test.Space.Tree.Generation), Is.EqualTo((before, generation)));
        Write(test, 3);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }));
        Assert.That(test.Space.Epochs.GracePeriods, Is.EqualTo(before + 1));
        Assert.That(test.Space.Tree.Generation, Is.GreaterThan(generation));
    }

    [Test]
    public void Harvest_of_a_part_leaves_the_rest()
    {
        using TestSpace test = Make();
        Write(test, 8, 9, 10, 70, 300);
        ulong[] bitmap = [0, 0];
        Assert.That(test.Harvest(1, 9, 62, HarvestFlags.None, bitmap, out ulong dirty), Is.Zero);
        Assert.That((PagesOf(bitmap), dirty), Is.EqualTo((new[] { 0, 1, 61 }, 3UL)));
        test.Check();
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 8, 300 }));
    }

    [Test]
    public void Harvest_of_a_part_of_an_unsplit_leaf_keeps_the_other_pages_for_later()
    {
        using TestSpace test = Make(SplitPolicy.Never);
        Write(test, 5);
        ulong[] bitmap = [0];
        Assert.That(test.Harvest(1, 10, 4, HarvestFlags.None, bitmap, out _), Is.Zero);
        Assert.That(bitmap[0], Is.EqualTo(0xFUL));
        Assert.That(test.Harvest(1), Is.EqualTo((int[])[.. Range(0, 10), .. Range(14, 242)]));
    }

    [Test]
    public void Or_keeps_what_the_buffer_holds()
    {
        using TestSpace test = Make();
        Write(test, 1);
        ulong[] bitmap = new ulong[8];
        bitmap[0] = 0x10;
        Assert.That(test.Harvest(1, 0, 512, HarvestFlags.Or, bitmap, out ulong dirty), Is.Zero);
        Assert.That((bitmap[0], dirty), Is.EqualTo((0x12UL, 1UL)));
        Assert.That(test.Harvest(1, 0, 512, HarvestFlags.Or, bitmap, out _), Is.Zero);
        Assert.That(bitmap[0], Is.EqualTo(0x12UL));
    }

    [Test]
    public void No_rearm_reports_written_pages_again_and_consumes_marks()
    {
        using TestSpace test = Make();
        Write(test, 2);
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Segment + (7 * Page), 1)), Is.Zero);
        Assert.That(test.Harvest(1, HarvestFlags.NoRearm), Is.EqualTo(new[] { 2, 7 }));
        Assert.That(test.Translate(Segment + (2 * Page), Access.Write, out _), Is.Zero, "it stays writable");
        Assert.That(test.Harvest(1, HarvestFlags.NoRearm), Is.EqualTo(new[] { 2 }));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 2 }));
        Assert.That(test.Harvest(1), Is.Empty);
    }

    [Test]
    public void Short_buffer_consumes_nothing()
    {
        using TestSpace test = Make();
        Write(test, 2);
        Assert.That(test.Harvest(1, 0, 512, HarvestFlags.None, new ulong[7], out _), Is.EqualTo(Status.NoBuffer));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 2 }));
    }

    [TestCase(1U, 0UL, 513UL, Status.Invalid)]
    [TestCase(1U, 513UL, 0UL, Status.Invalid)]
    [TestCase(1U, ulong.MaxValue, 2UL, Status.Invalid)]
    [TestCase(1U, 512UL, 0UL, Status.Ok)]
    [TestCase(2U, 0UL, 1UL, Status.NoEntry)]
    public void Ranges_are_checked(uint slot, ulong first, ulong count, int status)
    {
        using TestSpace test = Make();
        Write(test, 2);
        ulong[] bitmap = new ulong[9];
        Assert.That(test.Harvest(slot, first, count, HarvestFlags.None, bitmap, out _), Is.EqualTo(status));
        Assert.That(test.Get(slot, first, count, bitmap, out _), Is.EqualTo(status));
        Assert.That(test.Clear(slot, first, count, bitmap), Is.EqualTo(status));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 2 }));
    }

    [Test]
    public void Get_looks_and_takes_nothing()
    {
        using TestSpace test = Make();
        Write(test, 2, 3);
        for (int i = 0; i < 2; i++)
        {
            ulong[] bitmap = new ulong[8];
            Assert.That(test.Get(1, 0, 512, bitmap, out ulong dirty), Is.Zero);
            Assert.That((bitmap[0], dirty), Is.EqualTo((0xCUL, 2UL)));
        }
        Assert.That(test.Get(1, 3, 509, null, out ulong counted), Is.Zero);
        Assert.That(counted, Is.EqualTo(1));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 2, 3 }));
        Assert.That(test.Harvest(1), Is.Empty, "get left nothing behind");
    }

    [Test]
    [Property("Scenario", 25)]
    public void Clear_takes_exactly_the_set_bits()
    {
        using TestSpace test = Make();
        Write(test, 0, 1, 64, 511);
        ulong[] bitmap = [2, 1, 0, 0, 0, 0, 0, 0];
        Assert.That(test.Clear(1, 0, 512, bitmap), Is.Zero);
        test.Check();
        Write(test, 64);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 64, 511 }));
    }

    [Test]
    public void Clear_in_an_unsplit_leaf_keeps_its_other_pages()
    {
        using TestSpace test = Make(SplitPolicy.Never);
        Write(test, 0);
        Assert.That(test.Clear(1, 0, 64, [ulong.MaxValue]), Is.Zero);
        test.Check();
        Assert.That(test.Harvest(1), Is.EqualTo(Range(64, 192)));
    }

    [TestCase(1UL, 64UL)]
    [TestCase(0UL, 63UL)]
    [TestCase(32UL, 480UL)]
    [Property("Scenario", 25)]
    public void Clear_wants_whole_words(ulong first, ulong count)
    {
        using TestSpace test = Make();
        Write(test, 40);
        Assert.That(test.Clear(1, first, count, new ulong[8]), Is.EqualTo(Status.Invalid));
    }

    [Test]
    public void Arming_drops_what_was_written_before()
    {
        using TestSpace test = Make();
        Write(test, 2, 300);
        test.Set(s_slot with { LogDirty = false });
        Write(test, 3);
        test.Set(s_slot);
        test.Check();
        Assert.That(test.Harvest(1), Is.Empty);
        Write(test, 3);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 3 }), "armed: the write was seen");
        Assert.That(test.Counters.Armings, Is.EqualTo(2));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Arming_protects_leaves_that_were_written(bool inline)
    {
        using TestSpace test = Make();
        test.Set(s_slot with { LogDirty = false });
        Write(test, 2);
        test.Set(s_slot);
        if (inline)
        {
            var writer = new InlineWriter(test.View);
            writer.Enter();
            Assert.That(writer.Store(Segment + (2 * Page), out _), Is.EqualTo(InlineWriter.Ask));
            writer.Leave();
        }
        Assert.That(test.Write(Segment + (2 * Page)).Done, Is.EqualTo(FaultDone.Split | FaultDone.Granted));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 2 }));
    }

    [Test]
    public void Initially_dirty_reports_every_page_once()
    {
        using TestSpace test = Make();
        test.Set(s_slot with { LogDirty = false });
        test.Set(s_slot with { InitiallyDirty = true });
        Assert.That(test.Harvest(1), Is.EqualTo(Range(0, 512)));
        Assert.That(test.Harvest(1), Is.Empty);
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Logging_off_hands_out_the_last_bits_and_lets_the_log_go(bool wants)
    {
        using TestSpace test = Make();
        Write(test, 11);
        if (wants)
        {
            Assert.That(test.SetWithFinal(s_slot with { LogDirty = false }), Is.EqualTo(new[] { 11 }));
        }
        else
        {
            test.Set(s_slot with { LogDirty = false });
        }
        Assert.That((ulong)test.Engine.Arena.Charged, Is.Zero);
        Assert.That(test.Harvest(1, 0, 512, HarvestFlags.None, new ulong[8], out _), Is.EqualTo(Status.NoEntry));
        test.Check();
        Write(test, 11);
    }

    [Test]
    [Property("Scenario", 13)]
    public void Unmapping_keeps_the_dirt()
    {
        using TestSpace test = Make();
        Write(test, 0, 255, 256);
        Assert.That(RangeCalls.Unmap(test.Space, 0, 16 * Segment, out ulong next), Is.Zero);
        Assert.That(next, Is.EqualTo(16 * Segment));
        Assert.That(test.Translate(Segment, Access.Read, out _), Is.EqualTo(Status.SegmentTranslation));
        Assert.That(test.PageTables, Is.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 255, 256 }));
    }

    [TestCase(SplitPolicy.Lazy, Status.Ok, 1)]
    [TestCase(SplitPolicy.Never, Status.SegmentTranslation, 0)]
    public void Unmapping_a_part_splits_unless_leaves_never_split(object policy, int neighbour, int splits)
    {
        using TestSpace test = Make((SplitPolicy)policy);
        test.Read(Segment);
        Assert.That(RangeCalls.Unmap(test.Space, Segment + Page, Page, out _), Is.Zero);
        Assert.That(test.Translate(Segment, Access.Read, out _), Is.EqualTo(neighbour));
        Assert.That(test.Translate(Segment + Page, Access.Read, out _), Is.Not.Zero);
        Assert.That(test.Counters.Splits, Is.EqualTo(splits));
        test.Check();
    }

    [Test]
    public unsafe void Marks_of_external_writers_are_exact()
    {
        using TestSpace test = Make();
        test.Read(Segment);
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Segment + Page - 1, 2)), Is.Zero);
        Assert.That(test.Call(() => test.Space.Host.MarkRange(Segment, 0)), Is.Zero);
        Assert.That(test.Call(() => test.Space.Host.MarkRange((3 * Segment) - Page, 2 * Page)), Is.EqualTo(Status.Fault));
        ulong bits = 0b101;
        ulong* words = &bits;
        Assert.That(test.Space.Host.MarkBitmap(1, 70, 2, words), Is.Zero);
        Assert.That(test.Space.Host.MarkBitmap(1, 511, 2, words), Is.EqualTo(Status.Invalid));
        Assert.That(test.Space.Host.MarkBitmap(7, 0, 1, words), Is.EqualTo(Status.NoEntry));
        ulong* addresses = stackalloc ulong[] { Segment + (100 * Page), 0, (3 * Segment) - 1, 5 * Segment };
        test.Space.Host.MarkBatch(addresses, 4);
        Assert.That(test.HostWrite(Segment + (200 * Page), 42), Is.Zero);
        Assert.That(test.HostRead(Segment + (200 * Page), out ulong data), Is.Zero);
        Assert.That(data, Is.EqualTo(42));
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 1, 70, 100, 200, 511 }));
        Assert.That(test.Counters.PagesMarked, Is.EqualTo(6));
        Assert.That(test.Counters.Splits, Is.Zero, "marks touch no table");
    }
}
