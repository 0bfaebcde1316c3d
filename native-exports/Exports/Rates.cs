using System;
using System.Runtime.InteropServices;
using GmapNative.Dirty;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>gmap.h, "Dirty pages": how many became dirty.</summary>
internal static unsafe class Rates
{
    [UnmanagedCallersOnly(EntryPoint = "gmap_dirty_rate")]
    public static int OfSlot(ulong handle, uint slot, Rate* rate)
    {
        AddressSpace? space = HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
        if (space is null)
        {
            return Status.BadHandle;
        }
        if (SizedStruct.Check(rate, out uint size) != Status.Ok)
        {
            return Status.Invalid;
        }
        int status = Harvester.Rate(space, slot, out RateReading reading);
        return status == Status.Ok ? Write(rate, size, reading) : status;
    }

    [UnmanagedCallersOnly(EntryPoint = "gmap_vcpu_rate")]
    public static int OfVcpu(ulong handle, Rate* rate)
    {
        try
        {
            int section = LibrarySections.Enter(); // until it ends no engine gives the words of its views back
            Vcpu? vcpu = HandleTable.Find<Vcpu>(HandleKind.Vcpu, handle);
            ulong pages = vcpu?.View.Granted ?? 0;
            LibrarySections.Leave(section);
            if (vcpu is null)
            {
                return Status.BadHandle;
            }
            return SizedStruct.Check(rate, out uint size) == Status.Ok ? Write(rate, size, vcpu.Rate.Read(pages)) : Status.Invalid;
        }
        catch (Exception failure)
        {
            return Guard.StatusOf(failure);
        }
    }

    private static int Write(Rate* rate, uint size, in RateReading reading)
    {
        SizedStruct.Write(rate, size, new Rate
        {
            pages = reading.Pages,
            time_ns = reading.Nanoseconds,
            pages_per_second = reading.PagesPerSecond,
        });
        return Status.Ok;
    }
}
