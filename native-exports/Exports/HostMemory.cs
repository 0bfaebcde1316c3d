using System.Runtime.InteropServices;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Faults and host access": reads, writes, marks.</summary>
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
        for (; ; )
        {
            Call call = Call.Enter(handle); // ended by hand: before notifiers are told (rule 30)
            AddressSpace? space = call.Space;
            ulong asks = 0;
            int status = space is null ? Status.BadHandle
                : data is null && size != 0 ? Status.Invalid
                : space.Host.Write(address, (byte*)data, size, out asks, call.Section);
            call.Dispose();
            if (status != FaultResolver.Watched)
            {
                return status;
            }
            status = space!.Watches.SettleWrite(asks, byHost: true);
            if (status != Status.Ok)
            {
                return status;
            }
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty")]
    public static int Mark(ulong handle, ulong address, ulong size)
    {
        Call call = Call.Enter(handle); // ended by hand: nothing throws, and a frame for it costs as much as the mark
        int status = call.Space is null ? Status.BadHandle
            : size != 0 && address + size - 1 < address ? Status.Invalid
            : call.Space.Host.MarkRange(address, size, call.Section);
        call.Dispose();
        return status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty_bitmap")]
    public static int MarkBitmap(ulong handle, uint slot, ulong firstPage, ulong count, ulong* bitmap)
    {
        using Call call = Call.Enter(handle);
        return call.Space is null ? Status.BadHandle
            : bitmap is null ? Status.Invalid
            : call.Space.Host.MarkBitmap(slot, firstPage, count, bitmap, call.Section);
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_mark_dirty_batch")]
    public static int MarkBatch(ulong handle, ulong* addresses, nuint count)
    {
        using Call call = Call.Enter(handle);
        if (call.Space is null || (addresses is null && count != 0))
        {
            return call.Space is null ? Status.BadHandle : Status.Invalid;
        }
        call.Space.Host.MarkBatch(addresses, count, call.Section);
        return Status.Ok;
    }
}
