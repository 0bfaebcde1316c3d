namespace GmapNative.Space;

internal enum SplitPolicy
{
    /// <summary>The first write after arming splits one segment; dirty per 4 KB.</summary>
    Lazy = 0,

    /// <summary>Leaves stay; a write to an armed leaf makes its 256 pages dirty.</summary>
    Never = 1,

    /// <summary>As lazy; and a leaf of which a part is restricted or armed is split at once (rule 28).</summary>
    Eager = 2,
}

/// <summary>What a host asks of a space; see <c>gmap_space_config</c>.</summary>
internal sealed record SpaceOptions
{
    /// <summary>Highest valid guest address.</summary>
    public required ulong Limit { get; init; }

    public SplitPolicy Policy { get; init; }

    /// <summary>
    /// What is the truth about written pages: the generation and dense bits (rule 26), or the entries (and the kernel, where a slot has
    /// a backing).
    /// </summary>
    public bool ByGeneration { get; init; }

    /// <summary>Whether page tables have PGSTEs, 4 KB each.</summary>
    public bool Pgstes { get; init; }

    /// <summary>Whether every slot logs as long as one asks for it.</summary>
    public bool GlobalDirty { get; init; }

    public const int UsualShadows = 64;

    /// <summary>How many shadows there may be over it, those included that are kept although nobody has them open.</summary>
    public int MostShadows { get; init; } = UsualShadows;

    /// <summary>Bytes that their tables and what is known of them may take; then the oldest is emptied.</summary>
    public ulong ShadowBytes { get; init; } = 64 << 20;

    /// <summary>Whether 1 MB leaves are used where they fit.</summary>
    public bool Huge { get; init; } = true;

    /// <summary>Whether a host wants 2 GB leaves too, where they fit.</summary>
    public bool Huge2G { get; init; }

    /// <summary>Whether region-third entries may be leaves (rule 33): by generation not, since dense bits stand beside segments.</summary>
    public bool HasRegionLeaves => Huge && Huge2G && !ByGeneration;
}
