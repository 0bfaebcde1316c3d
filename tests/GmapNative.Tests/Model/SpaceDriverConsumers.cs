using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;

namespace GmapNative.Tests.Model;

/// <summary>
/// Up to four consumers at once, each with a rhythm of its own: one in time, one that is slow, one that aborts mostly, one that is often
/// closed in the middle of an epoch and opened anew. Runs of the built-in one.
/// </summary>
internal sealed unsafe partial class SpaceDriver
{
    private const int Slow = 1;
    private const int Aborting = 2;
    private const int Closing = 3;

    private readonly (Consumer Engine, ReferenceConsumer Model)?[] _seats = new (Consumer, ReferenceConsumer)?[4];
    private long _epochs;

    /// <summary>What is next for a consumer.</summary>
    private string Turn(Operation operation)
    {
        int seat = (int)(operation.A % 4);
        if (_seats[seat] is not { } one)
        {
            return Open(operation, seat);
        }
        if (one.Model.InEpoch is null)
        {
            return seat == Slow && operation.D % 4 != 0 ? "waits" : Begin(one.Engine, one.Model, rearm: operation.B % 8 != 0);
        }
        string read = ReadAll(one.Engine, one.Model, operation);
        if (seat == Closing && operation.D % 4 == 0)
        {
            return $"{read}, {CloseSeat(seat)}";
        }
        bool aborts = seat == Aborting ? operation.D % 4 != 0 : operation.D % 16 == 3;
        Same(aborts ? one.Engine.Abort() : one.Engine.Commit(), Status.Ok, "end of an epoch");
        if (aborts)
        {
            one.Model.Abort();
        }
        else
        {
            one.Model.Commit();
        }
        Same(one.Engine.Commit(), Status.Invalid, "end of no epoch");
        return $"{read}, {(aborts ? "aborted" : "committed")}";
    }

    private string Open(Operation operation, int seat)
    {
        uint? slot = operation.B % 2 == 0 ? null : operation.B / 2 % 5;
        bool initially = operation.C % 4 == 0;
        int expected = _model.CanOpen(slot) ? Status.Ok : Status.NoEntry;
        ConsumerKind kind = initially ? ConsumerKind.InitiallyDirty : ConsumerKind.Plain;
        Same(Consumer.TryOpen(_test.Space, slot ?? Consumer.AllSlots, kind, out Consumer? opened), expected, "open status");
        if (expected != Status.Ok)
        {
            return $"no slot {slot}";
        }
        _seats[seat] = (opened!, _model.Open(slot, initially));
        return $"opened {(slot is null ? "for all" : "for one")}{(initially ? ", all dirty" : "")}";
    }

    private string CloseSeat(int seat)
    {
        (Consumer engine, ReferenceConsumer model) = _seats[seat]!.Value;
        Same(engine.Close(), Status.Ok, "close status");
        Same(engine.Begin(rearm: true, out _), Status.BadHandle, "begin of a closed one");
        _model.Close(model);
        _seats[seat] = null;
        return "closed";
    }

    private string Begin(Consumer engine, ReferenceConsumer model, bool rearm)
    {
        int pages = _model.Begin(model, rearm);
        Same(engine.Begin(rearm, out ConsumerEpoch epoch), Status.Ok, "begin status");
        Same(
            (epoch.Number, epoch.DirtyPages, epoch.Slots), (model.Epochs, (ulong)pages, (ulong)model.Parts.Count), "what began");
        Same(engine.Begin(rearm, out _), Status.Busy, "begin in an epoch");
        _epochs++;
        _harvested += pages;
        return $"begun{(rearm ? "" : " without arming")}, {(pages == 0 ? "empty" : "some")}";
    }

    private string ReadAll(Consumer engine, ReferenceConsumer model, Operation operation)
    {
        foreach (uint id in model.Epoch.Select(part => part.Id).Distinct())
        {
            ReadBitmap(engine, model.Find(id)!, operation);
        }
        Same(ReadRuns(engine, 1 + (int)(operation.C % 5)), RunsOf(model), "runs of an epoch");
        return model.Epoch.Any(part => part.IsGone && part.Epoch.Count != 0) ? "read last pages" : "read";
    }

    /// <summary>All of it, or a part into a buffer in which something stands.</summary>
    private static void ReadBitmap(Consumer engine, ReferencePart part, Operation operation)
    {
        bool whole = operation.D % 2 == 0;
        bool or = operation.D / 2 % 2 == 0;
        ulong first = whole ? 0 : operation.B % part.Pages;
        ulong count = whole ? part.Pages : operation.C % (part.Pages - first + 1);
        ulong[] bitmap = new ulong[((count + 63) / 64) + 1];
        Array.Fill(bitmap, or ? 0x8000_0001_0000_0000 : ulong.MaxValue);
        HashSet<ulong> had = or ? GuestPages(bitmap[..^1], part.FirstPage + first) : [];
        fixed (ulong* words = bitmap)
        {
            int status = engine.ReadBitmap(part.Id, first, count, or, words, (nuint)bitmap.Length - 1, out ulong dirty);
            Same(status, Status.Ok, "read status");
            HashSet<ulong> model =
                [.. part.Epoch.Where(page => page - part.FirstPage >= first && page - part.FirstPage < first + count)];
            Same(dirty, (ulong)model.Count, "dirty pages of an epoch");
            model.UnionWith(had);
            SamePages(GuestPages(bitmap[..^1], part.FirstPage + first), model, $"epoch of slot {part.Id} from {first}, {count} pages");
        }
        Same(bitmap[^1], or ? 0x8000_0001_0000_0000 : ulong.MaxValue, "the word behind the buffer");
    }

