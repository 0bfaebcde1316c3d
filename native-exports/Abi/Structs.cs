using System.Runtime.InteropServices;

namespace GmapNative.Exports.Abi;

// The structs of gmap.h, field by field in its order; a test compares every offset with what the C compiler makes of the header.
#pragma warning disable CS0649 // fields that only the caller writes

internal interface ISized
{
    uint StructSize { get; }
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EngineConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong arena_bytes;
    public ulong grace_timeout_ns;
    public delegate* unmanaged<void*, int, byte*, void> log;
    public delegate* unmanaged<void*, ulong, void> kick;
    public void* user;
    public int log_level;
    public uint reserved;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct EngineStats : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong reserved_bytes;
    public ulong limit_bytes;
    public ulong committed_bytes;
    public ulong locked_bytes;
    public ulong region_table_bytes;
    public ulong segment_table_bytes;
    public ulong page_table_bytes;
    public ulong limbo_bytes;
    public ulong log_bytes;
    public ulong view_bytes;
    public ulong free_bytes;
    public ulong spaces;
    public ulong dense_bytes;
    public ulong watch_bytes;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SpaceConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong limit;
    public uint table_format;
    public uint split_policy;
    public uint huge;
    public uint dirty_scope;
    public uint tracking;
    public uint max_shadows;
    public ulong shadow_bytes;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SpaceStats : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong read_faults;
    public ulong write_faults;
    public ulong guest_conditions;
    public ulong segments_mapped;
    public ulong pages_mapped;
    public ulong splits;
    public ulong splits_lost;
    public ulong pages_granted;
    public ulong segments_granted;
    public ulong pages_unmapped;
    public ulong armings;
    public ulong harvests;
    public ulong pages_harvested;
    public ulong pages_taken;
    public ulong pages_marked;
    public ulong grace_periods;
    public ulong grace_wait_ns;
    public ulong harvest_ns;
    public ulong backing_scans;
    public ulong region_tables;
    public ulong segment_tables;
    public ulong page_tables;
    public ulong table_bytes;
    public ulong vcpus;
    public ulong collapses;
    public ulong pages_discarded;
    public ulong pages_aged;
    public ulong consumers;
    public ulong epochs;
    public ulong notifiers;
    public ulong notifications;
    public ulong pages_protected;
    public ulong shadows;
    public ulong shadow_entries;
    public ulong shadow_bytes;
    public ulong unshadows;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct EpochInfo : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong epoch;
    public ulong dirty_pages;
    public ulong slots;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct SnapshotConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong reserved;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct ImageFrameMap
{
    public uint slot;
    public uint reserved;
    public ulong real_addr;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct ImageSink : ISized
{
    public uint struct_size;
    public uint flags;
    public void* buffer;
    public ulong capacity;
    public ulong* size;
    public ImageFrameMap* frames;
    public ulong frame_count;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct SlotConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public uint id;
    public uint reserved;
    public ulong guest_addr;
    public ulong size;
    public ulong host_addr;
    public ulong* final_bitmap;
    public ulong final_words;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct VcpuConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public uint inline_version;
    public uint reserved;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct FaultResult : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong host_addr;
    public ulong leaf_size;
    public uint rights;
    public uint reason;
    public uint depth;
    public uint reserved;
    public ulong table_addr;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct FaultRequest
{
    public ulong guest_addr;
    public uint access;
    public int status;
    public ulong host_addr;
    public uint done;
    public uint reason;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct BackingConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public uint kind;
    public int userfaultfd;
    public ulong* missing;
    public ulong missing_words;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NotifierConfig : ISized
{
    public uint struct_size;
    public uint flags;
    public uint kinds;
    public uint reserved;
    public delegate* unmanaged<void*, ulong, ulong, ulong, uint, void> callback;
    public void* user;

    public readonly uint StructSize => struct_size;
}

[StructLayout(LayoutKind.Sequential)]
internal struct Rate : ISized
{
    public uint struct_size;
    public uint flags;
    public ulong pages;
    public ulong time_ns;
    public ulong pages_per_second;

    public readonly uint StructSize => struct_size;
}
