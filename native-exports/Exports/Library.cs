using System;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using GmapNative.Backing;
using GmapNative.Exports.Abi;
using GmapNative.Memory;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Library".</summary>
internal static unsafe class Library
{
    public const uint AbiVersion = 0x0001_0000;
    public const ulong FeatureIsaV3 = 0x1;
    public const ulong FeatureIsaV4 = 0x2;
    public const ulong FeatureTrace = 0x4;
    public const ulong FeatureUserfaultfdAsync = 0x8;
    public const ulong FeatureMembarrier = 0x10;
    public const ulong FeatureUserfaultfdSync = 0x20;

    [UnmanagedCallersOnly(EntryPoint = "gmap_abi_version")]
    public static uint GetAbiVersion() => AbiVersion;

    [UnmanagedCallersOnly(EntryPoint = "gmap_version_string")]
    public static byte* GetVersionString() => Messages.Version;

    [UnmanagedCallersOnly(EntryPoint = "gmap_strerror")]
    public static byte* GetMessage(int status) => Messages.Of(status);

    [UnmanagedCallersOnly(EntryPoint = "gmap_features")]
    public static ulong GetFeatures() =>
        (Avx2.IsSupported ? FeatureIsaV3 : 0)
        | (Avx512F.IsSupported ? FeatureIsaV4 : 0)
        | (Tell.IsSupported ? FeatureTrace : 0)
        | (Userfaultfd.IsAvailable ? FeatureUserfaultfdAsync : 0)
        | (Userfaultfd.IsSynchronousAvailable ? FeatureUserfaultfdSync : 0)
        | (ProcessBarrier.IsAvailable ? FeatureMembarrier : 0);

    [UnmanagedCallersOnly(EntryPoint = "gmap_runtime_init")]
    public static int Initialize()
    {
        Tell.Ready();
        // The runtime's thread has started when it answers: what a host forbids after this call (seccomp) is not needed for that.
        GC.WaitForPendingFinalizers();
        return Status.Ok;
    }
}
