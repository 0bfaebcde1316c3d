using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "PGSTEs".</summary>
internal static unsafe class PageStatus
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_pgste_get")]
    public static int Get(ulong handle, ulong address, ulong* pgste)
    {
        using Call call = Call.Enter(handle);
        if (call.Space is null || pgste is null)
        {
            return call.Space is null ? Status.BadHandle : Status.Invalid;
        }
        int status = Pgstes.Get(call.Space, address, out ulong found);
        if (status == Status.Ok)
        {
            *pgste = found;
        }
        return status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_pgste_update")]
    public static int Update(ulong handle, ulong address, ulong mask, ulong value, ulong* before)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = Pgstes.Update(space, address, mask, value, out ulong found);
            if (status == Status.Ok && before is not null)
            {
                *before = found;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
