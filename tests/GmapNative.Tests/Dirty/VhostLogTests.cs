using System;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;
using GmapNative.Dirty;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;

namespace GmapNative.Tests.Dirty;

/// <summary>
/// The log of vhost: page gfn in bit gfn % 8 of byte gfn / 8, absolute in the guest, set by others; here by bytes, as the specification
/// has it. Two slots that log with a gap between them, one that does not.
/// </summary>
[TestFixture]
public sealed unsafe class VhostLogTests
{
    private const int Words = 3 * 256 * 4 / 64;
    private static readonly GuestMemory s_memory = new(8 << 20);

    private static TestSpace Make()
    {
        var test = new TestSpace(new SpaceOptions { Limit = TwoGigabytes - 1 });
        test.Set(Slot(1, 70, 300));
        test.Set(Slot(2, 380, 4));
        test.Set(Slot(3, 384, 100) with { LogDirty = false });
        return test;
    }

    private static SlotRequest Slot(uint id, ulong first, ulong pages) => new()
    {
        Id = id,
        GuestAddress = first * Page,
        Size = pages * Page,
        HostAddress = s_memory.Start + (first * Page),
        LogDirty = true,
    };

    private static byte[] LogOf(params int[] gfns)
    {
        byte[] log = new byte[Words * 8];
        foreach (int gfn in gfns)
        {
            log[gfn / 8] |= (byte)(1 << (gfn % 8));
        }
        return log;
    }

    private static ulong Drain(TestSpace test, byte[] log)
    {
        int section = LibrarySections.Enter();
        fixed (byte* bytes = log)
        {
            ulong pages = VhostLog.Drain(test.Space, (ulong*)bytes, Words, 0);
            LibrarySections.Leave(section);
            return pages;
        }
    }

    [Test]
    public void Bits_are_marks_of_absolute_pages_and_others_are_dropped()
    {
        using TestSpace test = Make();
        byte[] log = LogOf(0, 69, 70, 127, 128, 369, 370, 379, 380, 383, 384, 400, 483, 484, 767);
        Assert.That(Drain(test, log), Is.EqualTo(6), "in slots that log");
        Assert.That(log, Is.All.Zero);
        Assert.That(test.Harvest(1), Is.EqualTo(new[] { 0, 57, 58, 299 }));
        Assert.That(test.Harvest(2), Is.EqualTo(new[] { 0, 3 }));
        Assert.That(test.Counters.PagesMarked, Is.EqualTo(6));
        Assert.That(Drain(test, log), Is.Zero);
        Assert.That(Drain(test, LogOf(70)) + Drain(test, LogOf(70)), Is.EqualTo(2), "a page that was marked before counts too");
        Assert.That(test.Counters.PagesMarked, Is.EqualTo(7));
    }

    [Test]
    public void Random_logs_give_exactly_their_pages()
    {
        using TestSpace test = Make();
        Random random = new(5);
        for (int round = 0; round < 200; round++)
        {
            int[] gfns = [.. Enumerable.Range(0, random.Next(40)).Select(_ => random.Next(Words * 64)).Distinct()];
            int[] one = [.. gfns.Where(gfn => gfn is >= 70 and < 370).Select(gfn => gfn - 70).Order()];
            int[] two = [.. gfns.Where(gfn => gfn is >= 380 and < 384).Select(gfn => gfn - 380).Order()];
            Assert.That(Drain(test, LogOf(gfns)), Is.EqualTo((ulong)(one.Length + two.Length)));
            Assert.That(test.Harvest(1), Is.EqualTo(one));
            Assert.That(test.Harvest(2), Is.EqualTo(two));
        }
    }

    [Test]
    public void No_bit_is_lost_or_invented_between_setters_and_a_drain()
    {
        using TestSpace test = Make();
        const int Rounds = 20_000;
        byte[] log = GC.AllocateArray<byte>(Words * 8, pinned: true);
        long set = 0;
        long found = 0;
        var setter = new Thread(() =>
        {
            Random random = new(9);
            Span<int> words = MemoryMarshal.Cast<byte, int>(log.AsSpan()); // there is no atomic OR of a byte
            for (int i = 0; i < Rounds; i++)
            {
                int gfn = 70 + random.Next(300);
                int before = Interlocked.Or(ref words[gfn / 32], 1 << (gfn % 32));
                set += (before >> (gfn % 32) & 1) == 0 ? 1 : 0; // each bit that was clear is to be found once
            }
        });
        setter.Start();
        while (setter.IsAlive)
        {
            found += (long)Drain(test, log);
        }
        found += (long)Drain(test, log);
        Assert.That(found, Is.EqualTo(set));
    }

