using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using GmapNative.Bits;
using GmapNative.Exports.Abi;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Space": the image.</summary>
internal static unsafe class Images
{
    public const uint ClearSoftware = 0x1;
    private const ulong MostFrames = 1 << 20;

    [UnmanagedCallersOnly(EntryPoint = "gmap_image_export")]
    public static int Export(ulong handle, ulong realBase, ImageSink* sink, ulong* asce)
    {
        try
        {
            AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
            if (space is null)
            {
                return Status.BadHandle;
            }
            int status = SizedStruct.Read(sink, out ImageSink given);
            if (status != Status.Ok)
            {
                return status;
            }
            if (asce is null || given.size is null || (given.flags & ~ClearSoftware) != 0 || given.frame_count > MostFrames
                || (given.buffer is null && given.capacity != 0) || (given.frames is null && given.frame_count != 0)
                || !TryMap(given, out Dictionary<uint, ulong>? bases))
            {
                return Status.Invalid;
            }
            status = ImageExport.Export(
                space, realBase, (given.flags & ClearSoftware) != 0, bases, (byte*)given.buffer, given.capacity,
                out Asce written, out ulong size);
            if (status is Status.Ok or Status.NoBuffer)
            {
                *given.size = size;
            }
            if (status == Status.Ok)
            {
                *asce = written.Value;
            }
            return status;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    private static bool TryMap(in ImageSink given, out Dictionary<uint, ulong>? bases)
    {
        bases = given.frames is null ? null : [];
        for (ulong i = 0; i < given.frame_count; i++)
        {
            ImageFrameMap frame = given.frames[i]; // the caller's array of frame_count elements
            if (frame.reserved != 0 || !GuestAddress.IsPageAligned(frame.real_addr) || !bases!.TryAdd(frame.slot, frame.real_addr))
            {
                return false;
            }
        }
        return true;
    }
}
