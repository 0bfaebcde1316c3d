namespace GmapNative.Space;

internal enum SplitPolicy
{
    /// <summary>The first write after arming splits one segment; dirty per 4 KB.</summary>
    Lazy = 0,

    /// <summary>Leaves stay; a write to an armed leaf makes its 256 pages dirty.</summary>
    Never = 1,

    /// <summary>As lazy; notifiers and smaller protections, which come later, would split at once.</summary>
    Eager = 2,
}

/// <summary>What a host asks of a space; see <c>gmap_space_config</c>.</summary>
internal sealed record SpaceOptions
{
    /// <summary>Highest valid guest address, below 4 TB.</summary>
    public required ulong Limit { get; init; }

    public SplitPolicy Policy { get; init; }

    /// <summary>
    /// What is the truth about written pages: the generation and dense bits (rule 26), or the entries (and the kernel, where a slot has
    /// a backing).
    /// </summary>
    public bool ByGeneration { get; init; }

    /// <summary>Whether 1 MB leaves are used where they fit.</summary>
    public bool Huge { get; init; } = true;
}
