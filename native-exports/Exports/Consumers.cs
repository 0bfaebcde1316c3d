using System;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Consumers".</summary>
internal static unsafe class Consumers
{
    public const uint InitiallyDirty = 0x1;

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_open")]
    public static int Open(ulong spaceHandle, uint slot, uint flags, ulong* handle)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, spaceHandle);
            if (space is null || handle is null || (flags & ~InitiallyDirty) != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            ConsumerKind kind = (flags & InitiallyDirty) != 0 ? ConsumerKind.InitiallyDirty : ConsumerKind.Plain;
            int status = Consumer.TryOpen(space, slot, kind, out Consumer? consumer);
            if (status != Status.Ok)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Consumer, consumer!);
            if (added == 0)
            {
                _ = consumer!.Close();
                return Status.NoMemory;
            }
            *handle = added;
            return Status.Ok;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_close")]
    public static int Close(ulong handle)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            int status = consumer is null ? Status.BadHandle : consumer.Close();
            if (status == Status.Ok)
            {
                _ = HandleTable.Remove(HandleKind.Consumer, handle);
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_begin")]
    public static int Begin(ulong handle, uint flags, EpochInfo* info)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            if (consumer is null || (flags & ~(uint)HarvestFlags.NoRearm) != 0)
            {
                return consumer is null ? Status.BadHandle : Status.Invalid;
            }
            uint size = 0;
            int status = info is null ? Status.Ok : SizedStruct.Check(info, out size);
            if (status != Status.Ok)
            {
                return status;
            }
            status = consumer.Begin(rearm: (flags & (uint)HarvestFlags.NoRearm) == 0, out ConsumerEpoch epoch);
            if (status == Status.Ok && info is not null)
            {
                SizedStruct.Write(info, size, new EpochInfo
                {
                    epoch = epoch.Number,
                    dirty_pages = epoch.DirtyPages,
                    slots = epoch.Slots,
                });
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_read_bitmap")]
    public static int ReadBitmap(
        ulong handle, uint slot, ulong firstPage, ulong count, uint flags, ulong* bitmap, nuint words, ulong* dirtyPages)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            if (consumer is null || bitmap is null || (flags & ~(uint)HarvestFlags.Or) != 0)
            {
                return consumer is null ? Status.BadHandle : Status.Invalid;
            }
            bool or = (flags & (uint)HarvestFlags.Or) != 0;
            int status = consumer.ReadBitmap(slot, firstPage, count, or, bitmap, words, out ulong dirty);
            if (status == Status.Ok && dirtyPages is not null)
            {
                *dirtyPages = dirty;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_read_ranges")]
    public static int ReadRanges(ulong handle, uint flags, DirtyRun* ranges, nuint capacity, nuint* count, ulong* resume)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            if (consumer is null || flags != 0 || ranges is null || count is null || resume is null)
            {
                return consumer is null ? Status.BadHandle : Status.Invalid;
            }
            var runs = new DirtyRuns(ranges, capacity);
            int status = consumer.ReadRuns(ref runs, ref *resume);
            if (status == Status.Ok)
            {
                *count = runs.Count;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_commit")]
    public static int Commit(ulong handle)
    {
        try
        {
            return HandleTable.Find<Consumer>(HandleKind.Consumer, handle)?.Commit() ?? Status.BadHandle;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_abort")]
    public static int Abort(ulong handle)
    {
        try
        {
            return HandleTable.Find<Consumer>(HandleKind.Consumer, handle)?.Abort() ?? Status.BadHandle;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_consumer_redirty")]
    public static int Redirty(ulong handle, uint slot, ulong firstPage, ulong count, uint flags, ulong* bitmap)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            if (consumer is null || flags != 0 || bitmap is null)
            {
                return consumer is null ? Status.BadHandle : Status.Invalid;
            }
            return consumer.Redirty(slot, firstPage, count, bitmap);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_export")]
    public static int Export(ulong handle, uint format, uint flags, void* log, ulong bytes, ulong* pages)
    {
        try
        {
            Consumer? consumer = HandleTable.Find<Consumer>(HandleKind.Consumer, handle);
            if (consumer is null || flags != 0 || !DirtyPages.IsLog(format, log, bytes))
            {
                return consumer is null ? Status.BadHandle : Status.Invalid;
            }
            int status = consumer.Export((ulong*)log, bytes / sizeof(ulong), out ulong found);
            if (status == Status.Ok && pages is not null)
            {
                *pages = found;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
