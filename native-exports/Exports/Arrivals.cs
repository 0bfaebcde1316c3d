using System;
using System.Runtime.InteropServices;
using GmapNative.Backing;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Backings": pages that come later.</summary>
internal static unsafe class Arrivals
{
    private const uint Again = 1;

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_provide")]
    public static int Provide(ulong handle, ulong address, void* data, ulong size)
    {
        try
        {
            int status = Find(handle, out MissingPages? missing, out _);
            return status == Status.Ok ? missing!.Provide(address, (byte*)data, size) : status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_wanted")]
    public static int TakeWanted(ulong handle, ulong timeout, uint flags, ulong* addresses, ulong capacity, ulong* count)
    {
        try
        {
            int status = Find(handle, out MissingPages? missing, out AddressSpace? space);
            status = status != Status.Ok ? status
                : addresses is null || capacity == 0 || count is null || (flags & ~Again) != 0 ? Status.Invalid
                : space!.Epochs.IsCallerInside() ? Status.Deadlock : status;
            if (status != Status.Ok)
            {
                return status;
            }
            // The caller's array of capacity elements.
            var into = new Span<ulong>(addresses, (int)Math.Min(capacity, int.MaxValue));
            status = missing!.TakeWanted(timeout, (flags & Again) != 0, into, out int taken);
            *count = (ulong)taken;
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_wait")]
    public static int Wait(ulong handle, ulong address, ulong timeout)
    {
        try
        {
            int status = Find(handle, out MissingPages? missing, out AddressSpace? space);
            return status != Status.Ok ? status
                : space!.Epochs.IsCallerInside() ? Status.Deadlock
                : missing!.Wait(address, timeout);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_missing")]
    public static int Look(ulong handle, ulong first, ulong pages, ulong* bitmap, ulong* count)
    {
        try
        {
            int status = Find(handle, out MissingPages? missing, out _);
            ulong left = 0;
            status = status == Status.Ok ? missing!.Look(first, pages, bitmap, out left) : status;
            if (status == Status.Ok && count is not null)
            {
                *count = left;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    /// <summary>A handle of a backing whose pages come; a status.</summary>
    private static int Find(ulong handle, out MissingPages? missing, out AddressSpace? space)
    {
        Backings.Attached? attached = HandleTable.Find<Backings.Attached>(HandleKind.Backing, handle);
        missing = attached?.Missing;
        space = attached?.Space;
        return attached is null ? Status.BadHandle : missing is null ? Status.Invalid : Status.Ok;
    }
}
