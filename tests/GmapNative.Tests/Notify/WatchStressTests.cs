using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;
using NUnit.Framework;
using static GmapNative.Tests.Model.TestSpace;
using static GmapNative.Tests.Notify.WatchedSpace;

namespace GmapNative.Tests.Notify;

/// <summary>
/// Real threads: writers by the header, a harvester, and two that watch pages of the same segments, each with an oracle of its own for
/// what rules 28 to 30 promise.
/// </summary>
[TestFixture(false)]
[TestFixture(true)]
[NonParallelizable]
internal sealed class WatchStressTests(bool pgstes) : FormatFixture(pgstes)
{
    private const int Pages = 512;
    private const int EnoughRounds = 16;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    [Test]
    public void What_is_watched_is_watched_whatever_the_others_do([Values] SplitPolicy policy, [Values] bool logs, [Values] bool huge)
    {
        using var watched = new WatchedSpace(policy, logs, huge);
        var run = new Run(watched, whole: policy == SplitPolicy.Never && huge);
        run.Go();
        Assert.That(run.Wrong, Is.Empty);
        Assert.That(run.Rounds, Is.GreaterThanOrEqualTo(EnoughRounds));
        watched.Test.Check();
    }

    private sealed class Run(WatchedSpace watched, bool whole)
    {
        private readonly TestSpace _test = watched.Test;
        private readonly List<string> _wrong = [];
        private readonly long[] _changes = new long[Pages];
        private readonly ulong[] _expected = new ulong[Pages]; // what an armed page holds until its write is told; 0: not armed
        private bool _stop;
        private int _rounds;

        public IReadOnlyList<string> Wrong => _wrong;

        public int Rounds => _rounds;

        public void Go()
        {
            for (int page = 0; page < Pages; page++)
            {
                Assert.That(_test.HostWrite((ulong)page * Page, 1), Is.Zero);
            }
            watched.Callback = Told;
            View[] views = [_test.OpenView(), _test.OpenView()];
            HeaderWriter[] writers = [new(views[0]), new(views[1])]; // here: the shim is loaded by one thread
            Thread[] threads =
            [
                new(() => Guard(() => Write(views[0], writers[0], 1))),
                new(() => Guard(() => Write(views[1], writers[1], 2))),
                new(() => Guard(Disturb)),
                new(() => Guard(() => Watch(0))), new(() => Guard(() => Watch(1))),
            ];
            Array.ForEach(threads, thread => thread.Start());
            for (long begin = Stopwatch.GetTimestamp(); _rounds < EnoughRounds && Stopwatch.GetElapsedTime(begin) < s_patience;)
            {
                Thread.Sleep(10);
                if (Volatile.Read(ref _stop))
                {
                    break;
                }
            }
            Volatile.Write(ref _stop, true);
            Array.ForEach(threads, thread => thread.Join());
            watched.Callback = null;
        }

        private void Guard(Action loop)
        {
            try
            {
                while (!Volatile.Read(ref _stop))
                {
                    loop();
                }
            }
            catch (AssertionException failure)
            {
                Say(failure.Message);
            }
        }

        private void Say(string wrong)
        {
            Volatile.Write(ref _stop, true);
            lock (_wrong)
            {
                _wrong.Add(wrong);
            }
        }

        private void Told(ulong first, ulong last, NotifyFlags kind)
        {
            _ = watched.Heard; // or it grows
            for (ulong at = first; at < last; at += Page)
            {
                int page = (int)(at / Page);
                ulong expected = Interlocked.Exchange(ref _expected[page], 0);
                if (kind == NotifyFlags.Write && expected != 0 && ValueOf(page) != expected)
                {
                    Say($"page {page} was written before it was told: {ValueOf(page)} for {expected}");
                }
                if (kind == NotifyFlags.Change)
                {
                    Interlocked.Increment(ref _changes[page]);
                }
            }
        }

        private ulong ValueOf(int page)
        {
            _ = _test.HostRead((ulong)page * Page, out ulong value);
            return value;
        }

