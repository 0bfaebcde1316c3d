using System;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Memory;

namespace GmapNative.Fuzz;

/// <summary>The exports of the real library. Every pointer argument goes through as it is, good or bad.</summary>
internal sealed unsafe class Library
{
    private readonly nint _library;

    public Library(string path)
    {
        _library = NativeLibrary.Load(path);
        AbiVersion = (delegate* unmanaged<uint>)At("gmap_abi_version");
        VersionString = (delegate* unmanaged<byte*>)At("gmap_version_string");
        Message = (delegate* unmanaged<int, byte*>)At("gmap_strerror");
        Features = (delegate* unmanaged<ulong>)At("gmap_features");
        RuntimeInit = (delegate* unmanaged<int>)At("gmap_runtime_init");
        EngineCreate = (delegate* unmanaged<EngineConfig*, ulong*, int>)At("gmap_engine_create");
        EngineDestroy = (delegate* unmanaged<ulong, int>)At("gmap_engine_destroy");
        EngineStats = (delegate* unmanaged<ulong, EngineStats*, int>)At("gmap_engine_get_stats");
        SpaceCreate = (delegate* unmanaged<ulong, SpaceConfig*, ulong*, int>)At("gmap_space_create");
        SpaceDestroy = (delegate* unmanaged<ulong, int>)At("gmap_space_destroy");
        SetLimit = (delegate* unmanaged<ulong, ulong, int>)At("gmap_space_set_limit");
        GetAsce = (delegate* unmanaged<ulong, ulong*, int>)At("gmap_space_get_asce");
        SpaceStats = (delegate* unmanaged<ulong, SpaceStats*, int>)At("gmap_space_get_stats");
        ImageExport = (delegate* unmanaged<ulong, ulong, ImageSink*, ulong*, int>)At("gmap_image_export");
        SlotSet = (delegate* unmanaged<ulong, SlotConfig*, int>)At("gmap_slot_set");
        VcpuOpen = (delegate* unmanaged<ulong, VcpuConfig*, ulong*, ViewWords**, int>)At("gmap_vcpu_open");
        VcpuClose = (delegate* unmanaged<ulong, int>)At("gmap_vcpu_close");
        Fault = (delegate* unmanaged<ulong, ulong, uint, FaultResult*, int>)At("gmap_fault");
        FaultMany = (delegate* unmanaged<ulong, FaultRequest*, nuint, nuint, nuint*, int>)At("gmap_fault_many");
        Translate = (delegate* unmanaged<ulong, ulong, uint, FaultResult*, int>)At("gmap_translate");
        Read = (delegate* unmanaged<ulong, ulong, void*, nuint, int>)At("gmap_read");
        Write = (delegate* unmanaged<ulong, ulong, void*, nuint, int>)At("gmap_write");
        Mark = (delegate* unmanaged<ulong, ulong, ulong, int>)At("gmap_mark_dirty");
        MarkBitmap = (delegate* unmanaged<ulong, uint, ulong, ulong, ulong*, int>)At("gmap_mark_dirty_bitmap");
        MarkBatch = (delegate* unmanaged<ulong, ulong*, nuint, int>)At("gmap_mark_dirty_batch");
        Unmap = (delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int>)At("gmap_unmap");
        Discard = (delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int>)At("gmap_discard");
        Split = (delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int>)At("gmap_split");
        PgsteGet = (delegate* unmanaged<ulong, ulong, ulong*, int>)At("gmap_pgste_get");
        PgsteUpdate = (delegate* unmanaged<ulong, ulong, ulong, ulong, ulong*, int>)At("gmap_pgste_update");
        ShadowOpen = (delegate* unmanaged<ulong, ulong, uint, ulong*, int>)At("gmap_shadow_open");
        ShadowIsValid = (delegate* unmanaged<ulong, ulong, uint, int>)At("gmap_shadow_is_valid");
        ShadowClose = (delegate* unmanaged<ulong, int>)At("gmap_shadow_close");
        Collapse = (delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int>)At("gmap_collapse");
        Protect = (delegate* unmanaged<ulong, ulong, ulong, uint, uint, int>)At("gmap_protect");
        NotifierRegister = (delegate* unmanaged<ulong, NotifierConfig*, ulong*, int>)At("gmap_notifier_register");
        NotifierUnregister = (delegate* unmanaged<ulong, int>)At("gmap_notifier_unregister");
        Age = (delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int>)At("gmap_age");
        Populate = (delegate* unmanaged<ulong, ulong, ulong, uint, uint, ulong*, int>)At("gmap_populate");
        DirtyGet = (delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, ulong*, int>)At("gmap_dirty_get");
        DirtyClear = (delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, int>)At("gmap_dirty_clear");
        DirtyHarvest =
            (delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, nuint, ulong*, int>)At("gmap_dirty_harvest");
        DirtyDrain = (delegate* unmanaged<ulong, uint, uint, void*, ulong, ulong*, int>)At("gmap_dirty_drain");
        DirtyRate = (delegate* unmanaged<ulong, uint, Rate*, int>)At("gmap_dirty_rate");
        VcpuRate = (delegate* unmanaged<ulong, Rate*, int>)At("gmap_vcpu_rate");
        DirtyHarvestRanges =
            (delegate* unmanaged<ulong, uint, ulong, ulong, uint, DirtyRun*, nuint, nuint*, ulong*, int>)At("gmap_dirty_harvest_ranges");
        ConsumerOpen = (delegate* unmanaged<ulong, uint, uint, ulong*, int>)At("gmap_consumer_open");
        ConsumerClose = (delegate* unmanaged<ulong, int>)At("gmap_consumer_close");
        ConsumerBegin = (delegate* unmanaged<ulong, uint, EpochInfo*, int>)At("gmap_consumer_begin");
        ConsumerReadBitmap =
            (delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, nuint, ulong*, int>)At("gmap_consumer_read_bitmap");
        ConsumerReadRanges = (delegate* unmanaged<ulong, uint, DirtyRun*, nuint, nuint*, ulong*, int>)At("gmap_consumer_read_ranges");
        ConsumerCommit = (delegate* unmanaged<ulong, int>)At("gmap_consumer_commit");
        ConsumerAbort = (delegate* unmanaged<ulong, int>)At("gmap_consumer_abort");
        ConsumerRedirty = (delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, int>)At("gmap_consumer_redirty");
        DirtyExport = (delegate* unmanaged<ulong, uint, uint, void*, ulong, ulong*, int>)At("gmap_dirty_export");
        SnapshotTake = (delegate* unmanaged<ulong, SnapshotConfig*, ulong*, int>)At("gmap_snapshot_take");
        SnapshotRestore = (delegate* unmanaged<ulong, ulong*, int>)At("gmap_snapshot_restore");
        SnapshotVerify = (delegate* unmanaged<ulong, ulong*, int>)At("gmap_snapshot_verify");
        SnapshotFree = (delegate* unmanaged<ulong, int>)At("gmap_snapshot_free");
        BackingAttach = (delegate* unmanaged<ulong, uint, BackingConfig*, ulong*, int>)At("gmap_backing_attach");
        BackingFd = (delegate* unmanaged<ulong, int*, int>)At("gmap_backing_fd");
        BackingDetach = (delegate* unmanaged<ulong, int>)At("gmap_backing_detach");
        BackingService = (delegate* unmanaged<ulong, ulong, uint*, int>)At("gmap_backing_service");
        BackingProvide = (delegate* unmanaged<ulong, ulong, void*, ulong, int>)At("gmap_backing_provide");
        BackingWanted = (delegate* unmanaged<ulong, ulong, uint, ulong*, ulong, ulong*, int>)At("gmap_backing_wanted");
        BackingWait = (delegate* unmanaged<ulong, ulong, ulong, int>)At("gmap_backing_wait");
        BackingMissing = (delegate* unmanaged<ulong, ulong, ulong, ulong*, ulong*, int>)At("gmap_backing_missing");
        BackingFault = (delegate* unmanaged<ulong, ulong, int>)At("gmap_backing_fault");
    }

