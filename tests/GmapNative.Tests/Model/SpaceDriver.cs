using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>Runs a sequence against the engine and the reference model, and compares after each operation.</summary>
internal sealed unsafe partial class SpaceDriver
{
    private const ulong MemoryBytes = 16 << 20;
    private static readonly GuestMemory s_memory = new(MemoryBytes);

    private static readonly ulong[] s_bases =
        [0, 1, 2, 3, 2046, 2047, 2048, 5 * 1024, (1UL << 22) - 1, 1UL << 22, (1UL << 33) - 1, 1UL << 33, (1UL << 44) - 2]; // in segments
    private static readonly ulong[] s_offsets = [0, 0, 0, 0, 0, 0, 1, 5, 128, 250, 255];        // in pages
    private static readonly ulong[] s_sizes = [256, 512, 768, 256, 512, 1, 3, 16, 64, 65, 130, 255, 300, 600];
    private static readonly ulong[] s_limits =
    [
        (16 << 20) - 1, (1UL << 31) - 1, (1UL << 31) - 1, 1UL << 31, 8UL << 30, 9UL << 30, (1UL << 42) - 1, 1UL << 42, (1UL << 53) - 1,
        1UL << 53, ulong.MaxValue,
    ];

    private readonly TestSpace _test;
    private readonly ReferenceSpace _model;
    private readonly HeaderWriter _writer;
    private readonly Dictionary<ulong, ulong> _stored = []; // host address: what was stored there last
    private ulong _stamp;

    private SpaceDriver(Sequence sequence, TestSpace test)
    {
        _test = test;
        ulong limit = test.Space.Options.Limit;
        _model = new ReferenceSpace(limit, sequence.Policy, sequence.Huge, sequence.ByGeneration, sequence.Pgstes, sequence.Global);
        _writer = new HeaderWriter(test.View);
    }

    /// <summary>Null, or what went wrong after which operation. <paramref name="seen"/> counts what the operations did.</summary>
    public static string? Run(Sequence sequence, Dictionary<string, int>? seen)
    {
        ulong limit = sequence.Levels switch { 0 => 1UL << 31, 1 => 8UL << 30, 2 => 1UL << 53, _ => 0 } - 1;
        var options = new SpaceOptions
        {
            Limit = limit,
            Policy = sequence.Policy,
            Huge = sequence.Huge,
            ByGeneration = sequence.ByGeneration,
            Pgstes = sequence.Pgstes,
            GlobalDirty = sequence.Global,
        };
        var test = new TestSpace(options);
        string? wrong = Run(sequence, test, seen);
        string? leaks = test.Close();
        return wrong ?? leaks;
    }

    private static string? Run(Sequence sequence, TestSpace test, Dictionary<string, int>? seen)
    {
        try
        {
            var driver = new SpaceDriver(sequence, test);
            for (int i = 0; i < sequence.Operations.Length; i++)
            {
                Operation operation = sequence.Operations[i];
                string? wrong = driver.Step(operation, out string outcome);
                if (wrong is not null)
                {
                    return $"operation {i}, {operation}, {outcome}: {wrong}";
                }
                string key = $"{operation.Kind}: {outcome}";
                seen?[key] = seen.GetValueOrDefault(key) + 1;
            }
            return driver.Finish();
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            return failure.Message;
        }
    }

    private string? Step(Operation operation, out string outcome)
    {
        string? wrong;
        try
        {
            outcome = Apply(operation);
            wrong = _test.Violation();
        }
        catch (DifferenceException difference)
        {
            outcome = difference.Message;
            wrong = "the engine and the model differ";
        }
        return wrong;
    }

    /// <summary>Every page's translation, then what a last harvest of every slot reports.</summary>
    private string? Finish()
    {
        try
        {
            FinishConsumers();
            foreach (ReferenceSlot slot in _model.Slots.Values.ToArray())
            {
                for (ulong at = slot.Start; at < slot.End; at += TestSpace.Page)
                {
                    Translate(at, write: true);
                }
                if (slot.Log is not null)
                {
                    HarvestSlot(slot, 0, slot.Pages, HarvestFlags.None);
                }
            }
            SameCounters();
            return _test.Violation();
        }
        catch (DifferenceException difference)
        {
            return $"at the end: {difference.Message}";
        }
    }

