using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Interleaving;

/// <summary>Consumers, each with an image of its own.</summary>
internal sealed unsafe partial class World
{
    private readonly Seat?[] _seats = new Seat?[2];
    /// <summary>Every slot that ever logged; where logging ended: what had been stored by then, for what comes later is not seen.</summary>
    private readonly Dictionary<uint, (SlotRequest Slot, List<(int, int, ulong)>? AtEnd)> _slots = [];


    private sealed record Seat(Consumer Consumer, Image Image);

    /// <summary>Opens a consumer of all slots. From the return on it sees what is written: its image is made now.</summary>
    public void Open(int seat)
    {
        long begin = ++_time;
        int status = Consumer.TryOpen(Test.Space, Consumer.AllSlots, ConsumerKind.Plain, out Consumer? opened);
        if (status != Status.Ok)
        {
            Fail($"open: {status}");
            return;
        }
        var image = new Image(this, $" to consumer {seat}");
        image.Begin(begin, _touched);
        _seats[seat] = new Seat(opened!, image);
    }

    public void Close(int seat)
    {
        int status = _seats[seat]!.Consumer.Close();
        _seats[seat] = null;
        if (status != Status.Ok)
        {
            Fail($"close: {status}");
        }
    }

    /// <summary>An epoch, read, copied and committed; or aborted as if it had never been.</summary>
    public void Epoch(int seat, bool aborts = false, bool rearm = true)
    {
        if (_seats[seat] is not { } one)
        {
            return;
        }
        List<(int, int, ulong)> before = [.. _slots.SelectMany(slot => slot.Value.AtEnd ?? StoredIn(slot.Value.Slot))];
        long begin = ++_time;
        int status = one.Consumer.Begin(rearm, out ConsumerEpoch epoch);
        if (status != Status.Ok)
        {
            Fail($"begin of consumer {seat}: {status}");
            return;
        }
        HashSet<int> reported = [.. Read(one.Consumer)];
        Pause("epoch read");
        if (epoch.DirtyPages < (ulong)reported.Count || !reported.SetEquals(Read(one.Consumer)))
        {
            Fail($"epoch of consumer {seat}: {epoch.DirtyPages} pages said, {reported.Count} read");
        }
        one.Image.Check(reported);
        if (!aborts)
        {
            one.Image.Report(reported, begin, marksStay: !rearm);
            one.Image.Expect(before, $"epoch of consumer {seat}");
        }
        status = aborts ? one.Consumer.Abort() : one.Consumer.Commit();
        if (status != Status.Ok)
        {
            Fail($"end of an epoch of consumer {seat}: {status}");
        }
    }

    /// <summary>
    /// An epoch that is read run by run while pages are discarded: those come or do not, the others come once, in order, and whole.
    /// </summary>
    public void EpochBesideDiscard(int seat, int[] discarded)
    {
        Seat one = _seats[seat]!;
        List<(int Thread, int Page, ulong Stamp)> before =
            [.. _slots.SelectMany(slot => StoredIn(slot.Value.Slot)).Where(store => !discarded.Contains(store.Page))];
        long begin = ++_time;
        int status = one.Consumer.Begin(rearm: true, out ConsumerEpoch epoch);
        List<int> reported = Read(one.Consumer);
        if (status != Status.Ok || epoch.DirtyPages < (ulong)reported.Count)
        {
            Fail($"epoch of consumer {seat}: {status}, {epoch.DirtyPages} pages said, {reported.Count} read");
        }
        if (!reported.SequenceEqual(reported.Distinct().Order()))
        {
            Fail($"epoch of consumer {seat}: read {string.Join(", ", reported)}");
        }
        one.Image.Check(reported);
        one.Image.Report(reported, begin);
        one.Image.Expect(before, $"epoch of consumer {seat}");
        status = one.Consumer.Commit();
        if (status != Status.Ok)
        {
            Fail($"end of an epoch of consumer {seat}: {status}");
        }
    }

    /// <summary>When all threads have ended: one epoch more, then image and memory are equal.</summary>
    private void FinishConsumers()
    {
        for (int seat = 0; seat < _seats.Length; seat++)
        {
            if (_seats[seat] is { } one)
            {
                Epoch(seat);
                Epoch(seat);
                foreach ((SlotRequest slot, _) in _slots.Values.Where(slot => slot.AtEnd is null))
                {
                    one.Image.ExpectAll(StoredIn(slot));
                }
                Close(seat);
            }
        }
    }

    private List<int> Read(Consumer consumer)
    {
        List<int> pages = [];
        DirtyRun run = default; // one at a time
        for (ulong resume = 0; resume != ulong.MaxValue;)
        {
            var runs = new DirtyRuns(&run, 1);
            if (consumer.ReadRuns(ref runs, ref resume) != Status.Ok)
            {
                Fail("reading of an epoch");
                return pages;
            }
            if (runs.Count != 0)
            {
                if (run.Count == 0)
                {
                    Fail("a run of no pages");
                }
                int first = (int)((_slots[run.Slot].Slot.GuestAddress / TestSpace.Page) + run.FirstPage);
                pages.AddRange(TestSpace.Range(first, (int)run.Count));
            }
        }
        return pages;
    }
}
