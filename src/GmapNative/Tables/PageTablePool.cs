using System;
using GmapNative.Bits;
using GmapNative.Memory;

namespace GmapNative.Tables;

/// <summary>Page tables in the one format that a space has: 2 KB, or 4 KB with PGSTEs.</summary>
internal readonly unsafe struct PageTablePool(TablePool pool, bool hasPgstes)
{
    public bool HasPgstes { get; } = hasPgstes;

    public TableKind Kind => HasPgstes ? TableKind.PagePgste : TableKind.Page;

    public int Bytes => TableKinds.BytesOf(Kind);

    /// <summary>One whose PGSTEs are zero and whose entries are unspecified; 0 when the arena is exhausted.</summary>
    public nint TryAllocate()
    {
        nint table = 0;
        return TryAllocate(new Span<nint>(ref table)) == 0 ? 0 : table;
    }

    /// <summary>Several; fewer than asked for when the arena is exhausted.</summary>
    public int TryAllocate(Span<nint> tables)
    {
        int got = pool.TryAllocate(Kind, tables);
        for (int i = 0; HasPgstes && i < got; i++)
        {
            // The second half of a 4 KB table that nobody else can see.
            new Span<ulong>((byte*)tables[i] + PageTable.PgsteOffset, GuestAddress.PageTableEntries).Clear();
        }
        return got;
    }

    /// <summary>Nobody reads it any more.</summary>
    public void Free(nint table) => pool.Free(table, Kind);
}
