namespace GmapNative.Shadow;

/// <summary>Which enhanced-DAT facility a nested guest has: its host decides that, for a shadow it is a part of the name.</summary>
internal enum EdatLevel
{
    None = 0,

    /// <summary>FC in segment entries (1 MB leaves), P in region entries.</summary>
    One = 1,

    /// <summary>Also FC (2 GB leaves) and CR in region-third entries.</summary>
    Two = 2,
}