        /// <summary>A guest: stores that rise, through the header.</summary>
        private void Write(View view, HeaderWriter writer, int seed)
        {
            view.Owner = View.CurrentThread;
            var random = new Random(seed);
            for (ulong stamp = 2; !Volatile.Read(ref _stop); stamp++)
            {
                writer.Enter();
                ulong address = (ulong)random.Next(Pages) * Page;
                int status = writer.Write(address, (stamp * 4) + (ulong)seed, at => _test.Fault(view, at, Access.Write, out _));
                writer.Leave();
                if (status is not (0 or Status.Protection))
                {
                    Say($"a store answers {status}");
                }
            }
        }

        private void Disturb()
        {
            _ = watched.Test.Space.Map.ById(1)!.Tracking is not null && _test.Harvest(1).Length != 0;
            _ = RangeCalls.Age(_test.Space, 0, Pages * Page, out _);
            Assert.That(RangeCalls.Populate(_test.Space, 64 * Page, 64 * Page, Access.Read, out _), Is.Zero.Or.EqualTo(Status.Protection));
            _ = RangeCalls.Collapse(_test.Space, 0, Pages * Page, out _);
            Assert.That(watched.Unmap(whole ? 0 : 300, whole ? 256 : 100), Is.Zero);
        }

        /// <summary>Watches its own pages, or its own segment, in every way.</summary>
        private void Watch(int own)
        {
            var random = new Random(own + Environment.TickCount);
            int count = whole ? 256 : 1 + random.Next(4);
            int first = whole ? own * 256 : (random.Next(Pages / 8) * 8) + (own * 4);
            Restrict(first, count, random.Next(2) == 0 ? Protection.Read : Protection.None);
            ArmWrite(first, count);
            ArmChange(first, count);
            Interlocked.Increment(ref _rounds);
        }

        private void Restrict(int first, int count, Protection protection)
        {
            Assert.That(watched.Protect(first, count, protection), Is.Zero);
            ulong[] before = [.. Values(first, count)];
            Thread.Yield();
            Thread.SpinWait(2000);
            Assert.That(Values(first, count), Is.EqualTo(before), $"pages {first} to {first + count - 1} were written though read-only");
            Assert.That(watched.Protect(first, count, All), Is.Zero);
        }

        private void ArmWrite(int first, int count)
        {
            Assert.That(watched.Protect(first, count, Protection.Read, NotifyFlags.Write), Is.Zero);
            for (int page = first; page < first + count; page++)
            {
                Volatile.Write(ref _expected[page], ValueOf(page));
            }
            Assert.That(watched.Protect(first, count, All), Is.Zero); // from now on they come, told
            Thread.SpinWait(2000);
            Assert.That(watched.Protect(first, count, All, NotifyFlags.Write | NotifyFlags.Cancel), Is.Zero);
            for (int page = first; page < first + count; page++)
            {
                Volatile.Write(ref _expected[page], 0);
            }
        }

        private void ArmChange(int first, int count)
        {
            long[] before = new long[count];
            for (int i = 0; i < count; i++)
            {
                before[i] = Volatile.Read(ref _changes[first + i]);
            }
            int status = watched.Protect(first, count, Protection.Read, NotifyFlags.Change | NotifyFlags.Mapped);
            if (status == 0)
            {
                Assert.That(watched.Unmap(first, count), Is.Zero);
                for (int i = 0; i < count; i++)
                {
                    Assert.That(Volatile.Read(ref _changes[first + i]), Is.GreaterThan(before[i]), $"page {first + i} went untold");
                }
            }
            Assert.That(status, Is.Zero.Or.EqualTo(Status.TryAgain));
            Assert.That(watched.Protect(first, count, All, NotifyFlags.Change | NotifyFlags.Cancel), Is.Zero);
        }

        private IEnumerable<ulong> Values(int first, int count)
        {
            for (int page = first; page < first + count; page++)
            {
                yield return ValueOf(page);
            }
        }
    }
}
