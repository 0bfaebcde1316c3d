using System;
using System.Collections;
using System.Threading;
using System.Threading.Tasks;
using GmapNative.Memory;
using NUnit.Framework;

namespace GmapNative.Tests.Memory;

/// <summary>The bitmap against a plain one, and its movers against setters.</summary>
public sealed unsafe class PinnedBitmapTests
{
    private Arena _arena = null!;

    [SetUp]
    public void Make()
    {
        Assert.That(Arena.TryCreate(8 << 20, requireLock: false, hugeSteps: false, out Arena? arena), Is.Zero);
        _arena = arena!;
    }

    [TearDown]
    public void End() => _arena.Dispose();

    [Test]
    public void Random_calls_give_what_a_plain_bitmap_gives(
        [Values(1UL, 64UL, 511UL, 4095UL, 4097UL, 300_001UL)] ulong bits, [Values] bool lines)
    {
        Random random = new((int)bits);
        PinnedBitmap bitmap = PinnedBitmap.TryCreate(_arena, bits, lines)!;
        PinnedBitmap target = PinnedBitmap.TryCreate(_arena, bits, !lines)!;
        var plain = new BitArray((int)bits);
        var moved = new BitArray((int)bits);
        for (int step = 0; step < 300; step++)
        {
            (ulong first, ulong count) = Range(random, bits);
            switch (random.Next(8))
            {
                case 0:
                    Assert.That(bitmap.OrRange(first, count), Is.EqualTo(Set(plain, first, count, true)));
                    break;
                case 1:
                    ulong mask = (ulong)random.NextInt64() & PinnedBitmap.RunMask(0, (int)Math.Min(64, bits - first));
                    _ = bitmap.Or(first, mask);
                    Each(mask, bit => plain[(int)first + bit] = true);
                    break;
                case 2:
                    ulong clear = (ulong)random.NextInt64() & PinnedBitmap.RunMask(0, (int)Math.Min(64, bits - first));
                    bitmap.Clear(first, clear);
                    Each(clear, bit => plain[(int)first + bit] = false);
                    break;
                case 4:
                    Assert.That(bitmap.MarkRange(first, count), Is.EqualTo(Set(plain, first, count, true)));
                    break;
                case 5:
                    Assert.That(MarkWords(random, bitmap, plain, first, count), Is.True);
                    break;
                case 6:
                    Assert.That(MarkAddresses(random, bitmap, plain), Is.True);
                    break;
                case 3:
                    bool any = bitmap.MoveTo(target, first, count);
                    Assert.That(any, Is.EqualTo(Move(plain, moved, first, count)));
                    break;
                default:
                    Assert.That(bitmap.Any(first, count), Is.EqualTo(First(plain, first, first + count) < first + count));
                    ulong skipped = bitmap.Skip(first, first + count);
                    ulong expected = First(plain, first, first + count);
                    Assert.That(skipped <= expected && (skipped == first + count || skipped / 64 == expected / 64 || skipped < expected));
                    break;
            }
            Same(bitmap, plain);
        }
        Same(target, moved);
        ulong all = 0;
        for (ulong at = target.Skip(0, bits); at < bits; at = target.Skip((at | 63) + 1, bits))
        {
            all += (ulong)System.Numerics.BitOperations.PopCount(target.Peek(at & ~63UL));
        }
        Assert.That(all, Is.EqualTo(Ones(moved)), "nothing is passed over");
    }

