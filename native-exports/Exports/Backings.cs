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
    public const uint UserfaultfdSync = 2;
    private const uint Missing = 3;
    private const uint UserfaultfdMissing = 4;
    private const uint OwnDescriptor = 1;
    private const uint Tells = 2;

    /// <summary>What a backing handle stands for: one of both.</summary>
    internal sealed record Attached(AddressSpace Space, ISlotBacking? Backing, MissingPages? Missing)
    {
        public int Descriptor => Backing?.Descriptor ?? Missing!.Descriptor;

        public int Detach() => Backing is not null ? BackingCalls.Detach(Space, Backing) : MissingCalls.Detach(Space, Missing!);
    }

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
            if (handle is null)
            {
                return Status.Invalid;
            }
            status = Attach(space, slot, given, out Attached? attached);
            if (attached is null)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Backing, attached);
            if (added == 0)
            {
                _ = attached.Detach();
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
        int open = attached.Descriptor;
        if (open < 0)
        {
            return Status.BadHandle; // its slot is gone, and took it along
        }
        *descriptor = open;
        return Status.Ok;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_service")]
    public static int Serve(ulong handle, ulong timeout, uint* served)
    {
        try
        {
            if (HandleTable.Find<Attached>(HandleKind.Backing, handle) is not { } attached)
            {
                return Status.BadHandle;
            }
            uint count = 0;
            int status = attached.Backing is SyncBacking backing ? backing.Serve(timeout, out count) : Status.Invalid;
            if (served is not null)
            {
                *served = count;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_backing_fault")]
    public static int Resolve(ulong handle, ulong hostAddress)
    {
        try
        {
            if (HandleTable.Find<Attached>(HandleKind.Backing, handle) is not { } attached)
            {
                return Status.BadHandle;
            }
            return attached.Backing is SyncBacking backing ? backing.Answer(hostAddress) : Status.Invalid;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
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
            int status = attached.Detach();
            if (attached.Descriptor < 0)
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

    private static int Attach(AddressSpace space, uint slot, in BackingConfig given, out Attached? attached)
    {
        attached = null;
        int status = Status.Invalid;
        if (given.kind is Missing or UserfaultfdMissing)
        {
            bool valid = given.flags == 0 && given.userfaultfd == 0 && (given.missing is not null || given.missing_words == 0);
            MissingPages? missing = null;
            status = valid
                ? MissingCalls.Attach(space, slot, given.kind == UserfaultfdMissing, given.missing, given.missing_words, out missing)
                : status;
            attached = missing is null ? null : new Attached(space, null, missing);
        }
        else if (TryRead(given, out BackingRequest request))
        {
            status = BackingCalls.Attach(space, slot, request, out ISlotBacking? backing);
            attached = backing is null ? null : new Attached(space, backing, null);
        }
        return status;
    }

    private static bool TryRead(in BackingConfig given, out BackingRequest request)
    {
        bool own = (given.flags & OwnDescriptor) != 0;
        bool synchronous = given.kind == UserfaultfdSync;
        request = new BackingRequest(synchronous, own ? given.userfaultfd : -1, (given.flags & Tells) != 0);
        bool all = given.missing is null && given.missing_words == 0;
        return all && (synchronous
            ? (given.flags & ~(OwnDescriptor | Tells)) == 0 && (own ? given.userfaultfd >= 0 : given.userfaultfd == 0)
            : given.kind == UserfaultfdAsync && given.flags == 0 && given.userfaultfd == 0);
    }
}
