using System;
using System.Buffers.Binary;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>
/// Operations: a guest keeps tables for its own guest. They lie in few pages, over one another and over the memory that they map.
/// </summary>
internal sealed unsafe partial class Machine
{
    private const ulong Frames = 16;

    private static readonly ulong[] s_tops = [0, 0, 0, 4, 4, 8, 12, 0]; // designation types: segment tables mostly
    private static readonly ulong[] s_indexes = [0, 1, 0, 2, 1, 0x1FF, 0x200, 0x7FF];
    private static readonly ulong[] s_innerPages = [0, 1, 2, 8, 0, 1, 128, 255];

    /// <summary>A page where a guest could have a table, or memory: of the space itself, or of the guest of a shadow.</summary>
    private ulong Frame(SpaceState? space, ShadowState? below)
    {
        byte choice = _code.Byte();
        if (below is not null && (below.Asce & RealSpace) == 0)
        {
            return below.Known.Count != 0 ? below.Known[choice % below.Known.Count] : s_innerPages[choice % 8] << 12;
        }
        if (space is null || space.Model.Slots.Count == 0)
        {
            return (ulong)choice << 12;
        }
        ReferenceSlot slot = space.Model.Slots.Values[choice / 16 % (choice < 160 ? 1 : space.Model.Slots.Count)];
        return slot.Start + (choice % Math.Min(slot.Pages, Frames) << 12);
    }

    private ulong NewAsce(SpaceState? space, ShadowState? below)
    {
        byte choice = _code.Byte();
        ulong frame = Frame(space, below);
        ulong odd = choice < 160 ? 3
            : choice < 200 ? choice % 4u
            : choice < 220 ? 0x103
            : choice < 240 ? Insignificant | 3 : RealSpace;
        return frame | s_tops[choice % s_tops.Length] | odd;
    }

    /// <summary>An address of a shadow's guest; often one that tables were made for.</summary>
    private ulong InnerAddress(ShadowState shadow)
    {
        byte choice = _code.Byte();
        ulong offset = _code.Byte() * 16u;
        if ((shadow.Asce & RealSpace) != 0)
        {
            return shadow.Below is null ? Address(shadow.Root) : InnerAddress(shadow.Below);
        }
        Feature(choice % 4u, 4);
        if (choice % 4 != 3 && shadow.Known.Count != 0)
        {
            ulong known = shadow.Known[choice / 4 % shadow.Known.Count];
            return choice % 4 != 2 || choice < 64
                ? known | offset : known ^ (s_indexes[choice / 4 % 8] << (choice < 128 ? 12 : 20)) | offset;
        }
        ulong address = (s_innerPages[choice / 4 % 8] << 12) | offset;
        int type = (int)(shadow.Asce >> 2) & 3;
        for (int level = 0; level <= type; level++)
        {
            address |= s_indexes[_code.Byte() % s_indexes.Length] << (20 + (11 * level));
        }
        return address ^ (_code.Rarely(32) ? _code.Spread() : 0);
    }

    /// <summary>Tables for one address of a shadow's guest, all of them, or one entry of those that there are.</summary>
    private int StoreTables()
    {
        byte choice = _code.Byte();
        ShadowState? shadow = _shadows.Count == 0 ? null : _shadows[choice % _shadows.Count];
        if (shadow is null)
        {
            Say("no shadow");
            return Skipped;
        }
        TellOfTables(shadow.Root);
        Uncrowd(shadow.Root);
        ulong address = InnerAddress(shadow);
        byte how = _code.Byte();
        Feature(how % 4u, 4);
        Say($"of {shadow.Handle:x} for {address:x} how {how}");
        if ((shadow.Asce & RealSpace) != 0)
        {
            return Skipped;
        }
        return how % 4 == 0 || shadow.Known.Count == 0 ? StoreChain(shadow, address, how) : StoreEntry(shadow, address, how);
    }

    private int StoreChain(ShadowState shadow, ulong address, byte how)
    {
        ulong table = shadow.Asce & ~0xFFFUL;
        int leaf = how >= 224 ? 1 : 0;
        for (int level = (int)(shadow.Asce >> 2) & 3; level >= 0; level--)
        {
            ulong next = Frame(shadow.Root, shadow.Below);
            next = level == 0 ? (next & ~0xFFFUL) | (ulong)(_code.Byte() % 2) << 11 : next | 3;
            ulong at = table + (((address >> (20 + (11 * level))) & 0x7FF) * 8);
            if (level == 0 && leaf != 0)
            {
                return Put(shadow, at, (next & ~0xFFFFFUL) | 0x400, how);
            }
            int status = Put(shadow, at, next | ((ulong)level << 2), how);
            if (status != 0)
            {
                return status;
            }
            table = next & ~0x7FFUL;
        }
        ulong page = address & ~0xFFFUL;
        if (shadow.Known.Count < 12 && !shadow.Known.Contains(page))
        {
            shadow.Known.Add(page);
        }
        ulong bits = _code.Byte() is var flags && flags >= 208 ? 0x200UL : flags >= 192 ? 0x400UL : 0;
        return Put(shadow, table + (((address >> 12) & 0xFF) * 8), Frame(shadow.Root, shadow.Below) | bits, how);
    }

