using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Threads".</summary>
internal static unsafe class Vcpus
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_vcpu_open")]
    public static int Open(ulong spaceHandle, VcpuConfig* config, ulong* handle, ViewWords** view)
    {
        try
        {
            AddressSpace? space = HandleTable.FindAnySpace(spaceHandle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(config, out VcpuConfig given);
            if (status != Status.Ok)
            {
                return status;
            }
            return handle is null || given.flags != 0 || given.reserved != 0
                ? Status.Invalid
                : Open(space, given.inline_version, handle, view);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_vcpu_close")]
    public static int Close(ulong handle)
    {
        try
        {
            Vcpu? vcpu = HandleTable.Find<Vcpu>(HandleKind.Vcpu, handle);
            if (vcpu is null || !HandleTable.Remove(HandleKind.Vcpu, handle))
            {
                return Status.BadHandle;
            }
            vcpu.View.Close(vcpu.Space.Engine.ClosedSpace);
            vcpu.Space.Epochs.Unregister(vcpu.View);
            vcpu.Space.Counters.GiveBack(vcpu.Counters);
            return Status.Ok;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    private static int Open(AddressSpace space, uint inlineVersion, ulong* handle, ViewWords** view)
    {
        if (space.Epochs.IsCallerInside())
        {
            return Status.Deadlock; // who holds the configuration lock may be waiting for the caller to leave
        }
        using (space.Configuration.Hold())
        {
            if (space.IsDead)
            {
                return Status.BadHandle;
            }
            nint words = space.Engine.Control.TryAllocate();
            if (words == 0)
            {
                return Status.NoMemory;
            }
            // The view needs its handle and the handle its object: the object is made first, the words filled after.
            var opened = new View(words, space.Words, inlineVersion, space.Engine.ClosedSpace)
            {
                MarksDenseBits = space.Options.ByGeneration,
            };
            OwnCounters counters = space.Counters.Rent();
            ulong added = HandleTable.Add(HandleKind.Vcpu, new Vcpu(space, opened, StaysInside: view is not null, counters));
            if (added == 0)
            {
                space.Counters.GiveBack(counters);
                space.Engine.Control.Free(words);
                return Status.NoMemory;
            }
            opened.Vcpu = added;
            space.Epochs.Register(opened);
            *handle = added;
            if (view is not null)
            {
                *view = (ViewWords*)words;
            }
            return Status.Ok;
        }
    }
}