    /// <summary>The names that were asked for: all of them are driven, a test compares them with exports.txt.</summary>
    public System.Collections.Generic.SortedSet<string> Names { get; } = new(StringComparer.Ordinal);

    public delegate* unmanaged<uint> AbiVersion { get; }

    public delegate* unmanaged<byte*> VersionString { get; }

    public delegate* unmanaged<int, byte*> Message { get; }

    public delegate* unmanaged<ulong> Features { get; }

    public delegate* unmanaged<int> RuntimeInit { get; }

    public delegate* unmanaged<EngineConfig*, ulong*, int> EngineCreate { get; }

    public delegate* unmanaged<ulong, int> EngineDestroy { get; }

    public delegate* unmanaged<ulong, EngineStats*, int> EngineStats { get; }

    public delegate* unmanaged<ulong, SpaceConfig*, ulong*, int> SpaceCreate { get; }

    public delegate* unmanaged<ulong, int> SpaceDestroy { get; }

    public delegate* unmanaged<ulong, ulong, int> SetLimit { get; }

    public delegate* unmanaged<ulong, ulong*, int> GetAsce { get; }

    public delegate* unmanaged<ulong, SpaceStats*, int> SpaceStats { get; }

    public delegate* unmanaged<ulong, ulong, ImageSink*, ulong*, int> ImageExport { get; }

