using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>Accesses, ranges, marks and harvests of a sequence.</summary>
internal sealed unsafe partial class SpaceDriver
{
    private string Fault(ulong address, bool write)
    {
        int status = _test.Fault(address, write ? Access.Write : Access.Read, out FaultOutcome outcome);
        var engine = Answer.Of(status, outcome);
        Answer model = _model.Fault(address, write);
        Same(engine, model, $"fault at {address:x}");
        CountFault(model.Status, write);
        if (write && status == Status.Ok)
        {
            Store(outcome.HostAddress & ~7UL);
        }
        return status == Status.Ok ? $"{outcome.Done}" : $"{status} {outcome.Reason}";
    }

    private string InlineRead(ulong address)
    {
        _writer.Enter();
        bool asks = _writer.Load(address, out nint host) != 0;
        _writer.Leave();
        Answer model = _model.Translate(address, write: false);
        Same(asks, model.Status != Status.Ok, $"inline load at {address:x} asks");
        Same(asks ? 0 : (ulong)host, model.Host, $"inline load at {address:x}");
        return asks ? "asks" : "goes";
    }

    private string InlineWrite(ulong address)
    {
        bool asked = false;
        Answer before = _model.Translate(address, write: true);
        long granted = _model.PagesGranted;
        Answer model = _model.Fault(address, write: true);
        _writer.Enter();
        int status = _writer.Write(address, ++_stamp, at =>
        {
            asked = true;
            CountFault(model.Status, write: true);
            return _test.Fault(_test.View, at, Access.Write, out _);
        });
        _writer.Leave();
        Same(status, model.Status, $"inline store at {address:x}");
        // A clean page is granted without a call; a leaf that is not dirty takes one.
        bool inTable = _model.Translate(address, write: true).LeafSize == TestSpace.Page && (model.Done & ~FaultDone.Granted) == 0;
        inTable |= _test.Space.Options.ByGeneration; // every page that may be written is marked without a call
        bool mustAsk = before.Status != Status.Ok && !(before is { Status: Status.Protection, Reason: FaultReason.NeedsFault } && inTable);
        Same(asked, mustAsk, $"inline store at {address:x} asks");
        _grantedInline += asked ? 0 : _model.PagesGranted - granted;
        if (status == Status.Ok)
        {
            _stored[model.Host] = _stamp;
        }
        return status == Status.Ok ? asked ? "asks" : "goes" : $"{status}";
    }

    /// <summary>A store of 16 bytes that begins anywhere: every page that it touches is granted before its first byte (rule 3).</summary>
    private string InlineSpan(ulong address, uint distance)
    {
        ulong last = (address | 0xFFF) + 1 + distance;
        foreach (ulong at in (ulong[])[address, last])
        {
            long granted = _model.PagesGranted;
            bool asked = false;
            Answer model = _model.Fault(at, write: true);
            _writer.Enter();
            int status;
            while ((status = _writer.Store(at, out nint host)) == InlineWriter.Ask)
            {
                asked = true;
                CountFault(model.Status, write: true);
                status = _test.Fault(_test.View, at, Access.Write, out _);
                if (status != Status.Ok)
                {
                    break;
                }
            }
            _writer.Leave();
            Same(status, model.Status, $"span at {at:x}");
            _grantedInline += asked ? 0 : _model.PagesGranted - granted;
        }
        return "done";
    }

    private void Store(ulong host)
    {
        *(ulong*)host = ++_stamp; // the driver's memory
        _stored[host] = _stamp;
    }

    private string HostRead(ulong address)
    {
        int status = _test.HostRead(address, out ulong value);
        ReferenceSlot? slot = _model.Find(address);
        Same(status, slot is null ? _model.NoSlot(address).Status : Status.Ok, $"read at {address:x}");
        if (slot is not null && _stored.TryGetValue(slot.Host + (address - slot.Start), out ulong stored))
        {
            Same(value, stored, $"data at {address:x}");
            return "known data";
        }
        return $"{status}";
    }

