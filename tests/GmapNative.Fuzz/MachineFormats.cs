using System;
using System.Collections.Generic;
using System.Linq;
using GmapNative.Bits;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: a device's log, how fast pages become dirty.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostLogWords = 48; // the first segments of the guest

    private int Drain()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        byte odd = _code.Byte();
        int words = _code.Byte() % MostLogWords;
        uint format = odd == 250 ? _code.Byte() : 1u;
        uint flags = FlagArgument(0, 0);
        ulong some = _code.Spread();
        byte kind = _code.Byte();
        var log = (ulong*)_words.Take(words * 8, 0);
        for (int i = 0; i < words; i++)
        {
            log[i] = kind % 4 == 0 ? ulong.MaxValue : (i + kind) % 4 == 0 ? some << (i % 32) : 0;
        }
        ulong[] before = new System.ReadOnlySpan<ulong>(log, words).ToArray();
        ulong* pages = NumberOut(mayBeNull: true);
        byte* given = odd == 251 ? null : (byte*)log + (odd == 252 ? 4 : 0);
        ulong bytes = (ulong)words * 8;
        bytes = odd == 253 ? bytes + 4 : odd == 254 ? ulong.MaxValue & ~7UL : bytes;
        Say($"{handle:x} format {format} {bytes} bytes");
        _expected.If(space is null, Status.BadHandle).If(format != 1 || odd is >= 251 and <= 254, Status.Invalid);
        int status = library.DirtyDrain(handle, format, flags, given, bytes, pages);
        bool done = Check(status, 0);
        ulong marked = 0;
        for (int gfn = 0; gfn < words * 64; gfn++)
        {
            bool set = (before[gfn / 64] >> (gfn % 64) & 1) != 0;
            if (done && set && space!.Model.Find((ulong)gfn << GuestAddress.PageShift) is { Log: not null })
            {
                space.Model.Mark((ulong)gfn << GuestAddress.PageShift, 1);
                marked++;
            }
        }
        var after = new System.ReadOnlySpan<ulong>(log, words);
        bool right = done ? System.MemoryExtensions.IndexOfAnyExcept(after, 0UL) < 0 : System.MemoryExtensions.SequenceEqual(after, before);
        That(right, "the log is not empty, or was changed by a call that failed");
        Same(done && pages is not null ? *pages : marked, marked, "pages");
        That(done || !IsWritten(pages), "pages were told by a call that failed");
        return status;
    }

    /// <summary>The epoch into a log that has bits already, mostly as long as it must be.</summary>
    private int ExportEpoch()
    {
        _expected.Clear();
        ulong handle = ConsumerHandle(out ConsumerState? consumer);
        byte odd = _code.Byte();
        byte other = _code.Byte();
        uint flags = FlagArgument(0, 0);
        HashSet<ulong> epoch = [.. consumer?.Model.Epoch.SelectMany(part => part.Epoch) ?? []];
        int needed = epoch.Count == 0 ? 0 : (int)(epoch.Max() / 64) + 1;
        int given = odd switch { < 140 => needed, < 170 => needed - 1, < 200 => needed + (other % 9), < 230 => other, _ => needed };
        given = System.Math.Clamp(given, 0, _image.Bytes / 8);
        byte fill = other % 3 == 0 ? (byte)0 : (byte)0x11;
        var log = (ulong*)_image.Take(given * 8, fill);
        ulong bytes = (ulong)given * 8;
        bytes = odd == 253 ? bytes + 4 : odd == 254 ? ulong.MaxValue : bytes;
        bool huge = odd is >= 240 and < 250 && given == needed; // what is behind the epoch's pages is not touched
        bytes = !huge ? bytes : odd % 2 == 0 ? 1UL << (60 + (other % 3)) : (ulong.MaxValue - (ulong)log) & ~7UL;
        void* place = odd == 251 ? null : (byte*)log + (odd == 252 ? 4 : 0);
        uint format = odd == 250 ? other : 1u;
        ulong* pages = NumberOut(mayBeNull: true);
        Say($"{handle:x} format {format} {bytes:x} bytes of {needed * 8:x}");
        _expected.If(consumer is null, Status.BadHandle).If(format != 1 || odd is >= 251 and <= 254, Status.Invalid)
            .If(consumer is { Model.InEpoch: null }, Status.Invalid).If(given < needed, Status.NoBuffer);
        int status = library.DirtyExport(handle, format, flags, place, bytes, pages);
        bool done = Check(status, 0);
        ulong[] expected = new ulong[given];
        System.Array.Fill(expected, fill * 0x0101010101010101UL);
        foreach (ulong page in done ? epoch : [])
        {
            expected[page / 64] |= 1UL << (int)(page % 64);
        }
        bool right = System.MemoryExtensions.SequenceEqual(new System.ReadOnlySpan<ulong>(log, given), expected);
        That(right && _image.IsMarginIntact(given * 8, fill), "the log is not what it was and the epoch");
        That(done || !IsWritten(pages), "pages were told by a call that failed");
        ulong count = (ulong)(consumer?.Model.Epoch.Sum(part => part.Epoch.Count) ?? 0);
        Same(done && pages is not null ? *pages : count, count, "pages of an epoch");
        Feature(huge ? 2u : (ulong)given < (ulong)needed ? 1u : 0, 3);
        return status;
    }

    private int SlotRate()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        Rate* rate = Output<Rate>(out uint size, mayBeNull: false);
        Say($"{handle:x} slot {id}");
        _expected.If(space is null, Status.BadHandle).If(space is not null && slot?.Log is null, Status.NoEntry);
        int status = library.DirtyRate(handle, id, rate);
        if (!Check(status, 0))
        {
            Untouched(rate, size);
        }
        else if (size >= sizeof(Rate))
        {
            That(Received(rate, size) is { flags: 0, time_ns: not 0 }, "flags and time of a rate");
        }
        return status;
    }

    private int VcpuRate()
    {
        _expected.Clear();
        ulong handle = VcpuHandle(out VcpuState? vcpu);
        Rate* rate = Output<Rate>(out uint size, mayBeNull: false);
        Say($"{handle:x}");
        _expected.If(vcpu is null, Status.BadHandle);
        int status = library.VcpuRate(handle, rate);
        if (!Check(status, 0))
        {
            Untouched(rate, size);
        }
        else if (size >= sizeof(Rate))
        {
            Rate read = Received(rate, size);
            ulong counted = Math.Clamp(read.pages, (ulong)vcpu!.Granted, (ulong)(vcpu.Granted + vcpu.MayCount));
            Same(read.pages, counted, "pages that a vcpu made dirty");
            That(read is { flags: 0, time_ns: not 0 }, "flags and time of a rate");
        }
        return status;
    }
}
