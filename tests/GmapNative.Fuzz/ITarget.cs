namespace GmapNative.Fuzz;

/// <summary>What runs programs: every string of bytes is one.</summary>
internal interface ITarget
{
    /// <summary>How many operations the last program was.</summary>
    long Operations { get; }

    /// <summary>Null, or what was wrong and where.</summary>
    string? Run(byte[] program);
}
