using System;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Dirty pages".</summary>
internal static unsafe class DirtyPages
{
    private const uint VhostLogFormat = 1;
    private const uint AnyHarvestFlag = (uint)(HarvestFlags.Or | HarvestFlags.NoRearm);

    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_get")]
    public static int Get(ulong handle, uint slot, ulong firstPage, ulong count, uint flags, ulong* bitmap, ulong* dirtyPages)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = Harvester.Get(space, slot, firstPage, count, bitmap, out ulong dirty);
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

    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_clear")]
    public static int Clear(ulong handle, uint slot, ulong firstPage, ulong count, uint flags, ulong* bitmap)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0 || bitmap is null)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            return Harvester.Clear(space, slot, firstPage, count, bitmap);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_harvest_ranges")]
    public static int HarvestRanges(
        ulong handle, uint slot, ulong firstPage, ulong count, uint flags, DirtyRun* ranges, nuint capacity, nuint* found, ulong* next)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            bool valid = ranges is not null && found is not null && next is not null && (flags & ~(uint)HarvestFlags.NoRearm) == 0;
            if (space is null || !valid)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            var runs = new DirtyRuns(ranges, capacity);
            int status = Harvester.HarvestRuns(space, slot, firstPage, count, (HarvestFlags)flags, ref runs, out ulong reached);
            if (status == Status.Ok)
            {
                *found = runs.Count;
                *next = reached;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_harvest")]
    public static int Harvest(
        ulong handle, uint slot, ulong firstPage, ulong count, uint flags, ulong* bitmap, nuint words, ulong* dirtyPages)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || bitmap is null || (flags & ~AnyHarvestFlag) != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = Harvester.Harvest(
                space, slot, firstPage, count, (HarvestFlags)flags, bitmap, words, out ulong dirty);
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

    /// <summary>In sections of its own, one for each part of the log: a harvest waits for a part, not for all of it.</summary>
    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_drain")]
    public static int Drain(ulong handle, uint format, uint flags, void* log, ulong bytes, ulong* pages)
    {
        bool valid = flags == 0 && IsLog(format, log, bytes);
        ulong words = bytes / sizeof(ulong);
        ulong found = 0;
        int status;
        ulong at = 0;
        do
        {
            using Call call = Call.Enter(handle);
            status = call.Space is null ? Status.BadHandle : valid ? Status.Ok : Status.Invalid;
            if (status == Status.Ok)
            {
                // The caller's log of so many words.
                found += VhostLog.Drain(call.Space!, (ulong*)log + at, Math.Min(VhostLog.SectionWords, words - at), at * 64);
            }
            at += VhostLog.SectionWords;
        }
        while (status == Status.Ok && at < words);
        if (status == Status.Ok && pages is not null)
        {
            *pages = found;
        }
        return status;
    }

    /// <summary>Whether a log is of a known format, aligned, whole words, and does not wrap.</summary>
    public static bool IsLog(uint format, void* log, ulong bytes) =>
        format == VhostLogFormat && log is not null && (((ulong)log | bytes) & 7) == 0 && (ulong)log + bytes >= (ulong)log;
}
