using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Faults and host access": reads, writes, marks, ranges.</summary>
internal static unsafe class HostMemory
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_read")]
    public static int Read(ulong handle, ulong address, void* data, nuint size)
    {
        using Call call = Call.Enter(handle);
        return call.Space is null ? Status.BadHandle
            : data is null && size != 0 ? Status.Invalid
            : call.Space.Host.Read(address, (byte*)data, size);
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_write")]
    public static int Write(ulong handle, ulong address, void* data, nuint size)
    {
        using Call call = Call.Enter(handle);
        return call.Space is null ? Status.BadHandle
            : data is null && size != 0 ? Status.Invalid
            : call.Space.Host.Write(address, (byte*)data, size);
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty")]
    public static int Mark(ulong handle, ulong address, ulong size)
    {
        using Call call = Call.Enter(handle);
        return call.Space is null ? Status.BadHandle
            : size != 0 && address + size - 1 < address ? Status.Invalid
            : call.Space.Host.MarkRange(address, size);
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty_bitmap")]
    public static int MarkBitmap(ulong handle, uint slot, ulong firstPage, ulong count, ulong* bitmap)
    {
        using Call call = Call.Enter(handle);
        return call.Space is null ? Status.BadHandle
            : bitmap is null ? Status.Invalid
            : call.Space.Host.MarkBitmap(slot, firstPage, count, bitmap);
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty_batch")]
    public static int MarkBatch(ulong handle, ulong* addresses, nuint count)
    {
        using Call call = Call.Enter(handle);
        if (call.Space is null || (addresses is null && count != 0))
        {
            return call.Space is null ? Status.BadHandle : Status.Invalid;
        }
        call.Space.Host.MarkBatch(addresses, count);
        return Status.Ok;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_unmap")]
    public static int Unmap(ulong handle, ulong address, ulong size, uint flags, ulong* next)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = RangeCalls.Unmap(space, address, size, out ulong reached);
            if (next is not null)
            {
                *next = reached;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_populate")]
    public static int Populate(ulong handle, ulong address, ulong size, uint access, uint flags, ulong* next)
    {
        AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
        if (space is null || flags != 0 || !Faults.IsAccess(access))
        {
            return space is null ? Status.BadHandle : Status.Invalid;
        }
        int status = RangeCalls.Populate(space, address, size, (Access)access, out ulong reached);
        if (next is not null)
        {
            *next = reached;
        }
        return status;
    }
}