    [Test]
    public void Delivery_moves_the_bits_of_a_range_and_no_others(
        [Values(64UL, 511UL, 4097UL, 300_001UL)] ulong bits, [Values] bool lines)
    {
        Random random = new((int)bits);
        PinnedBitmap bitmap = PinnedBitmap.TryCreate(_arena, bits, lines)!;
        var plain = new BitArray((int)bits);
        ulong[] target = new ulong[(bits + 63) / 64];
        for (int round = 0; round < 60; round++)
        {
            for (int i = 0; i < random.Next(20); i++)
            {
                ulong at = (ulong)random.NextInt64((long)bits);
                ulong mask = (ulong)random.NextInt64() & PinnedBitmap.RunMask(0, (int)Math.Min(64, bits - at));
                bitmap.OrAlone(at, mask);
                Each(mask, bit => plain[(int)at + bit] = true);
            }
            (ulong first, ulong count) = Range(random, bits);
            first &= random.Next(2) == 0 ? ulong.MaxValue : ~63UL;
            bool or = random.Next(2) == 0;
            ulong before = (ulong)random.NextInt64();
            Array.Fill(target, before);
            ulong expected = 0;
            ulong moved = 0;
            fixed (ulong* words = target)
            {
                moved = bitmap.DeliverAlone(first, count, words, or);
            }
            for (ulong word = 0; word < (ulong)target.Length; word++)
            {
                ulong bits64 = or || word * 64 >= count ? before : 0;
                for (ulong i = word * 64; i < Math.Min(count, (word + 1) * 64); i++)
                {
                    bits64 |= plain[(int)(first + i)] ? 1UL << (int)(i % 64) : 0;
                    expected += plain[(int)(first + i)] ? 1UL : 0;
                }
                Assert.That(target[word], Is.EqualTo(bits64), $"round {round}, word {word}");
            }
            Assert.That(moved, Is.EqualTo(expected));
            _ = Set(plain, first, count, false);
            Same(bitmap, plain);
            Assert.That(bitmap.Any(0, bits), Is.EqualTo(First(plain, 0, bits) < bits));
        }
    }

    [Test]
    [Property("Scenario", 16)]
    public void No_bit_is_lost_between_setters_and_a_mover()
    {
        const int Bits = 64 * 64 * 8;
        PinnedBitmap log = PinnedBitmap.TryCreate(_arena, Bits)!;
        PinnedBitmap epoch = PinnedBitmap.TryCreate(_arena, Bits, lines: true)!;
        long set = 0;
        bool stop = false;
        Task[] setters = new Task[3];
        for (int i = 0; i < setters.Length; i++)
        {
            int seed = i;
            setters[i] = Task.Run(() =>
            {
                Random random = new(seed);
                while (!Volatile.Read(ref stop))
                {
                    Interlocked.Add(ref set, log.Or((ulong)(random.Next(Bits / 64) * 64), 1UL << random.Next(64)));
                }
            });
        }
        long delivered = 0;
        for (long end = Environment.TickCount64 + 800; Environment.TickCount64 < end;)
        {
            delivered += Round(log, epoch, Bits);
        }
        Volatile.Write(ref stop, true);
        Task.WaitAll(setters);
        delivered += Round(log, epoch, Bits);
        Assert.That(delivered, Is.EqualTo(set).And.GreaterThan(1000));
    }

    /// <summary>
    /// A bit that is set in front of the first word that the mover found, just before the mover forgets the block: nobody sets
    /// another bit there, so it comes with the next round or never.
    /// </summary>
    [Test]
    public void A_bit_set_behind_the_movers_look_comes_with_the_next_round()
    {
        const int Bits = 64 * 64;
        PinnedBitmap log = PinnedBitmap.TryCreate(_arena, Bits)!;
        PinnedBitmap epoch = PinnedBitmap.TryCreate(_arena, Bits, lines: true)!;
        long set = 0;
        long delivered = 0;
        bool stop = false;
        Task setter = Task.Run(() =>
        {
            while (!Volatile.Read(ref stop))
            {
                _ = log.Or(63 * 64, 1);
                Thread.SpinWait((int)(set % 16));
                _ = log.Or(0, 1);
                Volatile.Write(ref set, set + 2);
                for (int looks = 1; Volatile.Read(ref delivered) != set && !Volatile.Read(ref stop); looks++)
                {
                    _ = looks % 256 == 0 && Thread.Yield(); // or a busy machine spends its time here
                }
            }
        });
        long last = Environment.TickCount64;
        for (long end = last + 1500; (Environment.TickCount64 < end || delivered < 2000) && Environment.TickCount64 - last < 5000;)
        {
            long found = Round(log, epoch, Bits);
            last = found != 0 ? Environment.TickCount64 : last;
            Volatile.Write(ref delivered, delivered + found);
            _ = found == 0 && Thread.Yield();
        }
        Volatile.Write(ref stop, true);
        setter.Wait();
        Assert.That(delivered + Round(log, epoch, Bits), Is.EqualTo(set).And.GreaterThan(1000));
    }

