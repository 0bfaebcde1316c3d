using System;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Snapshots".</summary>
internal static unsafe class Snapshots
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_snapshot_take")]
    public static int Take(ulong spaceHandle, SnapshotConfig* config, ulong* handle)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, spaceHandle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            SnapshotConfig given = default;
            int status = config is null ? Status.Ok : SizedStruct.Read(config, out given);
            if (status != Status.Ok || handle is null || given.flags != 0 || given.reserved != 0)
            {
                return status != Status.Ok ? status : Status.Invalid;
            }
            status = Snapshot.TryTake(space, out Snapshot? snapshot);
            if (status != Status.Ok)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Snapshot, snapshot!);
            if (added == 0)
            {
                _ = snapshot!.Free();
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

    [UnmanagedCallersOnly(EntryPoint = "gmap_snapshot_restore")]
    public static int Restore(ulong handle, ulong* pages)
    {
        try
        {
            Snapshot? snapshot = HandleTable.Find<Snapshot>(HandleKind.Snapshot, handle);
            ulong restored = 0;
            int status = snapshot is null ? Status.BadHandle : snapshot.Restore(out restored);
            if (status == Status.Ok && pages is not null)
            {
                *pages = restored;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_snapshot_verify")]
    public static int Verify(ulong handle, ulong* wrong)
    {
        try
        {
            Snapshot? snapshot = HandleTable.Find<Snapshot>(HandleKind.Snapshot, handle);
            if (snapshot is null || wrong is null)
            {
                return snapshot is null ? Status.BadHandle : Status.Invalid;
            }
            int status = snapshot.Verify(out ulong found);
            if (status == Status.Ok)
            {
                *wrong = found;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_snapshot_free")]
    public static int Free(ulong handle)
    {
        try
        {
            Snapshot? snapshot = HandleTable.Find<Snapshot>(HandleKind.Snapshot, handle);
            int status = snapshot is null ? Status.BadHandle : snapshot.Free();
            if (status == Status.Ok)
            {
                _ = HandleTable.Remove(HandleKind.Snapshot, handle);
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }
}
