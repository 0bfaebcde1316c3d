using System;
using System.Runtime.InteropServices;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Space".</summary>
internal static unsafe class Spaces
{
    public const uint SlotReadOnly = 0x1;
    public const uint SlotLogDirty = 0x2;
    public const uint SlotInitiallyDirty = 0x4;
    public const uint TableFormatPgste = 1;
    public const uint HugeNone = 1;
    public const uint HugeLargest = 2;
    public const uint DirtyGlobal = 1;
    public const uint TrackGeneration = 1;

    [UnmanagedCallersOnly(EntryPoint = "gmap_space_create")]
    public static int Create(ulong engineHandle, SpaceConfig* config, ulong* handle)
    {
        try
        {
            Engine? engine = HandleTable.Find<Engine>(HandleKind.Engine, engineHandle);
            if (engine is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(config, out SpaceConfig given);
            status = status != Status.Ok ? status : Check(given);
            if (status != Status.Ok || handle is null)
            {
                return status != Status.Ok ? status : Status.Invalid;
            }
            var options = new SpaceOptions
            {
                Limit = given.limit,
                Policy = (SplitPolicy)given.split_policy,
                Huge = given.huge != HugeNone,
                Huge2G = given.huge == HugeLargest,
                ByGeneration = given.tracking == TrackGeneration,
                Pgstes = given.table_format == TableFormatPgste,
                GlobalDirty = given.dirty_scope == DirtyGlobal,
                MostShadows = given.max_shadows != 0 ? (int)Math.Min(given.max_shadows, int.MaxValue) : SpaceOptions.UsualShadows,
                ShadowBytes = given.shadow_bytes != 0 ? given.shadow_bytes : engine.Arena.Limit / 4,
            };
            status = AddressSpace.TryCreate(engine, options, out AddressSpace? space);
            if (status != Status.Ok)
            {
                return status;
            }
            ulong added = HandleTable.Add(HandleKind.Space, space!);
            if (added == 0)
            {
                _ = space!.TryDestroy();
                return Status.NoMemory;
            }
            *handle = added;
            engine.ReportLockRefusal();
            return Status.Ok;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_space_destroy")]
    public static int Destroy(ulong handle)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            int status = space is null ? Status.BadHandle : space.TryDestroy();
            if (status == Status.Ok)
            {
                _ = HandleTable.Remove(HandleKind.Space, handle);
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_space_set_limit")]
    public static int SetLimit(ulong handle, ulong limit)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            return space is null ? Status.BadHandle : space.SetLimit(limit);
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_space_get_asce")]
    public static int GetAsce(ulong handle, ulong* asce)
    {
        using Call call = Call.EnterAny(handle);
        if (call.Space is null || asce is null)
        {
            return call.Space is null ? Status.BadHandle : Status.Invalid;
        }
        *asce = call.Space.Tree.Asce.Value;
        return Status.Ok;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_space_get_stats")]
    public static int GetStats(ulong handle, SpaceStats* stats)
    {
        using Call call = Call.EnterAny(handle);
        if (call.Space is null)
        {
            return Status.BadHandle;
        }
        int status = SizedStruct.Check(stats, out uint size);
        if (status == Status.Ok)
        {
            SizedStruct.Write(stats, size, SpaceReport.Of(call.Space));
        }
        return status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_slot_set")]
    public static int SetSlot(ulong handle, SlotConfig* slot)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(slot, out SlotConfig given);
            if (status != Status.Ok)
            {
                return status;
            }
            bool known = (given.flags & ~(SlotReadOnly | SlotLogDirty | SlotInitiallyDirty)) == 0;
            if (!known || given.reserved != 0 || given.id == Dirty.Consumer.AllSlots)
            {
                return Status.Invalid;
            }
            return space.Changes.Set(new SlotRequest
            {
                Id = given.id,
                GuestAddress = given.guest_addr,
                Size = given.size,
                HostAddress = given.host_addr,
                ReadOnly = (given.flags & SlotReadOnly) != 0,
                LogDirty = (given.flags & SlotLogDirty) != 0,
                InitiallyDirty = (given.flags & SlotInitiallyDirty) != 0,
                FinalBitmap = (nint)given.final_bitmap,
                FinalWords = given.final_words,
            });
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    private static int Check(in SpaceConfig given) =>
        given.flags != 0 || given.table_format > TableFormatPgste
            || given.split_policy > (uint)SplitPolicy.Eager || given.huge > HugeLargest || given.dirty_scope > DirtyGlobal
            || given.tracking > TrackGeneration
            ? Status.Invalid : Status.Ok;
}
