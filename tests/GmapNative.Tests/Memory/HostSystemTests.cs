using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using GmapNative.Memory;
using NUnit.Framework;

namespace GmapNative.Tests.Memory;

/// <summary>What <see cref="IHostSystem"/> promises, by the system that the tests run on.</summary>
public sealed unsafe class HostSystemTests
{
    private const int Megabyte = 1 << 20;
    private const int Page = 64 << 10; // of any system

    private static IHostSystem Host => HostSystem.Current;

    [Test]
    public void A_part_of_what_is_reserved_becomes_usable_and_is_zero()
    {
        nint start = Host.TryReserve(Megabyte);
        Assert.That(start, Is.Not.Zero);
        Host.AdviseHugePages(start, Megabyte, sparse: true);
        Assert.That(Host.TryCommit(start + Page, 2 * Page), Is.True);
        var part = new Span<byte>((void*)(start + Page), 2 * Page); // just committed, released below
        Assert.That(part.ContainsAnyExcept((byte)0), Is.False);
        part.Fill(0x5A);
        Assert.That(Host.TryCommit(start + (3 * Page), Page), Is.True, "the next part");
        Assert.That(part.ContainsAnyExcept((byte)0x5A), Is.False, "what was there stays");
        Host.Decommit(start + (3 * Page), Page);
        Host.Release(start, Megabyte);
    }

    [Test]
    public void More_than_there_is_is_refused()
    {
        Assert.That((long)Host.TryReserve((nuint)1 << 56), Is.Zero);
        Assert.That(Host.TryLock(Page, Page), Is.False, "nobody has it");
    }

    [Test]
    public void What_is_usable_can_be_locked_or_that_is_refused()
    {
        nint start = Host.TryReserve(Megabyte);
        Assert.That(Host.TryCommit(start, Page), Is.True);
        bool locked = Host.TryLock(start, Page);
        *(byte*)start = 1; // committed either way
        Assert.That(*(byte*)start, Is.EqualTo(1), $"locked: {locked}");
        Host.Release(start, Megabyte);
    }

    [Test]
    public void Address_space_comes_back()
    {
        HashSet<nint> starts = [];
        for (int i = 0; i < 300; i++)
        {
            nint start = Host.TryReserve((nuint)1 << 30);
            Assert.That((long)start, Is.Not.Zero, $"after {i}");
            starts.Add(start);
            Host.Release(start, (nuint)1 << 30);
        }
        Assert.That(starts, Has.Count.LessThan(300), "none was there a second time");
    }

    [Test]
    public void Memory_is_filled_and_not_beyond()
    {
        byte[] memory = new byte[4099];
        fixed (byte* at = memory)
        {
            Host.Fill(at + 1, 0xC3, 4097);
        }
        Assert.That(memory.AsSpan(1, 4097).ContainsAnyExcept((byte)0xC3), Is.False);
        Assert.That((memory[0], memory[^1]), Is.EqualTo(((byte)0, (byte)0)));
    }

    [Test]
    public void Waiting_comes_to_an_end()
    {
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < 20; i++)
        {
            Host.Yield();
            Host.Sleep(50_000);
        }
        Assert.That(Stopwatch.GetElapsedTime(begin), Is.LessThan(TimeSpan.FromSeconds(20)));
    }

    /// <summary>
    /// Dekker's two flags: each thread stores its own and reads the other's, one with a compiler's fence only. With the barrier in the
    /// other thread they never both read nothing.
    /// </summary>
    [Test]
    public void The_barrier_is_one_for_threads_that_have_none()
    {
        Assume.That(Host.TryPrepareBarrier(), "there is no barrier for a whole process here");
        Assume.That(Environment.ProcessorCount, Is.GreaterThan(1), "one processor orders everything");
        (int rounds, int missed) = DekkerTrial.Run(barrier: true);
        (int without, int bad) = DekkerTrial.Run(barrier: false);
        TestContext.Out.WriteLine($"{rounds} rounds with the barrier; without it both read nothing {bad} times of {without}");
        Assert.That(missed, Is.Zero);
    }

    private static class DekkerTrial
    {
        private const int Most = 20_000;
        private const int End = -1;
        private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(3);

        private static int s_mine;
        private static int s_theirs;
        private static int s_seen;
        private static int s_turn; // the round that may begin
        private static int s_done; // the round that the other thread has ended

        /// <summary>As many rounds as the time allows; in how many of them both read nothing.</summary>
        public static (int Rounds, int Missed) Run(bool barrier)
        {
            (s_turn, s_done) = (0, 0);
            var other = new Thread(Others);
            other.Start();
            IHostSystem host = Host;
            bool refused = false;
            int missed = 0;
            int round = 0;
            for (long begin = Stopwatch.GetTimestamp(); round < Most && Stopwatch.GetElapsedTime(begin) < s_longest;)
            {
                (s_mine, s_theirs) = (0, 0);
                Volatile.Write(ref s_turn, ++round);
                Thread.SpinWait(round & 31);
                Volatile.Write(ref s_mine, 1);
                refused |= barrier && !host.TryBarrier(); // nothing else here: what takes time orders stores, too
                int seen = Volatile.Read(ref s_theirs);
                Await(ref s_done, round);
                missed += seen == 0 && s_seen == 0 ? 1 : 0;
            }
            Volatile.Write(ref s_turn, End);
            other.Join();
            Assert.That(refused, Is.False);
            return (round, missed);
        }

        private static void Others()
        {
            for (int round = 1; Await(ref s_turn, round); round++)
            {
                Volatile.Write(ref s_theirs, 1);
                s_seen = Volatile.Read(ref s_mine); // no fence: as a reader that enters
                Volatile.Write(ref s_done, round);
            }
        }

        /// <summary>False: it is the end.</summary>
        private static bool Await(ref int word, int value)
        {
            SpinWait spin = default;
            int seen;
            while ((seen = Volatile.Read(ref word)) != value && seen != End)
            {
                spin.SpinOnce(sleep1Threshold: -1); // the other one may want this processor
            }
            return seen == value;
        }
    }
}
