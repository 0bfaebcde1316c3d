using System.Linq;
using GmapNative.Exports.Abi;
using GmapNative.Tests.Image;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: backings and images.</summary>
internal sealed unsafe partial class Machine
{
    private const int MostBackings = 6;
    private const ulong UserfaultfdFeature = 8;
    private const ulong ImageBase = 0x4000_0000;
    private const int ImageSamples = 24;

    private readonly GuardedArea _image = scratch.Image;

    private int AttachBacking()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ReferenceSlot? slot = Slot(space, out uint id);
        // Never the kinds by which the kernel stops stores: one thread cannot answer its own.
        uint kind = _code.Byte() switch { < 160 => 1, < 248 => 3, var other => other % 2u * 5 };
        if (kind == 3)
        {
            return AttachMissing(handle, space, slot, id);
        }
        BackingConfig config = new() { flags = Flags(0), kind = kind, userfaultfd = (int)Reserved() };
        BackingConfig* given = Input(config, out BackingConfig seen);
        ulong* made = NumberOut(mayBeNull: false);
        Say($"{handle:x} slot {id}");
        if (_backings.Count >= MostBackings)
        {
            return Skipped;
        }
        bool taken = slot is not null && _backings.Any(
            one => one.IsAttached && !one.IsOfMissing && one.Host < slot.Host + slot.Size && slot.Host < one.Host + one.Size);
        bool bad = seen.flags != 0 || seen.userfaultfd != 0 || seen.kind != 1;
        bool none = (library.Features() & UserfaultfdFeature) == 0;
        _expected.If(space is null, Status.BadHandle).If(bad, Status.Invalid).If(AnyInside, Status.Deadlock)
            .If(space is not null && slot is null, Status.NoEntry).If(slot is { IsPlain: false } || taken, Status.Busy)
            .If(slot is not null && space!.Model.IsRestricted(slot), Status.Busy)
            .If(slot is not null && !guest.Has(slot.Host), Status.Fault)
            .Maybe(slot is not null && space!.Model.MayBeShadowed(slot), Status.Busy)
            .If(none || (slot is not null && space!.Model.ByGeneration), Status.NotSupported).If(none, Status.NotPermitted);
        int status = library.BackingAttach(handle, id, given, made);
        if (!Check(status, TimesOut(space) ? Status.TimedOut : 0))
        {
            That(!IsWritten(made), "a handle was given for a backing that was not attached");
            return status;
        }
        space!.Model.Attach(slot!);
        var backing = new BackingState { Handle = *made, Space = space, Slot = id, Host = slot!.Host, Size = slot.Size };
        _backings.Add(backing);
        space.Backings.Add(backing);
        Born(backing.Handle, backing);
        return status;
    }

    private int BackingDescriptor()
    {
        _expected.Clear();
        ulong handle = Handle(_backings, one => one.Handle, out BackingState? backing);
        ulong* number = NumberOut(mayBeNull: false);
        Say($"{handle:x}");
        _expected.If(backing is not { IsAttached: true }, Status.BadHandle);
        int status = library.BackingFd(handle, (int*)number);
        if (Check(status, 0))
        {
            That(*(int*)number > 2, "a descriptor");
        }
        return status;
    }

    /// <summary>Of a backing that has nothing to answer, or of none; or of one whose pages come.</summary>
    private int ServeBacking()
    {
        _expected.Clear();
        ulong handle = Handle(_backings, one => one.Handle, out BackingState? backing);
        byte how = _code.Byte();
        if (how >= 64)
        {
            return Arrive(handle, backing, how);
        }
        Say($"{handle:x}");
        _expected.If(backing is null, Status.BadHandle).If(backing is not null, Status.Invalid);
        uint served = 0;
        int status = how % 2 == 0 ? library.BackingService(handle, _code.Spread(), &served) : library.BackingFault(handle, _code.Spread());
        Check(status, 0);
        return status;
    }

    private int DetachBacking()
    {
        _expected.Clear();
        ulong handle = Handle(_backings, one => one.Handle, out BackingState? backing);
        Say($"{handle:x}");
        return Detach(handle, backing);
    }

    private int Detach(ulong handle, BackingState? backing)
    {
        if (backing is { IsOfMissing: true })
        {
            return DetachMissing(handle, backing);
        }
        ReferenceSlot? slot = backing is { IsAttached: true } ? backing.Space.Model.Slots[backing.Slot] : null;
        _expected.Clear().If(slot is null, Status.BadHandle).If(backing is not null && AnyInside, Status.Deadlock);
        bool late = slot?.Log is not null && TimesOut(backing!.Space);
        int status = library.BackingDetach(handle);
        bool done = Check(status, late ? Status.TimedOut : 0);
        if (done)
        {
            backing!.Space.Model.Detach(slot!);
            backing.IsAttached = false;
            if (late)
            {
                backing.Space.Model.EveryPageDirty(slot!.Id);
            }
        }
        if (backing is { IsAttached: false })
        {
            _backings.Remove(backing); // its number is used up, whether or not its slot was there any more
            Gone(handle);
        }
        return status;
    }

    private int ExportImage()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        byte how = _code.Byte();
        ReferenceSlot[] slots = space is null ? [] : [.. space.Model.Slots.Values];
        int mapped = how % 4 == 0 ? 0 : slots.Length - (how % 16 == 3 && slots.Length > 0 ? 1 : 0);
        var frames = (ImageFrameMap*)_data.Take(mapped * sizeof(ImageFrameMap), Canary);
        for (int i = 0; i < mapped; i++)
        {
            frames[i] = new ImageFrameMap { slot = slots[i].Id, real_addr = Real(slots[i].Host) };
        }
        bool badFrame = mapped > 0 && how is 241 or 242 or 245 && how % 4 != 0;
        if (badFrame && mapped > 0)
        {
            frames[0].reserved = how == 241 ? 1u : 0;
            frames[0].real_addr += how == 241 ? 0 : 8UL;
        }
        ulong capacity = how % 8 == 7 ? 4096u : (ulong)_image.Bytes;
        bool hasMap = how % 4 != 0;
        ulong* size = (ulong*)_second.Take(8, Canary);
        ImageSink config = new()
        {
            flags = Flags(how % 2u),
            buffer = how == 254 ? null : _image.Take((int)capacity, Canary),
            capacity = capacity,
            size = how == 253 ? null : size,
            frames = hasMap ? frames : null,
            frame_count = (ulong)mapped,
        };
        ImageSink* sink = Input(config, out ImageSink seen);
        ulong realBase = ImageBase + (_code.Byte() >= 250 ? 0x1000UL : 0);
        ulong* asce = NumberOut(mayBeNull: false);
        Say($"{handle:x} base {realBase:x} flags {seen.flags:x} capacity {seen.capacity} map {(seen.frames is null ? "-" : mapped)}");
        bool bad = (seen.flags & ~1u) != 0 || seen.size is null || (seen.buffer is null && seen.capacity != 0) || realBase % 0x4000 != 0
            || (badFrame && seen.frame_count != 0) || (seen.frames is null && seen.frame_count != 0);
        ulong bytes = space is null ? 0 : ImageBytes(space.Model);
        bool missing = space is not null && seen.frames is not null && slots.Any(
            slot => !Covered(slot.Id, seen) && space.Model.MapsAny(slot, seen.flags == 0));
        _expected.If(space is null, Status.BadHandle).If(bad, Status.Invalid).If(AnyInside, Status.Deadlock)
            .If(space is not null && bytes > seen.capacity, Status.NoBuffer).If(missing, Status.NoEntry);
        int status = library.ImageExport(handle, realBase, sink, asce);
        if (Check(status, 0))
        {
            Same(*size, bytes, "image size");
            CheckImage(space!, *asce, bytes, seen);
        }
        return status;
    }

    private static bool Covered(uint slot, in ImageSink sink)
    {
        for (ulong i = 0; i < sink.frame_count; i++)
        {
            if (sink.frames[i].slot == slot)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Where a host address is in the image's storage: elsewhere, and as far from a border of 1 MB.</summary>
    private ulong Real(ulong host) => guest.Has(host) ? host - guest.Start + 0x1_0000_0000 : host;

    private static ulong ImageBytes(ReferenceSpace model) =>
        ((ulong)(model.Regions + model.SegmentTables) << 14) + ((ulong)model.PageTables * (ulong)model.PageTableBytes);

    /// <summary>Walks the image as a machine would, and compares with the model.</summary>
    private void CheckImage(SpaceState space, ulong asce, ulong bytes, in ImageSink sink)
    {
        byte[] storage = [.. new System.ReadOnlySpan<byte>(sink.buffer, (int)bytes)];
        var walker = new ArchitectedWalker(storage, ImageBase, ulong.MaxValue, edat1: true, edat2: false);
        bool moved = sink.frames is not null;
        foreach (ulong address in Interesting(space.Model).Take(ImageSamples))
        {
            // By generation the tables know nothing of clean pages.
            bool protects = !space.Model.ByGeneration || space.Model.Find(address) is { ReadOnly: true };
            Answer answer = space.Model.Translate(address, write: protects);
            if (answer.Status == Status.Addressing || answer.Reason == GmapNative.Space.FaultReason.BeyondLimit)
            {
                continue; // what a machine says of nothing is another matter
            }
            int code = walker.Walk(asce, address, store: true, out ulong real);
            bool hidden = answer.Reason == GmapNative.Space.FaultReason.Protected && space.Model.IsAged(address);
            int expected = !hidden ? answer.Status
                : space.Model.IsLeaf(address) ? Status.SegmentTranslation : Status.PageTranslation; // a machine knows only I = 1
            Same(code, expected, $"image at {address:x}");
            Same(code != 0 ? 0 : real, code != 0 ? 0 : moved ? Real(answer.Host) : answer.Host, $"image at {address:x}");
        }
    }
}
