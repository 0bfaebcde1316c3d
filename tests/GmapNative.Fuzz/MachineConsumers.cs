using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

internal sealed class ConsumerState
{
    public required ulong Handle { get; init; }

    public required SpaceState Space { get; init; }

    public required ReferenceConsumer Model { get; init; }
}

/// <summary>Operations: consumers, and harvests into runs.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostConsumers = 5;
    private const uint AllSlots = uint.MaxValue;

    private readonly List<ConsumerState> _consumers = [];

    private ulong ConsumerHandle(out ConsumerState? consumer) => Handle(_consumers, one => one.Handle, out consumer);

    private int OpenConsumer()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        byte how = _code.Byte();
        id = how % 2 == 0 ? AllSlots : id;
        bool initially = how / 2 % 4 == 3;
        uint flags = FlagArgument(initially ? 1u : 0, 1);
        initially = (flags & 1) != 0;
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x} slot {id:x} flags {flags:x}");
        if (_consumers.Count >= MostConsumers)
        {
            return Skipped;
        }
        _expected.If(space is null, Status.BadHandle).If(AnyInside, Status.Deadlock)
            .If(space is not null && id != AllSlots && slot?.Log is null, Status.NoEntry)
            .Maybe(space is { Engine.IsTight: true }, Status.NoMemory);
        int good = !initially && TimesOut(space) ? Status.TimedOut : 0;
        int status = library.ConsumerOpen(handle, id, flags, made);
        if (!Check(status, good) || status != 0)
        {
            That(!IsWritten(made), "a handle was given for a consumer that was not opened");
        }
        if (_expected.IsBad || (status != 0 && status != Status.TimedOut))
        {
            return status;
        }
        ReferenceConsumer opened = space!.Model.Open(id == AllSlots ? null : id, initially);
        if (status != 0)
        {
            space.Model.Close(opened); // the others have got what was marked
            return status;
        }
        var consumer = new ConsumerState { Handle = *made, Space = space, Model = opened };
        _consumers.Add(consumer);
        Born(consumer.Handle, consumer);
        return status;
    }

    private int CloseConsumer()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        Say($"{handle:x}");
        _expected.If(consumer is null, Status.BadHandle).If(AnyInside, Status.Deadlock);
        int status = library.ConsumerClose(handle);
        if (Check(status, 0))
        {
            Closed(consumer!);
        }
        return status;
    }

    private void Closed(ConsumerState consumer)
    {
        consumer.Space.Model.Close(consumer.Model);
        _consumers.Remove(consumer);
        Gone(consumer.Handle);
    }

    private int BeginEpoch()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        bool rearm = _code.Byte() < 210;
        uint flags = FlagArgument(rearm ? 0 : HarvestNoRearm, HarvestNoRearm);
        rearm = (flags & HarvestNoRearm) == 0;
        EpochInfo* info = Output<EpochInfo>(out uint size, mayBeNull: true);
        Say($"{handle:x} flags {flags:x}");
        _expected.If(consumer is null, Status.BadHandle).If(consumer?.Model.InEpoch is not null, Status.Busy)
            .If(AnyInside, Status.Deadlock);
        bool waits = !_expected.IsBad && consumer!.Space.Model.PagesToCome(consumer.Model) != 0;
        int status = library.ConsumerBegin(handle, flags, info);
        bool begun = Check(status, waits && TimesOut(consumer!.Space) ? Status.TimedOut : 0) && status == 0;
        if (!begun)
        {
            Untouched(info, size);
        }
        if (_expected.IsBad)
        {
            return status;
        }
        SpaceState space = consumer!.Space;
        if (!begun)
        {
            space.Model.Collect(consumer.Model, rearm);
            return status;
        }
        int pages = space.Model.Begin(consumer.Model, rearm);
        space.Counts.Epochs++;
        space.Counts.Harvested += pages;
        Feature(pages == 0 ? 0 : 1u, 2);
        if (info is not null)
        {
            EpochInfo seen = Received(info, size);
            (ulong, ulong, ulong) expected = (consumer.Model.Epochs, (ulong)pages, (ulong)consumer.Model.Parts.Count);
            That(size < sizeof(EpochInfo) || (seen.epoch, seen.dirty_pages, seen.slots) == expected, "what began");
        }
        return status;
    }

    /// <summary>A slot of the consumer, mostly, and what it has of it.</summary>
    private ReferencePart? PartOf(ConsumerState? consumer, out uint id)
    {
        byte choice = _code.Byte();
        id = consumer is { Model.Parts.Count: > 0 } && choice < 240
            ? consumer.Model.Parts[choice % consumer.Model.Parts.Count].Id : choice % 7u;
        return consumer?.Model.Find(id);
    }

    private void ExpectPart(ConsumerState? consumer, ReferencePart? part, ulong first, ulong count)
    {
        bool outside = part is not null && (first > part.Pages || count > part.Pages - first);
        _expected.If(consumer is null, Status.BadHandle).If(consumer is not null && part is null, Status.NoEntry)
            .If(outside, Status.Invalid);
    }

    private int ReadEpoch()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        ReferencePart? part = PartOf(consumer, out uint id);
        (ulong first, ulong count) = Part(part?.Pages);
        uint flags = FlagArgument(_code.Byte() < 190 ? 0 : HarvestOr, HarvestOr);
        byte odd = _code.Byte();
        int words = count > 1 << 16 ? 4 : WordsOf(count);
        int given = odd is 250 or 251 && words > 0 ? words - 1 : odd == 252 ? words + 1 : words;
        var bitmap = (ulong*)_words.Take(given * 8, 0x11);
        bitmap = odd == 253 ? null : bitmap;
        ulong* dirty = NumberOut(mayBeNull: true, _second);
        Say($"{handle:x} slot {id} {first}+{count} flags {flags:x} words {given}");
        ExpectPart(consumer, part, first, count);
        _expected.If(bitmap is null || (consumer is not null && consumer.Model.InEpoch is null), Status.Invalid)
            .If(given < words || count > 1 << 16, Status.NoBuffer);
        int status = library.ConsumerReadBitmap(handle, id, first, count, flags, bitmap, (nuint)given, dirty);
        if (!Check(status, 0))
        {
            That(bitmap is null || !new ReadOnlySpan<byte>(bitmap, given * 8).ContainsAnyExcept((byte)0x11), "bits with an error");
            return status;
        }
        ulong begin = part!.FirstPage + first;
        HashSet<ulong> model = [.. part.Epoch.Where(page => page >= begin && page - begin < count)];
        Same(dirty is null ? (ulong)model.Count : *dirty, (ulong)model.Count, "dirty pages of an epoch");
        for (int i = 0; (flags & HarvestOr) != 0 && i < words * 64; i++)
        {
            _ = (0x1111111111111111UL >> (i % 64) & 1) != 0 && model.Add(begin + (ulong)i); // what was in the buffer
        }
        SamePages(PagesOf(new(bitmap, words), begin), model, "epoch");
        return status;
    }

    /// <summary>To the end, through a small array; or one call with something wrong.</summary>
    private int ReadEpochRanges()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        uint flags = FlagArgument(0, 0);
        int capacity = 1 + (_code.Byte() % 9);
        var ranges = (DirtyRun*)_data.Take(capacity * sizeof(DirtyRun), Canary);
        ranges = _code.Byte() == 255 ? null : ranges;
        nuint* n = (nuint*)NumberOut(mayBeNull: false);
        ulong* resume = NumberOut(mayBeNull: false, _second);
        Say($"{handle:x} flags {flags:x} capacity {capacity}");
        _expected.If(consumer is null, Status.BadHandle)
            .If(ranges is null || (consumer is not null && consumer.Model.InEpoch is null), Status.Invalid);
        List<string> read = [];
        int status;
        if (resume is not null)
        {
            *resume = 0;
        }
        do
        {
            status = library.ConsumerReadRanges(handle, flags, ranges, (nuint)capacity, n, resume);
            if (!Check(status, 0))
            {
                return status;
            }
            That((int)*n == capacity || *resume == ulong.MaxValue, "a short array that is not the end");
            for (nuint i = 0; i < *n; i++)
            {
                read.Add($"{ranges[i].Slot}/{ranges[i].Flags}:{ranges[i].FirstPage}+{ranges[i].Count}");
            }
        }
        while (*resume != ulong.MaxValue);
        IEnumerable<string> model = consumer!.Model.Epoch.SelectMany(
            part => ReferencePart.RunsOf(part.Epoch.Select(page => page - part.FirstPage))
                .Select(run => $"{part.Id}/{(part.IsGone ? 1 : 0)}:{run.First}+{run.Count}"));
        Same(string.Join(' ', read.Order()), string.Join(' ', model.Order()), "runs of an epoch");
        return status;
    }

    private int EndEpoch(bool commits)
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        Say($"{handle:x}");
        _expected.If(consumer is null, Status.BadHandle).If(consumer is not null && consumer.Model.InEpoch is null, Status.Invalid);
        int status = commits ? library.ConsumerCommit(handle) : library.ConsumerAbort(handle);
        if (Check(status, 0) && commits)
        {
            consumer!.Model.Commit();
        }
        else if (status == 0)
        {
            consumer!.Model.Abort();
        }
        return status;
    }

    private int Redirty()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        ReferencePart? part = PartOf(consumer, out uint id);
        (ulong first, ulong count) = Part(part?.Pages);
        uint flags = FlagArgument(0, 0);
        bool isNull = _code.Byte() >= 250;
        ulong* bitmap = Bits(count, isNull);
        Say($"{handle:x} slot {id} {first}+{count}");
        ExpectPart(consumer, part, first, count);
        _expected.If(isNull, Status.Invalid);
        int status = library.ConsumerRedirty(handle, id, first, count, flags, bitmap);
        if (Check(status, 0))
        {
            ulong begin = part!.FirstPage + first;
            part.Log.UnionWith(PagesOf(new(bitmap, WordsOf(count)), begin).Where(page => page - begin < count));
        }
        return status;
    }

    private int DirtyHarvestRanges()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        (ulong first, ulong count) = Part(slot);
        uint flags = FlagArgument(_code.Byte() < 210 ? 0 : HarvestNoRearm, HarvestNoRearm);
        bool rearm = (flags & HarvestNoRearm) == 0;
        int capacity = 1 + (_code.Byte() % 9);
        var ranges = (DirtyRun*)_data.Take(capacity * sizeof(DirtyRun), Canary);
        ranges = _code.Byte() == 255 ? null : ranges;
        nuint* n = (nuint*)NumberOut(mayBeNull: false);
        ulong* next = NumberOut(mayBeNull: false, _second);
        Say($"{handle:x} slot {id} {first}+{count} flags {flags:x} capacity {capacity}");
        ExpectRange(space, slot, first, count);
        _expected.If(ranges is null, Status.Invalid).If(AnyInside, Status.Deadlock);
        HashSet<ulong> expected = _expected.IsBad ? [] : space!.Model.Get(slot!, slot!.FirstPage + first, count);
        int good = expected.Count != 0 && TimesOut(space) ? Status.TimedOut : 0;
        int status = library.DirtyHarvestRanges(handle, id, first, count, flags, ranges, (nuint)capacity, n, next);
        bool delivered = Check(status, good) && status == 0;
        if (_expected.IsBad)
        {
            return status;
        }
        space!.Counts.Harvests++;
        if (!delivered)
        {
            That(!IsWritten((ulong*)n), "runs with an error");
            space.Model.HarvestUpTo(slot!, slot!.FirstPage + first, count, rearm, 0); // waits in the epoch
            return status;
        }
        ulong begin = slot!.FirstPage;
        HashSet<ulong> model = space.Model.HarvestUpTo(slot, begin + first, count, rearm, begin + *next);
        space.Counts.Harvested += model.Count;
        That((int)*n == capacity || *next == first + count, "a short array that is not the end");
        var runs = ReferencePart.RunsOf(model.Select(page => page - begin));
        Same((int)*n, runs.Count, "runs");
        for (int i = 0; i < runs.Count; i++)
        {
            Same((ranges[i].FirstPage, ranges[i].Count, ranges[i].Slot, ranges[i].Flags), (runs[i].First, runs[i].Count, id, 0u), "a run");
        }
        return status;
    }
}