    [TestCase(0UL, 1UL)]
    [TestCase(3UL, 0x8000_0000_0000_0001UL)]
    [TestCase(64UL, ulong.MaxValue)]
    [TestCase(100UL, 0x0123_4567_89AB_CDEFUL)]
    public void Or_sets_the_bytes_of_the_specification_and_keeps_the_rest(ulong gfn, ulong bits)
    {
        byte[] log = LogOf(5, 99);
        byte[] expected = LogOf([5, 99, .. Enumerable.Range(0, 64).Where(i => (bits >> i & 1) != 0).Select(i => (int)gfn + i)]);
        fixed (byte* at = log)
        {
            Assert.That(VhostLog.Or((ulong*)at, Words, gfn, bits), Is.Zero);
        }
        Assert.That(log, Is.EqualTo(expected));
    }

    [Test]
    public void Or_says_when_the_log_is_too_short_and_sets_nothing()
    {
        ulong[] log = new ulong[3];
        fixed (ulong* at = log)
        {
            Assert.That(VhostLog.Or(at, 2, 128, 1), Is.EqualTo(Status.NoBuffer));
            Assert.That(VhostLog.Or(at, 2, 100, ulong.MaxValue), Is.EqualTo(Status.NoBuffer));
            Assert.That(VhostLog.Or(at, 2, 500, 0), Is.Zero, "nothing has room anywhere");
            Assert.That(log, Is.All.Zero);
            Assert.That(VhostLog.Or(at, 2, 100, (1UL << 28) - 1), Is.Zero, "its highest page is the log's last");
            Assert.That(log[1], Is.EqualTo(ulong.MaxValue << 36));
        }
    }

    [Test]
    public void An_epoch_goes_into_a_log_that_others_use_too()
    {
        using TestSpace test = Make();
        Assert.That(Consumer.TryOpen(test.Space, Consumer.AllSlots, ConsumerKind.Plain, out Consumer? consumer), Is.Zero);
        byte[] log = LogOf(3, 75, 700);
        fixed (byte* at = log)
        {
            Assert.That(consumer!.Export((ulong*)at, Words, out _), Is.EqualTo(Status.Invalid), "no epoch is begun");
            _ = test.Write(70 * Page);
            _ = test.Write(369 * Page);
            Assert.That(test.HostWrite(383 * Page, 1), Is.Zero);
            Assert.That(consumer.Begin(rearm: true, out ConsumerEpoch epoch), Is.Zero);
            Assert.That(consumer.Export((ulong*)at, 383 / 64, out _), Is.EqualTo(Status.NoBuffer), "page 383 has no room");
            Assert.That(log, Is.EqualTo(LogOf(3, 75, 700)), "nothing is set");
            Assert.That(consumer.Export((ulong*)at, 384 / 64, out ulong pages), Is.Zero);
            Assert.That((pages, epoch.DirtyPages), Is.EqualTo((3UL, 3UL)));
            Assert.That(log, Is.EqualTo(LogOf(3, 70, 75, 369, 383, 700)));
            Assert.That(consumer.Export((ulong*)at, Words, out pages), Is.Zero, "as often as wanted");
            Assert.That(pages, Is.EqualTo(3));
            ulong behind = ulong.MaxValue - (ulong)at; // a log to the end of the address space: what is behind the guest is not touched
            Assert.That(consumer.Export((ulong*)at, behind / sizeof(ulong), out pages), Is.Zero, "more pages than a number can count");
            Assert.That(consumer.Export((ulong*)at, 1UL << 58, out pages), Is.Zero, "just as many");
            Assert.That(consumer.Commit(), Is.Zero);
            Assert.That(consumer.Begin(rearm: true, out _), Is.Zero);
            Assert.That(consumer.Export((ulong*)at, 0, out pages), Is.Zero, "nothing has room anywhere");
            Assert.That(pages, Is.Zero);
        }
        Assert.That(consumer.Close(), Is.Zero);
    }
}
