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
        Unmap(handle, address, size, flags, discard: false, next);

    [UnmanagedCallersOnly(EntryPoint = "gmap_discard")]
    public static int Discard(ulong handle, ulong address, ulong size, uint flags, ulong* next) =>
        Unmap(handle, address, size, flags, discard: true, next);

    [UnmanagedCallersOnly(EntryPoint = "gmap_split")]
    public static int Split(ulong handle, ulong address, ulong size, uint flags, ulong* next)
    {
        AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
        if (space is null || flags != 0)
        {
            return space is null ? Status.BadHandle : Status.Invalid;
        }
        int status = RangeCalls.Split(space, address, size, out ulong reached);
        if (next is not null)
        {
            *next = reached;
        }
        return status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_collapse")]
    public static int Collapse(ulong handle, ulong address, ulong size, uint flags, ulong* collapsed)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = RangeCalls.Collapse(space, address, size, out ulong done);
            if (collapsed is not null)
            {
                *collapsed = done;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_age")]
    public static int Age(ulong handle, ulong address, ulong size, uint flags, ulong* young)
    {
        AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
        if (space is null || flags != 0)
        {
            return space is null ? Status.BadHandle : Status.Invalid;
        }
        int status = RangeCalls.Age(space, address, size, out ulong used);
        if (young is not null)
        {
            *young = used;
        }
        return status;
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

    private static int Unmap(ulong handle, ulong address, ulong size, uint flags, bool discard, ulong* next)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null || flags != 0)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = discard
                ? RangeCalls.Discard(space, address, size, out ulong reached)
                : RangeCalls.Unmap(space, address, size, out reached);
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
}
