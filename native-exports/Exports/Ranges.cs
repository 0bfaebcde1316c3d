using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Faults and host access": what a host does to whole ranges.</summary>
internal static unsafe class Ranges
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_unmap")]
    public static int Unmap(ulong handle, ulong address, ulong size, uint flags, ulong* next) =>
        Run(handle, address, size, flags, next, &RangeCalls.Unmap);

    [UnmanagedCallersOnly(EntryPoint = "gmap_discard")]
    public static int Discard(ulong handle, ulong address, ulong size, uint flags, ulong* next) =>
        Run(handle, address, size, flags, next, &RangeCalls.Discard);

    [UnmanagedCallersOnly(EntryPoint = "gmap_split")]
    public static int Split(ulong handle, ulong address, ulong size, uint flags, ulong* next) =>
        Run(handle, address, size, flags, next, &RangeCalls.Split);

    [UnmanagedCallersOnly(EntryPoint = "gmap_collapse")]
    public static int Collapse(ulong handle, ulong address, ulong size, uint flags, ulong* collapsed) =>
        Run(handle, address, size, flags, collapsed, &RangeCalls.Collapse);

    [UnmanagedCallersOnly(EntryPoint = "gmap_age")]
    public static int Age(ulong handle, ulong address, ulong size, uint flags, ulong* young) =>
        Run(handle, address, size, flags, young, &RangeCalls.Age);

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

    /// <summary>One of them; <paramref name="number"/> may be null and receives what it is about: where to go on, or how many.</summary>
    private static int Run(
        ulong handle,
        ulong address,
        ulong size,
        uint flags,
        ulong* number,
        delegate*<AddressSpace, ulong, ulong, out ulong, int> call)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = call(space, address, size, out ulong result);
            if (number is not null)
            {
                *number = result;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