    private string Apply(Operation operation) => operation.Kind switch
    {
        Kind.Slot => SetSlot(operation),
        Kind.DeleteSlot => DeleteSlot(operation),
        Kind.ReadFault => Fault(Address(operation), write: false),
        Kind.WriteFault => Fault(Address(operation), write: true),
        Kind.InlineRead => InlineRead(Address(operation)),
        Kind.InlineWrite => InlineWrite(Address(operation) & ~7UL),
        Kind.InlineSpan => InlineSpan(Address(operation), operation.D),
        Kind.Populate => Populate(operation),
        Kind.Unmap => Unmap(operation),
        Kind.Split => SplitRange(operation),
        Kind.Collapse => Collapse(operation),
        Kind.Discard => Discard(operation),
        Kind.Age => Age(operation),
        Kind.Translate => Translate(Address(operation), (operation.D & 1) != 0),
        Kind.HostRead => HostRead(Address(operation) & ~7UL),
        Kind.HostWrite => HostWrite(Address(operation) & ~7UL),
        Kind.Mark => Mark(Address(operation), operation.D * 300UL),
        Kind.MarkBitmap => MarkBitmap(operation),
        Kind.MarkBatch => MarkBatch(operation),
        Kind.Get => Get(operation),
        Kind.Harvest => Harvest(operation),
        Kind.Clear => Clear(operation),
        Kind.Consumer => Turn(operation),
        Kind.CloseConsumer => _seats[operation.A % 4] is null ? "none" : CloseSeat((int)(operation.A % 4)),
        Kind.Redirty => Redirty(operation),
        Kind.HarvestRuns => HarvestRuns(operation),
        Kind.Pgste => UpdatePgste(operation),
        Kind.Protect => Protect(operation),
        _ => SetLimit(operation),
    };

    private string SetSlot(Operation operation)
    {
        uint id = operation.A % 5;
        ReferenceSlot? old = _model.Slots.GetValueOrDefault(id);
        bool readOnly = operation.D % 8 == 0;
        bool log = operation.D % 4 != 1;
        bool initially = log && operation.D / 8 % 8 == 0;
        bool wantsFinal = operation.D / 64 != 0;
        bool keep = old is not null && operation.D / 4 % 8 != 7;
        ReferenceSlot slot = keep ? old! with { ReadOnly = readOnly } : Geometry(operation) with { Id = id, ReadOnly = readOnly };
        keep |= old is not null && (slot.Start, slot.Size, slot.Host) == (old.Start, old.Size, old.Host); // drawn again: nothing moves
        int expected = slot.End - 1 > _model.Limit ? Status.Invalid
            : _model.Slots.Values.Any(o => o.Id != id && o.Start < slot.End && slot.Start < o.End) ? Status.Exists
            : Status.Ok;
        var request = new SlotRequest
        {
            Id = id,
            GuestAddress = slot.Start,
            Size = slot.Size,
            HostAddress = slot.Host,
            ReadOnly = readOnly,
            LogDirty = log,
            InitiallyDirty = initially,
        };
        Same(Set(request, wantsFinal ? old : null, out HashSet<ulong> final), expected, "slot status");
        if (expected != Status.Ok)
        {
            return $"status {expected}";
        }
        if (keep)
        {
            HashSet<ulong> last = _model.Change(old!, readOnly, log, initially, wantsFinal);
            SamePages(final, last, "final bitmap");
            return $"{(old!.ReadOnly ? "ro" : "rw")} to {(readOnly ? "ro" : "rw")}, log {old.Log is not null} to {log}";
        }
        HashSet<ulong> deleted = old is null ? [] : _model.Delete(old, moves: true);
        SamePages(final, wantsFinal ? deleted : [], "final bitmap");
        _model.Create(slot with { Log = log ? [] : null }, initially);
        return old is null ? "made" : "moved";
    }

    /// <summary>Where segments begin that are looked at; the far ones only where the space is tall.</summary>
    private ulong Base(Operation operation) => s_bases[operation.B % (_model.Limit >> 42 == 0 ? 8 : (uint)s_bases.Length)] << 20;