    /// <summary>Moves everything over, counts it by skipping, clears and forgets it.</summary>
    private static long Round(PinnedBitmap log, PinnedBitmap epoch, ulong bits)
    {
        log.MoveTo(epoch, 0, bits);
        long found = 0;
        for (ulong at = epoch.Skip(0, bits); at < bits; at = epoch.Skip(at + 64, bits))
        {
            found += System.Numerics.BitOperations.PopCount(epoch.Peek(at));
            epoch.Clear(at, ulong.MaxValue);
        }
        epoch.ClearAlone();
        return found;
    }

    private static unsafe bool MarkWords(Random random, PinnedBitmap bitmap, BitArray plain, ulong first, ulong count)
    {
        first &= random.Next(2) == 0 ? ~63UL : ~0UL;
        ulong[] words = new ulong[(count + 63) / 64];
        ulong added = 0;
        for (ulong bit = 0; bit < (ulong)words.Length * 64; bit++)
        {
            if (random.Next(64) != 0)
            {
                continue;
            }
            words[bit / 64] |= 1UL << (int)(bit % 64); // those past the count mean nothing
            added += bit < count ? Set(plain, first + bit, 1, true) : 0;
        }
        fixed (ulong* at = words)
        {
            return bitmap.MarkWords(first, count, at) == added;
        }
    }

    private static unsafe bool MarkAddresses(Random random, PinnedBitmap bitmap, BitArray plain)
    {
        const ulong Start = 1 << 20;
        ulong[] addresses = new ulong[random.Next(1, 40)];
        nuint outside = (nuint)random.Next(addresses.Length + 1);
        ulong expected = 0;
        for (int i = 0; i < addresses.Length; i++)
        {
            ulong bit = (ulong)random.NextInt64((long)bitmap.Bits);
            addresses[i] = (nuint)i == outside ? Start - 1 : Start + (bit << 12) + (ulong)random.Next(4096);
            expected += (nuint)i < outside ? Set(plain, bit, 1, true) : 0;
        }
        ulong added = 0;
        fixed (ulong* at = addresses)
        {
            nuint done = bitmap.MarkAddresses(at, (nuint)addresses.Length, Start, bitmap.Bits << 12, 12, ref added);
            return done == outside && added == expected;
        }
    }

    private static (ulong First, ulong Count) Range(Random random, ulong bits)
    {
        ulong first = (ulong)random.NextInt64((long)bits);
        return (first, random.Next(4) == 0 ? bits - first : (ulong)random.NextInt64((long)(bits - first) + 1));
    }

    private static ulong Set(BitArray plain, ulong first, ulong count, bool value)
    {
        ulong changed = 0;
        for (ulong i = first; i < first + count; i++)
        {
            changed += plain[(int)i] != value ? 1UL : 0;
            plain[(int)i] = value;
        }
        return changed;
    }

    private static bool Move(BitArray from, BitArray to, ulong first, ulong count)
    {
        bool any = false;
        for (int i = (int)first; i < (int)(first + count); i++)
        {
            any |= from[i];
            to[i] |= from[i];
            from[i] = false;
        }
        return any;
    }

    private static ulong First(BitArray plain, ulong first, ulong end)
    {
        while (first < end && !plain[(int)first])
        {
            first++;
        }
        return first;
    }

    private static ulong Ones(BitArray plain)
    {
        ulong ones = 0;
        foreach (bool bit in plain)
        {
            ones += bit ? 1UL : 0;
        }
        return ones;
    }

    private static void Each(ulong mask, Action<int> action)
    {
        for (int bit = 0; bit < 64; bit++)
        {
            if ((mask >> bit & 1) != 0)
            {
                action(bit);
            }
        }
    }

    private static void Same(PinnedBitmap bitmap, BitArray plain)
    {
        for (ulong at = 0; at < bitmap.Bits; at += 64)
        {
            ulong expected = 0;
            for (int bit = 0; bit < 64 && at + (ulong)bit < bitmap.Bits; bit++)
            {
                expected |= plain[(int)at + bit] ? 1UL << bit : 0;
            }
            Assert.That(bitmap.Peek(at), Is.EqualTo(expected));
        }
    }
}
