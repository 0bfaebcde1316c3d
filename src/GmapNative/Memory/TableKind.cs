using System;

namespace GmapNative.Memory;

/// <summary>What the table pool hands out, and how big. Every table is aligned to its size.</summary>
internal enum TableKind
{
    /// <summary>256 page entries: 2 KB.</summary>
    Page = 0,

    /// <summary>2048 region entries: 16 KB.</summary>
    Region = 1,

    /// <summary>2048 segment entries (16 KB), 2048 summary words (8 KB), links to dense bits and watch tables: 32 KB.</summary>
    Segment = 2,

    /// <summary>Views and the words of spaces: 4 KB.</summary>
    Control = 3,

    /// <summary>One bit for each page of a segment table, where a space tracks by generation: 64 KB.</summary>
    DenseBits = 4,

    /// <summary>256 page entries and, 2 KB behind each, its PGSTE: 4 KB.</summary>
    PagePgste = 5,

    /// <summary>A halfword for each page of 8 segments, or 256 links to such tables (rule 28): 4 KB.</summary>
    Watch = 6,

    /// <summary>2048 region-third entries (16 KB) and the deposit of each (rule 33): 32 KB. Where a space has 2 GB leaves.</summary>
    RegionThird = 7,
}

internal static class TableKinds
{
    public const int Count = 8;

    /// <summary>All but <see cref="TableKind.Control"/>.</summary>
    public static ReadOnlySpan<TableKind> Tables =>
    [
        TableKind.Region, TableKind.Segment, TableKind.Page, TableKind.PagePgste, TableKind.DenseBits, TableKind.Watch,
        TableKind.RegionThird,
    ];

    public static int BytesOf(TableKind kind) => kind switch
    {
        TableKind.Page => 2 << 10,
        TableKind.Region => 16 << 10,
        TableKind.Segment or TableKind.RegionThird => 32 << 10,
        TableKind.DenseBits => 64 << 10,
        _ => 4 << 10,
    };
}