    private ReferenceSlot Geometry(Operation operation)
    {
        ulong start = Base(operation) + (s_offsets[operation.B / 8 % (uint)s_offsets.Length] << 12);
        ulong size = Math.Min(s_sizes[operation.C % (uint)s_sizes.Length] << 12, ulong.MaxValue - TestSpace.Page + 1 - start); // at most
        ulong host = s_memory.Start + ((operation.C / 16 % 8) << 20);
        host += operation.C / 128 % 4 == 0 ? operation.B / 128 % 32 * TestSpace.Page : start % TestSpace.Segment; // ragged, or leaves fit
        return new ReferenceSlot(0, start, size, host, false);
    }

    private string DeleteSlot(Operation operation)
    {
        uint id = operation.A % 5;
        ReferenceSlot? old = _model.Slots.GetValueOrDefault(id);
        bool wantsFinal = operation.D % 2 == 0;
        int status = Set(new SlotRequest { Id = id }, wantsFinal ? old : null, out HashSet<ulong> final);
        Same(status, old is null ? Status.NoEntry : Status.Ok, "status");
        if (old is null)
        {
            return "none";
        }
        HashSet<ulong> last = _model.Delete(old);
        SamePages(final, wantsFinal ? last : [], "final bitmap");
        return wantsFinal && last.Count > 0 ? "with last bits" : "done";
    }

    /// <summary>Sets a slot; the pages (guest numbers) in the final bitmap of <paramref name="finalOf"/>.</summary>
    private int Set(SlotRequest request, ReferenceSlot? finalOf, out HashSet<ulong> final)
    {
        final = [];
        if (finalOf is null)
        {
            return _test.Space.Changes.Set(request);
        }
        ulong[] bitmap = new ulong[(finalOf.Pages + 63) / 64];
        fixed (ulong* words = bitmap)
        {
            int status = _test.Space.Changes.Set(request with { FinalBitmap = (nint)words, FinalWords = (ulong)bitmap.Length });
            final = GuestPages(bitmap, finalOf.FirstPage);
            return status;
        }
    }

    private string SetLimit(Operation operation)
    {
        ulong limit = s_limits[operation.A % (uint)s_limits.Length];
        int expected = _model.CanLimit(limit) ? Status.Ok : Status.Busy;
        Same(_test.Space.SetLimit(limit), expected, "limit status");
        if (expected == Status.Ok)
        {
            _model.SetLimit(limit);
        }
        return $"status {expected}";
    }

    /// <summary>An address in a slot mostly, near an edge of one often, anywhere sometimes.</summary>
    private ulong Address(Operation operation)
    {
        if (_model.Slots.Count == 0 || operation.A % 16 == 15)
        {
            return Base(operation) + ((ulong)operation.B << 12) + operation.C;
        }
        ReferenceSlot slot = _model.Slots.Values[(int)(operation.A / 16 % (uint)_model.Slots.Count)];
        ulong page = (operation.A % 16) switch
        {
            0 => slot.Pages - 1,
            1 => slot.Pages, // one past the end
            2 => ulong.MaxValue, // one before the start
            < 8 => operation.B % Math.Min(slot.Pages, 6), // few pages, so that they are met again
            _ => operation.B % slot.Pages,
        };
        return slot.Start + (page << 12) + operation.C;
    }

    private ReferenceSlot? Logging(Operation operation)
    {
        ReferenceSlot[] slots = [.. _model.Slots.Values.Where(slot => slot.Log is not null)];
        return slots.Length == 0 ? null : slots[operation.A % (uint)slots.Length];
    }

    private static HashSet<ulong> GuestPages(ulong[] bitmap, ulong first) =>
        [.. TestSpace.PagesOf(bitmap).Select(page => first + (ulong)page)];

    private static void Same<T>(T engine, T model, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(engine, model))
        {
            throw new DifferenceException($"{what}: engine {engine}, model {model}");
        }
    }

    private static void SamePages(HashSet<ulong> engine, HashSet<ulong> model, string what)
    {
        if (!engine.SetEquals(model))
        {
            string lost = string.Join(' ', model.Except(engine).Order().Take(4).Select(page => $"{page:x}"));
            string extra = string.Join(' ', engine.Except(model).Order().Take(4).Select(page => $"{page:x}"));
            throw new DifferenceException($"{what}: {engine.Count} pages, {model.Count} expected; lost: {lost}; too many: {extra}");
        }
    }

    private sealed class DifferenceException(string message) : Exception(message);
}
