using System;
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Threading;

namespace GmapNative.Fuzz;

/// <summary>Shadows of the two threads: any of them opens, closes and runs in those of the other, and writes over their tables.</summary>
internal sealed unsafe partial class Race
{
    private const ulong SegmentTable = 0x10000; // addresses of slot 0 in each space, among those that everything is done to
    private const ulong PageTable = 0x20000;

    private readonly ConcurrentBag<ulong> _shadowed = []; // each opening that was not given back
    private readonly ulong[] _shadows = new ulong[2];

    /// <summary>Two segments of an inner guest lead to the first pages of the guest, tables included.</summary>
    private void PlantTables()
    {
        for (ulong i = 0; i < 256; i++)
        {
            PlantEntry(SegmentTable + (i * 8), i < 2 ? PageTable : 0x20UL);
            PlantEntry(PageTable + (i * 8), (i % 64) << 12);
        }
    }

    private void PlantEntry(ulong at, ulong entry) =>
        BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>((void*)(guest.Start + at), sizeof(ulong)), entry); // the driver's own memory

    private ulong ShadowOr(ulong space) => Volatile.Read(ref _shadows[space >> 8 & 1]) is var shadow && shadow != 0 ? shadow : space;

    private int Nest(Operation operation, ulong space, ulong address, uint id, byte choice)
    {
        ulong asce = choice % 4 == 3 ? 0x20UL : SegmentTable | 3;
        ulong made;
        switch (operation)
        {
            case Operation.ShadowOpen:
                int status = Calls.ShadowOpen(id == 2 ? ShadowOr(space) : space, asce, choice % 3u, &made);
                if (status == 0)
                {
                    _shadowed.Add(made);
                    Volatile.Write(ref _shadows[choice % 2], made);
                }
                return status;
            case Operation.ShadowClose:
                return _shadowed.TryTake(out ulong opened) ? Closed(opened) : Calls.ShadowClose(space);
            case Operation.ShadowTables:
                ulong at = choice % 8 == 0 ? SegmentTable + (ulong)(choice / 8 % 2 * 8) : PageTable + (ulong)(choice % 64 * 8);
                ulong entry = choice < 128 ? BinaryPrimitives.ReverseEndianness(address) : BinaryPrimitives.ReverseEndianness(0x420UL);
                entry = choice % 8 == 0 && choice < 128 ? BinaryPrimitives.ReverseEndianness(PageTable) : entry;
                return Calls.Write(space, at, &entry, sizeof(ulong));
            default:
                return Calls.ShadowIsValid(ShadowOr(space), asce, choice % 3u);
        }
    }

    private int Closed(ulong shadow)
    {
        int status = Calls.ShadowClose(shadow);
        if (status == Status.Busy)
        {
            _shadowed.Add(shadow); // a vcpu of the other thread is in it
        }
        return status;
    }
}