    /// <summary>Slot, whether it went, and the page numbers; through a small array.</summary>
    private static string ReadRuns(Consumer engine, int capacity)
    {
        List<string> read = [];
        var array = new DirtyRun[capacity];
        for (ulong resume = 0; resume != ulong.MaxValue;)
        {
            fixed (DirtyRun* at = array)
            {
                var runs = new DirtyRuns(at, (nuint)capacity);
                Same(engine.ReadRuns(ref runs, ref resume), Status.Ok, "read status");
                Same(runs.Count == 0 && resume != ulong.MaxValue, false, "a read without progress");
                read.AddRange(array.Take((int)runs.Count).Select(run => Text(run.Slot, run.Flags, run.FirstPage, run.Count)));
            }
        }
        return string.Join(' ', read.Order());
    }

    private static string RunsOf(ReferenceConsumer model) => string.Join(' ', model.Epoch.SelectMany(
        part => ReferencePart.RunsOf(part.Epoch.Select(page => page - part.FirstPage))
            .Select(run => Text(part.Id, part.IsGone ? DirtyRun.Gone : 0, run.First, run.Count))).Order());

    private static string Text(uint slot, uint flags, ulong first, ulong count) => $"{slot}/{flags}:{first}+{count}";

    /// <summary>At any time; a slot that the consumer does not have, rarely.</summary>
    private string Redirty(Operation operation)
    {
        if (_seats[operation.A % 4] is not { } one)
        {
            return "no consumer";
        }
        uint id = operation.D % 5;
        ReferencePart? part = one.Model.Find(id);
        ulong pages = part?.Pages ?? 1;
        ulong first = operation.B % (pages + 1);
        ulong count = operation.C % 71;
        bool outside = count > pages - first;
        ulong[] bitmap = [operation.C * 0x123456789ABCUL, operation.D * 0x9E3779B97F4AUL];
        int expected = part is null ? Status.NoEntry : outside ? Status.Invalid : Status.Ok;
        fixed (ulong* words = bitmap)
        {
            Same(one.Engine.Redirty(id, first, count, words), expected, "redirty status");
        }
        if (expected == Status.Ok)
        {
            ulong begin = part!.FirstPage + first;
            part.Log.UnionWith(GuestPages(bitmap, begin).Where(page => page < begin + count));
        }
        return expected != Status.Ok ? $"{expected}"
            : one.Model.InEpoch is null ? "between epochs" : part!.IsGone ? "of a slot that went" : "in an epoch";
    }

    /// <summary>The built-in consumer by runs, to the end or not.</summary>
    private string HarvestRuns(Operation operation)
    {
        if (Logging(operation) is not { } slot)
        {
            return "no slot";
        }
        (ulong first, ulong count) = Part(slot, operation);
        bool rearm = operation.D / 2 % 8 != 0;
        int calls = operation.D / 16 % 2 == 0 ? 1 : int.MaxValue;
        var array = new DirtyRun[1 + (operation.C % 7)];
        ulong end = first + count;
        bool more = true;
        for (ulong at = first; more && calls > 0; calls--)
        {
            List<(ulong, ulong)> read;
            ulong next;
            fixed (DirtyRun* start = array)
            {
                var runs = new DirtyRuns(start, (nuint)array.Length);
                HarvestFlags flags = rearm ? HarvestFlags.None : HarvestFlags.NoRearm;
                Same(Harvester.HarvestRuns(_test.Space, slot.Id, at, end - at, flags, ref runs, out next), Status.Ok, "harvest status");
                read = [.. array.Take((int)runs.Count).Select(run => (run.FirstPage, run.Count))];
            }
            HashSet<ulong> model = _model.HarvestUpTo(slot, slot.FirstPage + at, end - at, rearm, slot.FirstPage + next);
            Same(string.Join(' ', read), string.Join(' ', ReferencePart.RunsOf(model.Select(page => page - slot.FirstPage))), "runs");
            Same(next == end || read.Count == array.Length, true, "all, or no room for more");
            _harvests++;
            _harvested += model.Count;
            more = next != end;
            at = next;
        }
        return more ? "cut off" : rearm ? "to the end" : "to the end, without arming";
    }

    /// <summary>What is left of every history.</summary>
    private void FinishConsumers()
    {
        for (int seat = 0; seat < _seats.Length; seat++)
        {
            if (_seats[seat] is { } one)
            {
                if (one.Model.InEpoch is null)
                {
                    _ = Begin(one.Engine, one.Model, rearm: true);
                }
                _ = ReadAll(one.Engine, one.Model, new Operation(Kind.Consumer, 0, 0, 4, 0));
                _ = CloseSeat(seat);
            }
        }
    }
}
