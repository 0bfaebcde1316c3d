using System;
using System.Runtime.InteropServices;
using GmapNative.Backing;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Backings".</summary>
internal static unsafe class Backings
{
    public const uint UserfaultfdAsync = 1;

    /// <summary>What a backing handle stands for.</summary>
    private sealed record Attached(AddressSpace Space, AsyncBacking Backing);

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_attach")]
    public static int Attach(ulong spaceHandle, uint slot, BackingConfig* config, ulong* handle)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, spaceHandle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(config, out BackingConfig given);
            if (status != Status.Ok)
            {
                return status;
            }
            if (handle is null || given.flags != 0 || given.reserved != 0 || given.kind != UserfaultfdAsync)
            {
                return Status.Invalid;
            }
            status = BackingCalls.Attach(space, slot, out AsyncBacking? backing);
            if (backing is null)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Backing, new Attached(space, backing));
            if (added == 0)
            {
                _ = BackingCalls.Detach(space, backing);
                return Status.NoMemory;
            }
            *handle = added;
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_fd")]
    public static int GetDescriptor(ulong handle, int* descriptor)
    {
        Attached? attached = HandleTable.Find<Attached>(HandleKind.Backing, handle);
        if (attached is null || descriptor is null)
        {
            return attached is null ? Status.BadHandle : Status.Invalid;
        }
        int open = attached.Backing.Descriptor;
        if (open < 0)
        {
            return Status.BadHandle; // its slot is gone, and took it along
        }
        *descriptor = open;
        return Status.Ok;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_detach")]
    public static int Detach(ulong handle)
    {
        try
        {
            Attached? attached = HandleTable.Find<Attached>(HandleKind.Backing, handle);
            if (attached is null)
            {
                return Status.BadHandle;
            }
            int status = BackingCalls.Detach(attached.Space, attached.Backing);
            if (attached.Backing.Descriptor < 0)
            {
                _ = HandleTable.Remove(HandleKind.Backing, handle);
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