    public delegate* unmanaged<ulong, SlotConfig*, int> SlotSet { get; }

    public delegate* unmanaged<ulong, VcpuConfig*, ulong*, ViewWords**, int> VcpuOpen { get; }

    public delegate* unmanaged<ulong, int> VcpuClose { get; }

    public delegate* unmanaged<ulong, ulong, uint, FaultResult*, int> Fault { get; }

    public delegate* unmanaged<ulong, FaultRequest*, nuint, nuint, nuint*, int> FaultMany { get; }

    public delegate* unmanaged<ulong, ulong, uint, FaultResult*, int> Translate { get; }

    public delegate* unmanaged<ulong, ulong, void*, nuint, int> Read { get; }

    public delegate* unmanaged<ulong, ulong, void*, nuint, int> Write { get; }

    public delegate* unmanaged<ulong, ulong, ulong, int> Mark { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, ulong*, int> MarkBitmap { get; }

    public delegate* unmanaged<ulong, ulong*, nuint, int> MarkBatch { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> Unmap { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> Discard { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> Split { get; }

    public delegate* unmanaged<ulong, ulong, ulong*, int> PgsteGet { get; }

    public delegate* unmanaged<ulong, ulong, ulong, ulong, ulong*, int> PgsteUpdate { get; }

    public delegate* unmanaged<ulong, ulong, uint, ulong*, int> ShadowOpen { get; }

    public delegate* unmanaged<ulong, ulong, uint, int> ShadowIsValid { get; }

    public delegate* unmanaged<ulong, int> ShadowClose { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> Collapse { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, uint, int> Protect { get; }

    public delegate* unmanaged<ulong, NotifierConfig*, ulong*, int> NotifierRegister { get; }

    public delegate* unmanaged<ulong, int> NotifierUnregister { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> Age { get; }

    public delegate* unmanaged<ulong, ulong, ulong, uint, uint, ulong*, int> Populate { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, ulong*, int> DirtyGet { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, int> DirtyClear { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, nuint, ulong*, int> DirtyHarvest { get; }

    public delegate* unmanaged<ulong, uint, uint, void*, ulong, ulong*, int> DirtyDrain { get; }

    public delegate* unmanaged<ulong, uint, Rate*, int> DirtyRate { get; }

    public delegate* unmanaged<ulong, Rate*, int> VcpuRate { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, DirtyRun*, nuint, nuint*, ulong*, int> DirtyHarvestRanges { get; }

    public delegate* unmanaged<ulong, uint, uint, ulong*, int> ConsumerOpen { get; }

    public delegate* unmanaged<ulong, int> ConsumerClose { get; }

    public delegate* unmanaged<ulong, uint, EpochInfo*, int> ConsumerBegin { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, nuint, ulong*, int> ConsumerReadBitmap { get; }

    public delegate* unmanaged<ulong, uint, DirtyRun*, nuint, nuint*, ulong*, int> ConsumerReadRanges { get; }

    public delegate* unmanaged<ulong, int> ConsumerCommit { get; }

    public delegate* unmanaged<ulong, int> ConsumerAbort { get; }

    public delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, int> ConsumerRedirty { get; }

    public delegate* unmanaged<ulong, uint, uint, void*, ulong, ulong*, int> DirtyExport { get; }

    public delegate* unmanaged<ulong, SnapshotConfig*, ulong*, int> SnapshotTake { get; }

    public delegate* unmanaged<ulong, ulong*, int> SnapshotRestore { get; }

    public delegate* unmanaged<ulong, ulong*, int> SnapshotVerify { get; }

    public delegate* unmanaged<ulong, int> SnapshotFree { get; }

    public delegate* unmanaged<ulong, uint, BackingConfig*, ulong*, int> BackingAttach { get; }

    public delegate* unmanaged<ulong, int*, int> BackingFd { get; }

    public delegate* unmanaged<ulong, int> BackingDetach { get; }

    public delegate* unmanaged<ulong, ulong, uint*, int> BackingService { get; }

    public delegate* unmanaged<ulong, ulong, int> BackingFault { get; }

    public delegate* unmanaged<ulong, ulong, void*, ulong, int> BackingProvide { get; }

    public delegate* unmanaged<ulong, ulong, uint, ulong*, ulong, ulong*, int> BackingWanted { get; }

    public delegate* unmanaged<ulong, ulong, ulong, int> BackingWait { get; }

    public delegate* unmanaged<ulong, ulong, ulong, ulong*, ulong*, int> BackingMissing { get; }

    private void* At(string name)
    {
        Names.Add(name);
        return (void*)NativeLibrary.GetExport(_library, name);
    }
}
