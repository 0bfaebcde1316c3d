using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Notify;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Protection and notifiers".</summary>
internal static unsafe class Notifiers
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_protect")]
    public static int Protect(ulong handle, ulong address, ulong size, uint protection, uint notify)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            return space is null
                ? Status.BadHandle
                : RangeProtector.Protect(space, address, size, (Protection)protection, (NotifyFlags)notify);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_notifier_register")]
    public static int Register(ulong spaceHandle, NotifierConfig* config, ulong* handle)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, spaceHandle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(config, out NotifierConfig given);
            if (status != Status.Ok)
            {
                return status;
            }
            if (handle is null || given.flags != 0 || given.reserved != 0 || given.callback is null
                || (given.kinds & ~(uint)Notifier.AllKinds) != 0)
            {
                return Status.Invalid;
            }
            delegate* unmanaged<void*, ulong, ulong, ulong, uint, void> callback = given.callback;
            nint user = (nint)given.user;
            status = Notifier.TryRegister(
                space,
                (NotifyFlags)given.kinds,
                (first, last, kind) => callback((void*)user, spaceHandle, first, last, (uint)kind),
                out Notifier? notifier);
            if (status != Status.Ok)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Notifier, notifier!);
            if (added == 0)
            {
                _ = notifier!.Unregister();
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

    [UnmanagedCallersOnly(EntryPoint = "gmap_notifier_unregister")]
    public static int Unregister(ulong handle)
    {
        try
        {
            Notifier? notifier = HandleTable.Find<Notifier>(HandleKind.Notifier, handle);
            int status = notifier is null ? Status.BadHandle : notifier.Unregister();
            if (status == Status.Ok)
            {
                _ = HandleTable.Remove(HandleKind.Notifier, handle);
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
