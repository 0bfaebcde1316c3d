using System;
using System.Collections.Generic;
using System.Numerics;
using System.Runtime.InteropServices;

namespace GmapNative.Shadow;

/// <summary>Why something of a shadow hangs on storage of the root.</summary>
internal enum HangKind : byte
{
    /// <summary>A piece of a guest's table is there, which describes the inner range.</summary>
    Table = 1,

    /// <summary>The inner range is mapped there.</summary>
    Memory = 2,
}

/// <summary>An inner range that hangs on a page or leaf of the root.</summary>
/// <param name="Root">The root's address, a multiple of 2^<paramref name="RootShift"/>.</param>
/// <param name="RootShift">12; 20 and 31 for memory that is mapped by leaves.</param>
/// <param name="Kind">Why.</param>
/// <param name="Shadow">Whose the inner range is: <see cref="ShadowSpace.Id"/>.</param>
/// <param name="Inner">Its address, a multiple of 2^<paramref name="InnerShift"/>.</param>
/// <param name="InnerShift">Its size.</param>
internal readonly record struct Hang(ulong Root, byte RootShift, HangKind Kind, uint Shadow, ulong Inner, byte InnerShift);

/// <summary>
/// What hangs on which storage of a root, for all its shadows: a multimap from root addresses, without duplicates. Open addressing in
/// memory of the C heap, which grows before it is needed: adding cannot fail. Under the family lock.
/// </summary>
internal sealed unsafe class ReverseMap : IDisposable
{
    private const int LeastCells = 256;

    private struct Cell
    {
        public ulong Root;
        public ulong Inner;
        public ulong Ticket;
        public uint Shadow;
        public byte RootShift;
        public byte InnerShift;
        public HangKind Kind; // 0: free
    }

    // Capacity cells of our own; nobody else has the pointer, which Reserve replaces and Dispose frees.
    private Cell* _cells;
    private int _capacity;

    public int Count { get; private set; }

    public ulong Bytes => (ulong)_capacity * (ulong)sizeof(Cell);

    /// <summary>Makes sure that <paramref name="more"/> calls of <see cref="Add"/> find room; false: no memory, nothing changed.</summary>
    public bool TryReserve(int more)
    {
        int wanted = Math.Max(LeastCells, (Count + more) * 3 / 2);
        return wanted <= _capacity || TryGrow((int)BitOperations.RoundUpToPowerOf2((uint)wanted));
    }

    /// <summary>Adds what is not there yet. After <see cref="TryReserve"/>.</summary>
    /// <param name="hang">What hangs where.</param>
    /// <param name="ticket">For tables: see <see cref="ShadowFamily"/>.</param>
    public void Add(in Hang hang, ulong ticket = 0)
    {
        int at = First(hang.Root, hang.RootShift);
        for (; _cells[at].Kind != 0; at = Next(at))
        {
            if (Of(_cells[at]) == hang)
            {
                return;
            }
        }
        _cells[at] = new Cell
        {
            Root = hang.Root,
            Inner = hang.Inner,
            Ticket = ticket,
            Shadow = hang.Shadow,
            RootShift = hang.RootShift,
            InnerShift = hang.InnerShift,
            Kind = hang.Kind,
        };
        Count++;
    }

    public bool Has(in Hang hang)
    {
        int at = First(hang.Root, hang.RootShift);
        while (_capacity != 0 && _cells[at].Kind != 0 && Of(_cells[at]) != hang)
        {
            at = Next(at);
        }
        return _capacity != 0 && _cells[at].Kind != 0;
    }

    /// <summary>All of a kind; looks at everything.</summary>
    public int CountOf(HangKind kind)
    {
        int count = 0;
        for (int at = 0; at < _capacity; at++)
        {
            count += _cells[at].Kind == kind ? 1 : 0;
        }
        return count;
    }

    public bool Remove(in Hang hang)
    {
        for (int at = First(hang.Root, hang.RootShift); _capacity != 0 && _cells[at].Kind != 0; at = Next(at))
        {
            if (Of(_cells[at]) == hang)
            {
                RemoveAt(at);
                return true;
            }
        }
        return false;
    }

