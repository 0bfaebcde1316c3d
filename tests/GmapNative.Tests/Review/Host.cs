using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using NUnit.Framework;

namespace GmapNative.Tests.Review;

/// <summary>A host through the exports themselves, with real guest memory: one engine, one space, a vcpu of the test's thread.</summary>
internal sealed unsafe class Host : IDisposable
{
    public const ulong Segment = 1 << 20;
    public const ulong Page = 4096;

    private readonly void* _memory; // Bytes of guest memory, 1 MB aligned, alive until Dispose

    public Host(ulong bytes, ulong graceTimeout = 0, SplitPolicy policy = SplitPolicy.Lazy)
    {
        Bytes = bytes;
        _memory = NativeMemory.AlignedAlloc((nuint)bytes, (nuint)Segment);
        NativeMemory.Clear(_memory, (nuint)bytes);
        var engine = new EngineConfig { struct_size = (uint)sizeof(EngineConfig), arena_bytes = 16 << 20, grace_timeout_ns = graceTimeout };
        ulong handle;
        delegate* unmanaged<EngineConfig*, ulong*, int> createEngine = &Engines.Create;
        Assert.That(createEngine(&engine, &handle), Is.Zero);
        Engine = handle;
        var space = new SpaceConfig { struct_size = (uint)sizeof(SpaceConfig), limit = uint.MaxValue, split_policy = (uint)policy };
        delegate* unmanaged<ulong, SpaceConfig*, ulong*, int> createSpace = &Spaces.Create;
        Assert.That(createSpace(Engine, &space, &handle), Is.Zero);
        Space = handle;
    }

    public ulong Bytes { get; }

    public ulong Engine { get; }

    public ulong Space { get; }

    public AddressSpace Inside => HandleTable.Find<AddressSpace>(HandleKind.Space, Space)!;

    public byte* Memory => (byte*)_memory;

    public ulong Open(out ViewWords* view)
    {
        var config = new VcpuConfig { struct_size = (uint)sizeof(VcpuConfig), inline_version = ViewWords.InlineVersion };
        ulong vcpu;
        ViewWords* words;
        delegate* unmanaged<ulong, VcpuConfig*, ulong*, ViewWords**, int> open = &Vcpus.Open;
        Assert.That(open(Space, &config, &vcpu, &words), Is.Zero);
        view = words;
        return vcpu;
    }

    public static void Close(ulong vcpu)
    {
        delegate* unmanaged<ulong, int> close = &Vcpus.Close;
        Assert.That(close(vcpu), Is.Zero);
    }

    /// <summary>As gmap_enter and gmap_leave of the header.</summary>
    public static void Enter(ViewWords* view)
    {
        System.Threading.Volatile.Write(ref view->Inside, (view->Inside | 1) + 2);
        System.Threading.Thread.MemoryBarrier();
        view->Generation = view->Space->Generation;
    }

    public static void Leave(ViewWords* view) =>
        System.Threading.Volatile.Write(ref view->Inside, (view->Inside + 1) & ~1UL);

    /// <summary>A fault; leaves the vcpu inside.</summary>
    public static int Fault(ulong vcpu, ulong address, Access access)
    {
        delegate* unmanaged<ulong, ulong, uint, FaultResult*, int> fault = &Faults.Fault;
        return fault(vcpu, address, (uint)access, null);
    }

    /// <summary>The slot shows the guest memory at the same offset.</summary>
    public int SetSlot(uint id, ulong address, ulong size, uint flags, ulong[]? final = null)
    {
        fixed (ulong* words = final)
        {
            var slot = new SlotConfig
            {
                struct_size = (uint)sizeof(SlotConfig),
                flags = flags,
                id = id,
                guest_addr = address,
                size = size,
                host_addr = (ulong)_memory + address,
                final_bitmap = words,
                final_words = (ulong)(final?.Length ?? 0),
            };
            delegate* unmanaged<ulong, SlotConfig*, int> set = &Spaces.SetSlot;
            return set(Space, &slot);
        }
    }

    public int Harvest(uint slot, ulong pages, out int[] found)
    {
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        int status;
        fixed (ulong* words = bitmap)
        {
            delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, nuint, ulong*, int> harvest = &DirtyPages.Harvest;
            status = harvest(Space, slot, 0, pages, 0, words, (nuint)bitmap.Length, null);
        }
        found = PagesOf(bitmap);
        return status;
    }

    public int Get(uint slot, ulong pages, out int[] found)
    {
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        int status;
        fixed (ulong* words = bitmap)
        {
            delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, ulong*, int> get = &DirtyPages.Get;
            status = get(Space, slot, 0, pages, 0, words, null);
        }
        found = PagesOf(bitmap);
        return status;
    }

    public int Clear(uint slot, ulong pages, ulong mask)
    {
        ulong[] bitmap = new ulong[(pages + 63) / 64];
        bitmap[0] = mask;
        fixed (ulong* words = bitmap)
        {
            delegate* unmanaged<ulong, uint, ulong, ulong, uint, ulong*, int> clear = &DirtyPages.Clear;
            return clear(Space, slot, 0, pages, 0, words);
        }
    }

    public int Unmap(ulong address, ulong size)
    {
        delegate* unmanaged<ulong, ulong, ulong, uint, ulong*, int> unmap = &Ranges.Unmap;
        return unmap(Space, address, size, 0, null);
    }

    public int Mark(ulong address)
    {
        delegate* unmanaged<ulong, ulong, ulong, int> mark = &HostMemory.Mark;
        return mark(Space, address, 1);
    }

    public ulong Attach(uint slot)
    {
        var config = new BackingConfig { struct_size = (uint)sizeof(BackingConfig), kind = Backings.UserfaultfdAsync };
        ulong backing = 0;
        delegate* unmanaged<ulong, uint, BackingConfig*, ulong*, int> attach = &Backings.Attach;
        int status = attach(Space, slot, &config, &backing);
        Assert.That(status, Is.Zero);
        return backing;
    }

    public static int Detach(ulong backing)
    {
        delegate* unmanaged<ulong, int> detach = &Backings.Detach;
        return detach(backing);
    }

    public int DestroySpace()
    {
        delegate* unmanaged<ulong, int> destroy = &Spaces.Destroy;
        return destroy(Space);
    }

    public static int[] PagesOf(ulong[] bitmap)
    {
        List<int> pages = [];
        for (int page = 0; page < bitmap.Length * 64; page++)
        {
            if ((bitmap[page / 64] >> (page % 64) & 1) != 0)
            {
                pages.Add(page);
            }
        }
        return [.. pages];
    }

    public void Dispose()
    {
        _ = DestroySpace();
        delegate* unmanaged<ulong, int> destroy = &Engines.Destroy;
        Assert.That(destroy(Engine), Is.Zero, "a space is still alive");
        NativeMemory.AlignedFree(_memory);
    }
}
