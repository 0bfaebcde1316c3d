using System;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Space;

namespace GmapNative.Shadow;

/// <summary>An entry that a walk read: where in the root, what it said, and how much of the inner space hangs on its page.</summary>
internal struct ShadowRead
{
    public ulong Root;
    public ulong Entry;
    public byte InnerShift;

    public readonly ulong Page => Root & ~(GuestAddress.PageSize - 1);
}

/// <summary>
/// The walk of a guest's tables down to the root: a shadow of a shadow has its tables, and its memory, behind the tables of the one below.
/// Everything that was read is remembered by its address in the root, where alone it can be written. Used again and again by one thread.
/// </summary>
internal sealed class ShadowWalk
{
    /// <summary>
    /// How many shadows may lie above each other: each one's five reads are preceded by five of the one below, and so on.
    /// </summary>
    public const int MostDepth = 3;

    private const int MostReads = 256; // 5 + 5 * (5 + 5 * 5 + 5) and what leads to the leaf are 215

    private readonly ShadowRead[] _reads = new ShadowRead[MostReads];
    private int _count;

    /// <summary>0, a program-interruption code, or a negative status.</summary>
    public int Code { get; private set; }

    /// <summary>Whose condition <see cref="Code"/> is: 0 the asked shadow's own, 1 the one's below, ...</summary>
    public int Depth { get; private set; }

    /// <summary>The last entry that was looked at for it, an address of the space below that one; 0: none.</summary>
    public ulong EntryAddress { get; private set; }

    /// <summary>Where the address leads in the root.</summary>
    public ulong Root { get; private set; }

    /// <summary>log2 of the least leaf on the way.</summary>
    public int LeafShift { get; private set; }

    /// <summary>P was set on the way.</summary>
    public bool IsProtected { get; private set; }

    public ReadOnlySpan<ShadowRead> Reads => _reads.AsSpan(0, _count);

    /// <summary>Walks for an access of a shadow's guest. In a section of the root; the slots are <paramref name="map"/>'s.</summary>
    public void Run(ShadowSpace shadow, ulong address, bool write, SlotMap map)
    {
        _count = 0;
        Depth = 0;
        EntryAddress = 0;
        IsProtected = false;
        LeafShift = 64;
        Code = Translate(shadow, address, write, map, depth: 0, leads: true, out ulong root);
        Root = root;
    }

    /// <summary>Whether the same entries were read, and said the same.</summary>
    public bool Agrees(ShadowWalk other)
    {
        bool agrees = _count == other._count && Code == other.Code && Root == other.Root;
        for (int i = 0; agrees && i < _count; i++)
        {
            agrees = _reads[i].Root == other._reads[i].Root && _reads[i].Entry == other._reads[i].Entry;
        }
        return agrees;
    }

    /// <summary>Whether a table that was read lies in 2^<paramref name="shift"/> bytes around <see cref="Root"/>.</summary>
    public bool ReadsAround(int shift)
    {
        bool found = false;
        foreach (ref readonly ShadowRead read in Reads)
        {
            found |= (read.Root ^ Root) >> shift == 0;
        }
        return found;
    }

    /// <summary>Translates for one level of shadows and those below.</summary>
    /// <param name="shadow">Whose tables.</param>
    /// <param name="address">An address of its guest.</param>
    /// <param name="write">Whether a store would follow.</param>
    /// <param name="map">The root's slots.</param>
    /// <param name="depth">How far below the asked shadow it is.</param>
    /// <param name="leads">Whether the memory of the access is there, and not a table.</param>
    /// <param name="root">Where it leads.</param>
    private int Translate(ShadowSpace shadow, ulong address, bool write, SlotMap map, int depth, bool leads, out ulong root)
    {
        var storage = new Storage(this, shadow.Parent, map, depth);
        GuestWalker.Walk(shadow.Asce.Value, shadow.Edat, address, write, ref storage, out GuestWalk walk);
        root = walk.Real;
        if (walk.Code != Status.Ok)
        {
            if (!storage.FailedBelow)
            {
                Depth = depth;
                EntryAddress = walk.EntryAddress;
            }
            return walk.Code;
        }
        if (leads)
        {
            LeafShift = Math.Min(LeafShift, walk.LeafShift);
            IsProtected |= walk.IsProtected;
        }
        int first = _count;
        int status = shadow.Parent is { } parent ? Translate(parent, walk.Real, write, map, depth + 1, leads, out root) : Status.Ok;
        if (depth == 0)
        {
            storage.NameSpans(walk);
            foreach (ref ShadowRead read in _reads.AsSpan(first, _count - first))
            {
                read.InnerShift = (byte)LeafShift; // of the spaces below, on the way to the memory: all of the leaf hangs on them
            }
        }
        return status;
    }

    private int ReadRoot(ulong root, SlotMap map, out ulong entry)
    {
        entry = 0;
        Slot? slot = map.Find(root);
        if (slot is not { IsPlain: true })
        {
            return slot is null ? Status.Addressing : Status.NotSupported; // rule 21: the kernel tells nobody before a write
        }
        entry = BinaryPrimitives.ReverseEndianness(LoadEntry(slot.HostOf(root)));
        _reads[_count++] = new ShadowRead { Root = root, Entry = entry };
        return Status.Ok;
    }

    /// <summary>Guest memory: mapped and alive as the host promised when it set the slot; 8 bytes of it, aligned as tables are.</summary>
    private static unsafe ulong LoadEntry(ulong host) => Volatile.Read(ref *(ulong*)host);

    /// <summary>What a level's tables are in: the root, or the guest of the shadow below.</summary>
    private ref struct Storage(ShadowWalk walk, ShadowSpace? below, SlotMap map, int depth) : IGuestStorage
    {
        private Ends _ends;
        private int _reads;

        /// <summary>The entry could not be read for a condition of a space below.</summary>
        public bool FailedBelow { get; private set; }

        public int ReadEntry(ulong address, out ulong entry)
        {
            ulong root = address;
            int status = below is null ? Status.Ok : walk.Translate(below, address, write: false, map, depth + 1, leads: false, out root);
            entry = 0;
            FailedBelow = status != Status.Ok;
            status = status != Status.Ok ? status : walk.ReadRoot(root, map, out entry);
            _ends[_reads++] = walk._count;
            return status;
        }

        /// <summary>How much hangs on the page of each entry, and on those that led to it.</summary>
        public readonly void NameSpans(in GuestWalk found)
        {
            int at = 0;
            for (int step = 0; step < found.StepCount; step++)
            {
                for (; at < _ends[step]; at++)
                {
                    walk._reads[at].InnerShift = (byte)found[step].PageSpanShift;
                }
            }
        }

        [InlineArray(GuestWalk.MostSteps)]
        private struct Ends
        {
            private int _first;
        }
    }
}
