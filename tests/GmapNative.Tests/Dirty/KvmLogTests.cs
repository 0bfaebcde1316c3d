using System;
using System.Linq;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>
/// KVM's dirty log as its interface defines it: GET_DIRTY_LOG and CLEAR_DIRTY_LOG under KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, with and
/// without KVM_DIRTY_LOG_INITIALLY_SET.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed unsafe class KvmLogTests(bool pgstes) : FormatFixture(pgstes)
{
    private const int Pages = 512 + 70; // the last word is a part of one
    private const byte Canary = 0xC5;
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static readonly SlotRequest s_slot = new()
    {
        Id = 7,
        GuestAddress = Segment,
        Size = Pages * Page,
        HostAddress = s_memory.Start,
        LogDirty = true,
    };

    private static TestSpace Make(bool logs = true, SplitPolicy policy = SplitPolicy.Lazy)
    {
        var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1, Policy = policy });
        test.Set(s_slot with { LogDirty = logs });
        return test;
    }

    private static void Write(TestSpace test, params int[] pages)
    {
        foreach (int page in pages)
        {
            _ = test.Write(Segment + ((ulong)page * Page));
        }
    }

    /// <summary>GET of the whole slot, as the bytes that it leaves in the host's buffer.</summary>
    private static byte[] Get(TestSpace test)
    {
        byte[] bytes = new byte[((Pages + 63) / 64 * 8) + 8];
        Array.Fill(bytes, Canary);
        fixed (byte* buffer = bytes)
        {
            Assert.That(Harvester.Get(test.Space, 7, 0, Pages, (ulong*)buffer, out _), Is.Zero);
        }
        return bytes;
    }

    private static int[] PagesOf(byte[] bytes) =>
        [.. Enumerable.Range(0, (Pages + 63) / 64 * 64).Where(page => (bytes[page / 8] >> (page % 8) & 1) != 0)];

    /// <summary>CLEAR of pages first..first+count-1 with these bits; page numbers of the slot.</summary>
    private static int Clear(TestSpace test, int first, int count, params int[] pages)
    {
        byte[] bytes = new byte[((count + 63) / 64 * 8) + 8];
        foreach (int page in pages)
        {
            bytes[(page - first) / 8] |= (byte)(1 << ((page - first) % 8)); // bit 0 of the bitmap is page first_page
        }
        fixed (byte* buffer = bytes)
        {
            return Harvester.Clear(test.Space, 7, (ulong)first, (ulong)count, (ulong*)buffer);
        }
    }

    [Test]
    public void Bit_i_is_page_i_of_the_slot_least_significant_first_in_a_buffer_of_whole_words()
    {
        using TestSpace test = Make();
        Write(test, 0, 9, 63, 64, 71, 512, Pages - 1);
        byte[] bytes = Get(test);
        Assert.That((bytes[0], bytes[1], bytes[7], bytes[8], bytes[64]), Is.EqualTo((0x01, 0x02, 0x80, 0x81, 0x01)));
        Assert.That(bytes[(Pages - 1) / 8], Is.EqualTo(1 << ((Pages - 1) % 8)));
        Assert.That(bytes[((Pages / 8) + 1)..^8], Is.All.Zero, "padded to a multiple of 64 bits");
        Assert.That(bytes[^8..], Is.All.EqualTo(Canary), "and no byte more");
        ulong[] words = MemoryMarshal.Cast<byte, ulong>(bytes).ToArray();
        Assert.That(words[0], Is.EqualTo(1UL | (1UL << 9) | (1UL << 63)), "little-endian words");
    }

    [Test]
    public void Get_protects_and_consumes_nothing()
    {
        using TestSpace test = Make();
        Write(test, 5);
        for (int i = 0; i < 3; i++)
        {
            Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 5 }));
            Assert.That(test.Translate(Segment + (5 * Page), Access.Write, out _), Is.Zero, "manual protect: still writable");
        }
        Assert.That(test.Space.Epochs.GracePeriods, Is.Zero, "nobody was waited for");
        test.Check();
    }

    [Test]
    public void Clear_marks_clean_and_protects_the_set_bits_and_no_others()
    {
        using TestSpace test = Make();
        Write(test, 64, 65, 66, 300);
        _ = Get(test);
        Assert.That(Clear(test, 64, 64, 65, 100), Is.Zero, "100 is clean: nothing to do for it");
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 64, 66, 300 }));
        Assert.That(test.Translate(Segment + (65 * Page), Access.Write, out _), Is.EqualTo(Status.Protection), "protected again");
        Assert.That(test.Translate(Segment + (64 * Page), Access.Write, out _), Is.Zero);
        Write(test, 64, 65);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 64, 65, 66, 300 }), "the next write is seen");
        test.Check();
    }

    /// <summary>A host gets once and clears by chunks; what is written in between is in the next get.</summary>
    [Test]
    public void Several_clears_of_chunks_follow_one_get()
    {
        using TestSpace test = Make();
        int[] first = [1, 70, 200, 256, 511, 570];
        Write(test, first);
        int[] got = PagesOf(Get(test));
        Assert.That(got, Is.EqualTo(first));
        Write(test, 2, 400);
        for (int chunk = 0; chunk < Pages; chunk += 128)
        {
            int count = Math.Min(128, Pages - chunk);
            int begin = chunk;
            Assert.That(Clear(test, chunk, count, [.. got.Where(page => page >= begin && page < begin + count)]), Is.Zero);
            test.Check();
        }
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 2, 400 }), "clear only what you have got");
    }

    [TestCase(1, 64, Description = "first_page is a multiple of 64")]
    [TestCase(63, 64)]
    [TestCase(32, Pages - 32, Description = "also where the range ends with the slot")]
    [TestCase(0, 65, Description = "num_pages too")]
    [TestCase(64, Pages - 65)]
    [TestCase(0, Pages + 1, Description = "not beyond the slot")]
    [TestCase(576, 64)]
    [TestCase(640, 0)]
    public void Ranges_that_KVM_refuses_are_refused_and_nothing_is_cleared(int first, int count)
    {
        using TestSpace test = Make();
        Write(test, 0, 64, 580);
        Assert.That(Clear(test, first, count), Is.EqualTo(Status.Invalid));
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 0, 64, 580 }));
    }

    [TestCase(0, 64)]
    [TestCase(0, 576)]
    [TestCase(64, Pages - 64, Description = "num_pages may be odd where the range ends with the slot")]
    [TestCase(576, 6)]
    [TestCase(0, Pages)]
    [TestCase(0, 0)]
    public void Ranges_that_KVM_takes_are_taken(int first, int count)
    {
        using TestSpace test = Make();
        Write(test, 0, 64, 580);
        int[] inside = [.. new[] { 0, 64, 580 }.Where(page => page >= first && page < first + count)];
        Assert.That(Clear(test, first, count, inside), Is.Zero);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 0, 64, 580 }.Except(inside)));
    }

    [Test]
    public void A_vanished_slot_and_one_that_does_not_log_are_ENOENT()
    {
        using TestSpace test = Make(logs: false);
        Assert.That(test.Get(7, 0, 1, null, out _), Is.EqualTo(Status.NoEntry));
        Assert.That(Clear(test, 0, 64), Is.EqualTo(Status.NoEntry));
        test.Set(new SlotRequest { Id = 7 });
        Assert.That(test.Get(7, 0, 1, null, out _), Is.EqualTo(Status.NoEntry));
    }

    [Test]
    public void Initially_set_every_page_is_dirty_nothing_is_protected_and_clear_arms_by_chunks()
    {
        using TestSpace test = Make(logs: false);
        Write(test, 3, 300, 520); // two leaves and a page table, all of them writable
        long graces = test.Space.Epochs.GracePeriods;
        test.Set(s_slot with { InitiallyDirty = true });
        Assert.That(test.Space.Epochs.GracePeriods, Is.EqualTo(graces), "nobody is waited for");
        Assert.That(test.Counters.Armings, Is.EqualTo(1));
        Assert.That(PagesOf(Get(test)), Is.EqualTo(Range(0, Pages)));
        foreach (int page in new[] { 3, 300, 520 })
        {
            Assert.That(test.Translate(Segment + ((ulong)page * Page), Access.Write, out _), Is.Zero, "still writable");
        }
        Assert.That(Clear(test, 0, 64, Range(0, 64)), Is.Zero);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(Range(64, Pages - 64)));
        Assert.That(test.Translate(Segment + (3 * Page), Access.Write, out _), Is.EqualTo(Status.Protection), "its leaf is armed now");
        Assert.That(test.Translate(Segment + (300 * Page), Access.Write, out _), Is.Zero, "this one comes with its own chunk");
        Assert.That(Clear(test, 64, Pages - 64, Range(64, Pages - 64)), Is.Zero);
        Assert.That(PagesOf(Get(test)), Is.Empty);
        test.Check();
        Write(test, 3, 4, 300, 520, 521);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 3, 4, 300, 520, 521 }), "from here on, per page");
    }

    /// <summary>Whatever the entries are when logging begins: each state, then one clear of everything, then one write of each.</summary>
    [TestCase("aged")]
    [TestCase("split")]
    [TestCase("collapsed")]
    [TestCase("armed before")]
    [TestCase("read only before")]
    [TestCase("not mapped")]
    [TestCase("looked at")]
    public void Initially_set_arms_whatever_it_finds(string state)
    {
        using TestSpace test = Make(logs: state is "armed before" or "collapsed");
        Write(test, state == "not mapped" ? [] : [1, 2, 200, 300, 530]);
        switch (state)
        {
            case "aged":
                Assert.That(RangeCalls.Age(test.Space, Segment, Pages * Page, out _), Is.Zero);
                break;
            case "split":
                Assert.That(RangeCalls.Split(test.Space, Segment, 512 * Page, out _), Is.Zero);
                break;
            case "collapsed" or "armed before":
                _ = test.Harvest(7);
                test.Set(s_slot with { LogDirty = false });
                Write(test, state == "collapsed" ? [300] : []);
                break;
            case "read only before":
                test.Set(s_slot with { LogDirty = false, ReadOnly = true });
                _ = test.Read(Segment);
                break;
        }
        test.Set(s_slot with { InitiallyDirty = true });
        test.Check();
        if (state == "looked at")
        {
            _ = Get(test);
        }
        Assert.That(Clear(test, 0, Pages, Range(0, Pages)), Is.Zero);
        test.Check();
        Assert.That(PagesOf(Get(test)), Is.Empty);
        Write(test, 1, 201, 300, 531);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(new[] { 1, 201, 300, 531 }));
    }

    [Test]
    public void Initially_set_arms_two_slots_of_one_segment_apart()
    {
        using var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        SlotRequest low = s_slot with { GuestAddress = 0, Size = 5 * Page, LogDirty = false };
        SlotRequest high = s_slot with { Id = 8, GuestAddress = 5 * Page, Size = 251 * Page, LogDirty = false };
        test.Set(low);
        test.Set(high);
        _ = test.Write(4 * Page);
        _ = test.Write(5 * Page); // in the same line of entries
        test.Set(low with { LogDirty = true, InitiallyDirty = true });
        test.Set(high with { LogDirty = true, InitiallyDirty = true });
        Assert.That(test.Harvest(7), Is.EqualTo(Range(0, 5)));
        Assert.That(test.Translate(5 * Page, Access.Write, out _), Is.Zero, "the neighbour's stays writable");
        test.Check();
        Assert.That(test.Harvest(8), Is.EqualTo(Range(0, 251)));
        _ = test.Write(4 * Page);
        _ = test.Write(5 * Page);
        Assert.That((test.Harvest(7), test.Harvest(8)), Is.EqualTo((new[] { 4 }, new[] { 0 })));
    }

    /// <summary>Nobody is waited for, so nothing times out where a reader stays inside; the first clear does.</summary>
    [Test]
    public void Initially_set_waits_for_nobody_and_the_first_clear_does()
    {
        using var test = new TestSpace(
            new SpaceOptions { Limit = TwoGigabytes - 1 },
            new EngineOptions { ArenaBytes = 32 << 20, GraceTimeoutNanoseconds = 1_000_000 });
        test.Set(s_slot with { LogDirty = false });
        Write(test, 3);
        GmapNative.Memory.View other = test.OpenView();
        other.Owner = -1; // another thread's
        other.Enter();
        test.Set(s_slot with { InitiallyDirty = true });
        Assert.That(Clear(test, 0, 64, 3), Is.EqualTo(Status.TimedOut));
        Assert.That(PagesOf(Get(test)), Is.EqualTo(Range(0, Pages)), "the pages stay dirty");
        other.Leave();
        Assert.That(Clear(test, 0, 64, 3), Is.Zero);
        Assert.That(PagesOf(Get(test)), Is.EqualTo(Range(0, Pages).Where(page => page != 3)));
        test.CloseView(other);
    }
}