    /// <summary>One of those that hang on a page or leaf; false: none does.</summary>
    public bool TryFind(ulong root, byte rootShift, HangKind kind, out Hang hang) => TryFind(root, rootShift, kind, out hang, out _);

    /// <summary>The same, with its ticket.</summary>
    public bool TryFind(ulong root, byte rootShift, HangKind kind, out Hang hang, out ulong ticket)
    {
        hang = default;
        ticket = 0;
        for (int at = First(root, rootShift); _capacity != 0 && _cells[at].Kind != 0; at = Next(at))
        {
            ref Cell cell = ref _cells[at];
            if (cell.Root == root && cell.RootShift == rootShift && cell.Kind == kind)
            {
                hang = Of(cell);
                ticket = cell.Ticket;
                return true;
            }
        }
        return false;
    }

    /// <summary>Gives all that hang on a page of tables a new ticket.</summary>
    public void Renew(ulong root, ulong ticket)
    {
        for (int at = First(root, Bits.GuestAddress.PageShift); _capacity != 0 && _cells[at].Kind != 0; at = Next(at))
        {
            ref Cell cell = ref _cells[at];
            if (cell.Root == root && cell.Kind == HangKind.Table)
            {
                cell.Ticket = ticket;
            }
        }
    }

    /// <summary>
    /// Removes all of a shadow whose inner range lies in 2^shift bytes from <paramref name="inner"/> on. Looks at everything.
    /// </summary>
    public void RemoveAll(uint shadow, ulong inner, int shift, List<Hang> removed)
    {
        for (int at = 0; at < _capacity;)
        {
            ref Cell cell = ref _cells[at];
            bool goes = cell.Kind != 0 && cell.Shadow == shadow && (shift >= 64 || (cell.Inner ^ inner) >> shift == 0)
                && cell.InnerShift <= shift;
            if (goes)
            {
                removed.Add(Of(cell));
                RemoveAt(at); // another one may have moved here
            }
            else
            {
                at++;
            }
        }
    }

    public void Dispose()
    {
        NativeMemory.Free(_cells);
        _cells = null;
        _capacity = 0;
        Count = 0;
    }

    private static Hang Of(in Cell cell) => new(cell.Root, cell.RootShift, cell.Kind, cell.Shadow, cell.Inner, cell.InnerShift);

    /// <summary>Addresses of one shift differ above it: multiplied, their differences reach the top bits.</summary>
    private int First(ulong root, byte rootShift) =>
        _capacity == 0 ? 0
        : (int)((((root >> rootShift) + rootShift) * 0x9E37_79B9_7F4A_7C15) >> (64 - BitOperations.Log2((uint)_capacity)));

    private int Next(int at) => (at + 1) & (_capacity - 1);

    /// <summary>Those behind it move up where they would not be found any more.</summary>
    private void RemoveAt(int hole)
    {
        for (int at = Next(hole); _cells[at].Kind != 0; at = Next(at))
        {
            int home = First(_cells[at].Root, _cells[at].RootShift);
            if (((at - home) & (_capacity - 1)) >= ((at - hole) & (_capacity - 1)))
            {
                _cells[hole] = _cells[at];
                hole = at;
            }
        }
        _cells[hole] = default;
        Count--;
    }

    private bool TryGrow(int capacity)
    {
        Cell* grown;
        try
        {
            grown = (Cell*)NativeMemory.AllocZeroed((nuint)capacity, (nuint)sizeof(Cell));
        }
        catch (OutOfMemoryException)
        {
            return false;
        }
        Cell* old = _cells;
        int oldCapacity = _capacity;
        _cells = grown;
        _capacity = capacity;
        Count = 0;
        for (int at = 0; at < oldCapacity; at++)
        {
            if (old[at].Kind != 0)
            {
                Add(Of(old[at]), old[at].Ticket);
            }
        }
        NativeMemory.Free(old);
        return true;
    }
}