    private string HostWrite(ulong address)
    {
        ulong value = ++_stamp;
        int status = _test.HostWrite(address, value);
        ReferenceSlot? slot = _model.Find(address);
        int expected = slot is null ? _model.NoSlot(address).Status : slot.ReadOnly ? Status.Protection : Status.Ok;
        Same(status, expected, $"write at {address:x}");
        if (status == Status.Ok)
        {
            _model.Mark(address, sizeof(ulong));
            ulong host = slot!.Host + (address - slot.Start);
            Same(*(ulong*)host, value, $"data at {address:x}");
            _stored[host] = value;
        }
        return $"{status}";
    }

    private string Populate(Operation operation)
    {
        ulong start = Address(operation) & ~0xFFFUL;
        ulong size = (operation.D % 40) << 12;
        bool write = operation.D >= 128;
        bool valid = size == 0 || (start + size > start && start + size - 1 <= _model.Limit);
        int expected = valid ? Status.Ok : Status.Invalid;
        ulong stop = start;
        while (expected == Status.Ok && stop < start + size)
        {
            Answer answer = _model.Fault(stop, write);
            expected = answer.Status;
            CountFault(answer.Status, write);
            ulong step = write && _model.Find(stop) is { Marked: not null, Log: not null } ? TestSpace.Page : answer.LeafSize;
            stop = expected != Status.Ok ? stop : Math.Min(start + size, (stop & ~(step - 1)) + step);
        }
        int status = RangeCalls.Populate(_test.Space, start, size, write ? Access.Write : Access.Read, out ulong next);
        Same((status, next), (expected, stop), $"populate at {start:x}");
        return $"{status}";
    }

    private string Unmap(Operation operation)
    {
        ulong start = Address(operation) & ~0xFFFUL;
        ulong size = s_sizes[operation.D % (uint)s_sizes.Length] << 12;
        if (operation.D >= 128)
        {
            start &= ~(TestSpace.Segment - 1);
        }
        bool valid = start + size > start && start + size - 1 <= _model.Limit;
        int mapped = _model.Mapped;
        int status = RangeCalls.Unmap(_test.Space, start, size, out ulong next);
        Same((status, next), valid ? (Status.Ok, start + size) : (Status.Invalid, start), $"unmap at {start:x}");
        if (valid)
        {
            _model.Unmap(start, start + size);
        }
        return !valid ? $"{status}" : mapped == _model.Mapped ? "nothing" : "mappings";
    }

    private string Translate(ulong address, bool write)
    {
        int status = _test.Translate(address, write ? Access.Write : Access.Read, out FaultOutcome outcome);
        Same(Answer.Of(status, outcome), _model.Translate(address, write), $"translation at {address:x}");
        return $"{status}";
    }

    private string Mark(ulong address, ulong size)
    {
        int status = _test.Call(() => _test.Space.Host.MarkRange(address, size));
        bool all = _model.Mark(address, size);
        Same(status, all ? Status.Ok : Status.Fault, $"mark {address:x} and {size:x}");
        return $"{status}";
    }

    private string MarkBitmap(Operation operation)
    {
        if (Logging(operation) is not { } slot)
        {
            return "no slot";
        }
        ulong first = operation.B % slot.Pages;
        ulong count = Math.Min(slot.Pages - first, 70);
        ulong[] bitmap = [operation.C * 0x123456789ABCUL, operation.D * 0x9E3779B97F4AUL];
        int status = _test.Call(() =>
        {
            fixed (ulong* words = bitmap)
            {
                return _test.Space.Host.MarkBitmap(slot.Id, first, count, words);
            }
        });
        Same(status, Status.Ok, "mark bitmap");
        slot.Pour(GuestPages(bitmap, slot.FirstPage + first).Where(page => page < slot.FirstPage + first + count));
        return "done";
    }

    private string MarkBatch(Operation operation)
    {
        ulong[] addresses =
            [.. Enumerable.Range(0, 8).Select(
                i => Address(operation with { A = operation.A + (37 * (uint)i), B = operation.B + (uint)i }))];
        _ = _test.Call(() =>
        {
            fixed (ulong* all = addresses)
            {
                _test.Space.Host.MarkBatch(all, (nuint)addresses.Length);
            }
            return 0;
        });
        foreach (ulong address in addresses)
        {
            _model.Mark(address, 1);
        }
        return "done";
    }

