using System;
using System.Numerics;

namespace GmapNative.Memory;

/// <summary>
/// Tables from the arena's blocks: a block of 64 KB serves one kind at a time and becomes free for any kind when its last table
/// comes back. What is handed out is not cleared.
/// </summary>
/// <remarks>Thread-safe; allocates nothing on the managed heap. Addresses are aligned to the table's size.</remarks>
internal sealed unsafe class TablePool : IDisposable
{
    private const int None = -1;

    /// <summary>A block's place in its list and the tables of it that are free.</summary>
    private struct Block
    {
        public uint Free;
        public int Next;
        public int Previous;
        public int Kind;
    }

    private readonly Arena _arena;
    private readonly GuardedRegion _metadata;
    private readonly Block* _blocks;  // one per block of the arena, committed ahead of use, alive as long as the pool
    private readonly int[] _partial = new int[TableKinds.Count];
    private readonly long[] _live = new long[TableKinds.Count];
    private SpinGate _gate;
    private int _emptyBlocks = None;  // a list through Next
    private int _emptyCount;

    private TablePool(Arena arena, GuardedRegion metadata)
    {
        _arena = arena;
        _metadata = metadata;
        _blocks = (Block*)metadata.Start;
        Array.Fill(_partial, None);
    }

    /// <summary>Null where there is no address space for the pool's own records (16 bytes a block).</summary>
    public static TablePool? TryCreate(Arena arena)
    {
        nuint bytes = ((arena.Limit / Arena.BlockBytes * (nuint)sizeof(Block)) + 4095) & ~(nuint)4095;
        GuardedRegion? metadata = GuardedRegion.TryReserve(bytes);
        if (metadata is null || !metadata.TryCommit(0, bytes))
        {
            metadata?.Dispose();
            return null;
        }
        return new TablePool(arena, metadata);
    }

    /// <summary>Tables of a kind that are handed out.</summary>
    public long Live(TableKind kind) => System.Threading.Volatile.Read(ref _live[(int)kind]);

    /// <summary>Bytes of blocks taken from the arena that are in no table.</summary>
    public long FreeBytes
    {
        get
        {
            _gate.Enter();
            long free = (long)_emptyCount * (long)Arena.BlockBytes;
            for (int kind = 0; kind < TableKinds.Count; kind++)
            {
                for (int block = _partial[kind]; block != None; block = _blocks[block].Next)
                {
                    free += (long)BitOperations.PopCount(_blocks[block].Free) * TableKinds.BytesOf((TableKind)kind);
                }
            }
            _gate.Exit();
            return free;
        }
    }

    /// <summary>A table of this kind, contents unspecified; 0 when the arena is exhausted.</summary>
    public nint TryAllocate(TableKind kind)
    {
        nint table = 0;
        return TryAllocate(kind, new Span<nint>(ref table)) == 0 ? 0 : table;
    }

    /// <summary>Several at once, by their addresses where they can be; fewer than asked for when the arena is exhausted.</summary>
    public int TryAllocate(TableKind kind, Span<nint> tables)
    {
        int wanted = 0;
        while (wanted < tables.Length && !_arena.FailsNow())
        {
            wanted++;
        }
        _gate.Enter();
        int got = 0;
        while (got < wanted && TryTake(kind, tables[got..wanted], out int taken))
        {
            got += taken;
        }
        _live[(int)kind] += got;
        _gate.Exit();
        if (got < wanted)
        {
            Tell.MemoryRefused("table: the arena's limit or the machine's memory");
        }
        return got;
    }

    /// <summary>Takes a table back. The caller knows that nobody reads it any more.</summary>
    public void Free(nint table, TableKind kind)
    {
        int size = TableKinds.BytesOf(kind);
        int block = (int)((table - _arena.Start) / (nint)Arena.BlockBytes);
        int slot = (int)((table - _arena.Start) % (nint)Arena.BlockBytes) / size;
        _gate.Enter();
        uint before = _blocks[block].Free;
        if (_blocks[block].Kind != (int)kind || (before & (1u << slot)) != 0)
        {
            _gate.Exit();
            throw new InvalidOperationException("A table was freed twice or as another kind.");
        }
        Probe.Poison(table, size); // nobody may read it, and nobody takes a table for cleared
        _blocks[block].Free = before | (1u << slot);
        _live[(int)kind]--;
        if (before == 0)
        {
            Link(block, kind);
        }
        if (_blocks[block].Free == FullMask(kind))
        {
            Unlink(block);
            _blocks[block].Next = _emptyBlocks;
            _emptyBlocks = block;
            _emptyCount++;
            _arena.RetireBlock();
        }
        _gate.Exit();
        Probe.At(Place.TableFreed);
    }

    public void Dispose() => _metadata.Dispose();

    /// <summary>As many as one block has.</summary>
    private bool TryTake(TableKind kind, Span<nint> tables, out int taken)
    {
        taken = 0;
        int block = _partial[(int)kind];
        if (block == None)
        {
            block = TakeEmptyBlock(kind);
        }
        if (block == None)
        {
            return false;
        }
        nint start = _arena.Start + (block * (nint)Arena.BlockBytes);
        int size = TableKinds.BytesOf(kind);
        uint free = _blocks[block].Free;
        for (; free != 0 && taken < tables.Length; free &= free - 1)
        {
            tables[taken++] = start + (BitOperations.TrailingZeroCount(free) * size);
        }
        _blocks[block].Free = free;
        if (free == 0)
        {
            Unlink(block);
        }
        return true;
    }

    private static uint FullMask(TableKind kind)
    {
        int tables = (int)Arena.BlockBytes / TableKinds.BytesOf(kind);
        return tables == 32 ? uint.MaxValue : (1u << tables) - 1;
    }

    private int TakeEmptyBlock(TableKind kind)
    {
        int block = _emptyBlocks;
        if (block != None)
        {
            if (!_arena.TryReuseBlock())
            {
                return None;
            }
            _emptyBlocks = _blocks[block].Next;
            _emptyCount--;
        }
        else
        {
            nint address = _arena.TryTakeBlock();
            if (address == 0)
            {
                return None;
            }
            block = (int)((address - _arena.Start) / (nint)Arena.BlockBytes);
        }
        _blocks[block].Free = FullMask(kind);
        Link(block, kind);
        return block;
    }

    private void Link(int block, TableKind kind)
    {
        int head = _partial[(int)kind];
        _blocks[block].Kind = (int)kind;
        _blocks[block].Previous = None;
        _blocks[block].Next = head;
        if (head != None)
        {
            _blocks[head].Previous = block;
        }
        _partial[(int)kind] = block;
    }

    private void Unlink(int block)
    {
        int next = _blocks[block].Next;
        int previous = _blocks[block].Previous;
        if (next != None)
        {
            _blocks[next].Previous = previous;
        }
        if (previous != None)
        {
            _blocks[previous].Next = next;
        }
        else
        {
            _partial[_blocks[block].Kind] = next;
        }
    }
}
