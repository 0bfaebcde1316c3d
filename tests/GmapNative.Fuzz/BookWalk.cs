using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using GmapNative.Bits;
using GmapNative.Tests.Image;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>
/// Where an access of a guest's guest leads, by the book: tables of one level after the other, read from the driver's own memory through
/// the slots of the model.
/// </summary>
internal sealed unsafe class BookWalk
{
    private readonly GuestArea _guest;
    private readonly ReferenceSpace _model;
    private readonly HashSet<ulong> _read = [];

    private BookWalk(GuestArea guest, ReferenceSpace model)
    {
        _guest = guest;
        _model = model;
    }

    /// <summary>0, a program-interruption code, or a status: a table is in a slot with a backing.</summary>
    public int Code { get; private set; }

    /// <summary>Whose condition it is, and which entry was looked at last.</summary>
    public uint Depth { get; private set; }

    public ulong Entry { get; private set; }

    /// <summary>Where it leads in the root.</summary>
    public ulong Root { get; private set; }

    /// <summary>log2 of the least leaf on the way.</summary>
    public int LeafShift { get; private set; } = 31;

    public bool IsProtected { get; private set; }

    /// <summary>A table is where the host mapped nothing: nobody may ask the library.</summary>
    public bool IsWild { get; private set; }

    /// <summary>Pages of the root with entries that were read, in the order of the first read.</summary>
    public List<ulong> Tables { get; } = [];

    /// <summary>Whether the access is to one of the tables that lead to it.</summary>
    public bool IsOfTables => _read.Contains(Root & ~(GuestAddress.PageSize - 1));

    public static BookWalk Of(ShadowState shadow, GuestArea guest, ulong address, bool write)
    {
        var walk = new BookWalk(guest, shadow.Root.Model);
        walk.Code = walk.Translate(shadow, address, write, 0, leads: true, out ulong root);
        walk.Root = root;
        return walk;
    }

    public bool Reads(ulong page) => _read.Contains(page);

    private int Translate(ShadowState? shadow, ulong address, bool write, uint depth, bool leads, out ulong root)
    {
        root = address;
        if (shadow is null)
        {
            return 0;
        }
        var level = new Level(this, shadow, depth);
        int code = level.Walk(shadow.Asce, address, write, out ulong real);
        if (code != 0)
        {
            if (!level.FailedBelow)
            {
                (Depth, Entry) = (depth, level.LastEntry);
            }
            return code;
        }
        LeafShift = leads ? Math.Min(LeafShift, level.LeafShift) : LeafShift;
        IsProtected |= leads && level.IsProtected;
        return Translate(shadow.Below, real, write, depth + 1, leads, out root);
    }

    private int LoadRoot(ulong root, out ulong value)
    {
        value = 0;
        ReferenceSlot? slot = _model.Find(root);
        if (slot is not { IsPlain: true })
        {
            return slot is null ? Status.Addressing : Status.NotSupported;
        }
        ulong host = slot.Host + (root - slot.Start);
        IsWild |= !_guest.Has(host);
        if (!IsWild)
        {
            value = BinaryPrimitives.ReadUInt64BigEndian(new ReadOnlySpan<byte>((void*)host, sizeof(ulong))); // of the driver's area
        }
        ulong page = root & ~(GuestAddress.PageSize - 1);
        if (_read.Add(page))
        {
            Tables.Add(page);
        }
        return 0;
    }

    /// <summary>One guest's tables, in the storage of what is below it.</summary>
    private sealed class Level(BookWalk walk, ShadowState shadow, uint depth)
        : ArchitectedWalker([], 0, ulong.MaxValue, shadow.Edat >= 1, shadow.Edat >= 2)
    {
        public bool FailedBelow { get; private set; }

        protected override int Load(ulong at, out ulong value)
        {
            value = 0;
            int code = walk.Translate(shadow.Below, at, write: false, depth + 1, leads: false, out ulong root);
            FailedBelow = code != 0;
            return code != 0 ? code : walk.LoadRoot(root, out value);
        }
    }
}
