using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using GmapNative.Bits;
using GmapNative.Tables;

namespace GmapNative.Space;

/// <summary>The tables of a space as an image; see <c>gmap_image_export</c>.</summary>
internal static unsafe class ImageExport
{
    private const ulong BaseAlignment = 16 << 10;

    /// <summary>Frames by slot, or as they are.</summary>
    private sealed class FrameMap(SlotMap slots, IReadOnlyDictionary<uint, ulong>? bases) : IFrameMap
    {
        public int Translate(ulong guestAddress, ulong hostFrame, out ulong real)
        {
            real = hostFrame;
            if (bases is null)
            {
                return Status.Ok;
            }
            Slot? slot = slots.Find(guestAddress);
            if (slot is null || !bases.TryGetValue(slot.Id, out ulong start))
            {
                return Status.NoEntry;
            }
            real = start + (guestAddress - slot.GuestAddress);
            return Status.Ok;
        }
    }

    /// <param name="space">The space.</param>
    /// <param name="realBase">Where the image is to lie: a multiple of 16 KB.</param>
    /// <param name="clearSoftware">Whether software bits go.</param>
    /// <param name="bases">Real addresses of slots' first pages; null: frames keep their host addresses.</param>
    /// <param name="buffer">Receives the image; the caller's, <paramref name="capacity"/> bytes.</param>
    /// <param name="capacity">Its size.</param>
    /// <param name="asce">The image's ASCE.</param>
    /// <param name="size">What the image takes.</param>
    public static int Export(
        AddressSpace space, ulong realBase, bool clearSoftware, IReadOnlyDictionary<uint, ulong>? bases,
        byte* buffer, ulong capacity, out Asce asce, out ulong size)
    {
        asce = default;
        size = 0;
        if (realBase % BaseAlignment != 0)
        {
            return Status.Invalid;
        }
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
            // Vcpus split while we write, so the size is known only afterwards: the image is made aside, then handed over whole.
            ulong bound = ImageBound(space);
            if (bound > int.MaxValue)
            {
                return Status.NoMemory;
            }
            void* aside = NativeMemory.Alloc((nuint)bound);
            try
            {
                var frames = new FrameMap(space.Map, bases);
                var writer = new ImageWriter(
                    new Span<byte>(aside, (int)bound), realBase, frames, space.Tree.PageTables, clearSoftware);
                int status = writer.Write(space.Tree.Asce, out asce, out size);
                if (status != Status.Ok || realBase + size < realBase)
                {
                    return status != Status.Ok ? status : Status.Invalid;
                }
                if (size > capacity)
                {
                    return Status.NoBuffer;
                }
                Buffer.MemoryCopy(aside, buffer, capacity, size);
                return Status.Ok;
            }
            finally
            {
                NativeMemory.Free(aside);
            }
        }
    }

    /// <summary>No more page tables than mapped segments can come while we write.</summary>
    private static ulong ImageBound(AddressSpace space)
    {
        TableCount tables = space.Tree.Count();
        ulong segments = 0;
        foreach (Slot slot in space.Map.Slots)
        {
            segments += (slot.Size >> GuestAddress.SegmentShift) + 2;
        }
        ulong regions = (segments >> 11) + (8 * (ulong)space.Map.Slots.Length) + (ulong)(tables.Segments + tables.Regions) + 2;
        return (regions << 14) + ((segments + (ulong)tables.Pages) * (ulong)space.Tree.PageTables.Bytes);
    }
}