    /// <summary>An entry on the way to an address is another from now on.</summary>
    private int StoreEntry(ShadowState shadow, ulong address, byte how)
    {
        var walker = new TableEntries(this, shadow);
        _ = walker.Walk(shadow.Asce, address, false, out _);
        if (walker.Entries.Count == 0)
        {
            return Skipped;
        }
        byte choice = _code.Byte();
        (ulong at, ulong entry) = walker.Entries[^(1 + (choice / 64 % walker.Entries.Count))];
        bool isPage = choice / 64 % walker.Entries.Count == 0 && walker.Entries.Count > ((int)(shadow.Asce >> 2) & 3) + 1;
        ulong next = (choice % 12) switch
        {
            0 => entry ^ (isPage ? 0x400UL : 0x20),
            1 or 2 => entry ^ 0x200,
            3 or 4 => (entry & 0xFFF) | Frame(shadow.Root, shadow.Below),
            5 => entry ^ 0x800,
            6 => isPage ? 0x400UL : 0x20,
            7 => (entry & ~0xFFFFFUL) ^ 0x400,
            8 => entry ^ (_code.Byte() % 12 is var bit ? 1UL << bit : 0),
            9 => (entry & 0xFFF) | (shadow.Asce & ~0xFFFUL),
            10 => entry,
            _ => entry ^ _code.Spread(),
        };
        return Put(shadow, at, next, how);
    }

    /// <summary>A guest's store of an entry: by the host for it, by a vcpu of its own, or by one of the guest's host.</summary>
    private int Put(ShadowState shadow, ulong at, ulong entry, byte how)
    {
        ulong root = at;
        if (shadow.Below is not null)
        {
            var walk = BookWalk.Of(shadow.Below, guest, at, write: true);
            if (walk.Code != 0 || walk.IsWild)
            {
                return Skipped;
            }
            root = walk.Root;
            VcpuState? inner = _vcpus.Find(one => one.Shadow == shadow.Below && one.IsOwn);
            if (how / 4 % 4 == 3 && inner is not null)
            {
                int status = NestedFault(inner, at, write: true, out ulong found);
                return status == 0 ? PutAt(shadow.Root, root, found, entry) : status;
            }
        }
        trace?.WriteLine($"  entry {entry:x} at {at:x}, below {root:x}");
        ReferenceSlot? slot = shadow.Root.Model.Find(root);
        if (slot is not { ReadOnly: false } || shadow.Root.Model.Lacks(root, 8) || !guest.Has(slot.Host))
        {
            return Skipped;
        }
        ulong host = slot.Host + (root - slot.Start);
        VcpuState? vcpu = _vcpus.Find(one => one.Space == shadow.Root && one.Shadow is null && one.IsOwn);
        if (how / 4 % 4 < 2 || vcpu is null)
        {
            byte* data = _data.Take(8, 0);
            BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>(data, 8), entry);
            Same(library.Write(shadow.Root.Handle, root, data, 8), 0, "write of an entry");
            shadow.Root.Model.Mark(root, 8);
            Stored(host, shadow.Root, root);
            return 0;
        }
        int fault = library.Fault(vcpu.Handle, root, 2, null);
        Answer answer = Resolved(vcpu, fault, root, write: true);
        fault = fault == 0 ? PutAt(shadow.Root, root, answer.Host, entry) : fault;
        AfterFault(vcpu, stays: false);
        return fault;
    }

    /// <summary>The store itself, of a vcpu that is inside.</summary>
    private int PutAt(SpaceState space, ulong root, ulong host, ulong entry)
    {
        if (guest.Has(host))
        {
            BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>((void*)host, 8), entry); // the driver's own memory
            Stored(host, space, root);
        }
        LeaveAll();
        return 0;
    }

    /// <summary>Entries on the way to an address, as addresses of the space that holds the tables.</summary>
    private sealed class TableEntries(Machine machine, ShadowState shadow)
        : Tests.Image.ArchitectedWalker([], 0, ulong.MaxValue, shadow.Edat >= 1, shadow.Edat >= 2)
    {
        public System.Collections.Generic.List<(ulong At, ulong Entry)> Entries { get; } = [];

        protected override int Load(ulong at, out ulong value)
        {
            ulong root = at;
            value = 0;
            if (shadow.Below is not null)
            {
                var walk = BookWalk.Of(shadow.Below, machine.Area, at, write: false);
                root = walk.Code == 0 && !walk.IsWild ? walk.Root : ulong.MaxValue;
            }
            ReferenceSlot? slot = shadow.Root.Model.Find(root);
            if (slot is null || !machine.Area.Has(slot.Host))
            {
                return Status.Addressing;
            }
            value = BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>((void*)(slot.Host + (root - slot.Start)), 8));
            Entries.Add((at, value));
            return 0;
        }
    }
}
