using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Shadow;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Nested guests".</summary>
internal static unsafe class Shadows
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_shadow_open")]
    public static int Open(ulong spaceHandle, ulong asce, uint edat, ulong* handle)
    {
        try
        {
            AddressSpace? space = HandleTable.FindAnySpace(spaceHandle);
            if (space is null || handle is null)
            {
                return space is null ? Status.BadHandle : Status.Invalid;
            }
            int status = ShadowFamily.Open(space, asce, edat, out ShadowSpace? shadow);
            if (status != Status.Ok)
            {
                return status;
            }
            lock (shadow!)
            {
                shadow.Handle = shadow.Handle != 0 ? shadow.Handle : HandleTable.Add(HandleKind.Shadow, shadow.Space);
                *handle = shadow.Handle;
                if (shadow.Handle == 0)
                {
                    _ = shadow.Family.Close(shadow); // it has no vcpus: nobody has a handle
                    return Status.NoMemory;
                }
                return Status.Ok;
            }
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_shadow_is_valid")]
    public static int IsValid(ulong handle, ulong asce, uint edat)
    {
        ShadowSpace? shadow = Find(handle);
        if (shadow is null || edat > (uint)EdatLevel.Two)
        {
            return shadow is null ? Status.BadHandle : Status.Invalid;
        }
        bool same = shadow.Asce.Significant == new GuestAsce(asce).Significant && shadow.Edat == (EdatLevel)edat;
        return same ? Status.Ok : Status.TryAgain;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_shadow_close")]
    public static int Close(ulong handle)
    {
        try
        {
            ShadowSpace? shadow = Find(handle);
            if (shadow is null)
            {
                return Status.BadHandle;
            }
            lock (shadow)
            {
                int status = shadow.Handle == handle ? shadow.Family.Close(shadow) : Status.BadHandle;
                if (status == Status.Ok && shadow.Opened == 0)
                {
                    _ = HandleTable.Remove(HandleKind.Shadow, handle);
                    shadow.Handle = 0;
                }
                return status;
            }
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    private static ShadowSpace? Find(ulong handle) =>
        HandleTable.Find<AddressSpace>(HandleKind.Shadow, handle)?.Shadow as ShadowSpace;
}