    /// <summary>A range of a slot: all of it mostly.</summary>
    private static (ulong First, ulong Count) Part(ReferenceSlot slot, Operation operation)
    {
        ulong first = operation.D % 2 == 0 ? 0 : operation.B % slot.Pages;
        ulong count = operation.D % 2 == 0 ? slot.Pages : operation.C % (slot.Pages - first + 1);
        return (first, count);
    }

    private string Get(Operation operation)
    {
        if (Logging(operation) is not { } slot)
        {
            return "no slot";
        }
        (ulong first, ulong count) = Part(slot, operation);
        ulong[] bitmap = new ulong[(count + 63) / 64];
        int status = _test.Get(slot.Id, first, count, bitmap, out ulong dirty);
        Same(status, Status.Ok, "get status");
        HashSet<ulong> model = _model.Get(slot, slot.FirstPage + first, count);
        SamePages(GuestPages(bitmap, slot.FirstPage + first), model, "get");
        Same(dirty, (ulong)model.Count, "dirty pages");
        return model.Count == 0 ? "empty" : "some";
    }

    private string Harvest(Operation operation)
    {
        if (Logging(operation) is not { } slot)
        {
            return "no slot";
        }
        (ulong first, ulong count) = Part(slot, operation);
        return HarvestSlot(slot, first, count, (HarvestFlags)(operation.D / 2 % 16 < 4 ? operation.D / 2 % 4 : 0));
    }

    private string HarvestSlot(ReferenceSlot slot, ulong first, ulong count, HarvestFlags flags)
    {
        ulong[] bitmap = new ulong[(count + 63) / 64];
        ulong kept = flags.HasFlag(HarvestFlags.Or) && count != 0 ? 1UL : 0;
        Array.Fill(bitmap, flags.HasFlag(HarvestFlags.Or) ? 0 : ulong.MaxValue);
        if (kept != 0)
        {
            bitmap[0] = kept;
        }
        int status = _test.Harvest(slot.Id, first, count, flags, bitmap, out ulong dirty);
        Same(status, Status.Ok, "harvest status");
        _harvests++;
        _harvested += (long)dirty;
        HashSet<ulong> model = _model.Harvest(slot, slot.FirstPage + first, count, !flags.HasFlag(HarvestFlags.NoRearm));
        Same(dirty, (ulong)model.Count, "dirty pages");
        if (kept != 0)
        {
            model = [.. model, slot.FirstPage + first];
        }
        SamePages(GuestPages(bitmap, slot.FirstPage + first), model, $"harvest of slot {slot.Id} from {first}, {count} pages, {flags}");
        return $"{flags} {(dirty == 0 ? "empty" : "some")}";
    }

    private string Clear(Operation operation)
    {
        if (Logging(operation) is not { } slot)
        {
            return "no slot";
        }
        ulong first = operation.B % (slot.Pages + 1);
        ulong count = operation.D % 8 == 0 ? operation.C % (slot.Pages - first + 1) : slot.Pages - first;
        first = operation.D % 16 == 1 ? first : first & ~63UL;
        count = operation.D % 8 == 0 ? count : slot.Pages - first;
        bool valid = first % 64 == 0 && (count % 64 == 0 || first + count == slot.Pages);
        ulong[] bitmap = new ulong[((count + 63) / 64) + 1];
        for (int i = 0; i < bitmap.Length - 1; i++)
        {
            ulong some = operation.C * (0x9E3779B97F4A7C15UL + (ulong)i);
            bitmap[i] = operation.D / 16 % 4 == 0 ? ulong.MaxValue : some & 0x00FF_0F3F_7777_1111UL;
        }
        Same(_test.Clear(slot.Id, first, count, bitmap), valid ? Status.Ok : Status.Invalid, "clear status");
        if (valid)
        {
            _harvests++;
            ulong from = slot.FirstPage + first;
            _model.Clear(slot, GuestPages(bitmap, from).Where(page => page < from + count));
        }
        return valid ? "done" : "invalid";
    }
}
