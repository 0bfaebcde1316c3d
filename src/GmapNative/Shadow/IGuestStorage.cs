namespace GmapNative.Shadow;

/// <summary>The storage that a guest has its tables in: absolute addresses of that guest.</summary>
internal interface IGuestStorage
{
    /// <summary>
    /// Reads the 8 bytes at <paramref name="address"/> (divisible by 8) at once, and gives them in this machine's order: in storage they
    /// are big-endian. Answers 0, or a program-interruption code (0x05: outside of storage), or a negative status (Status.cs); not 0 ends
    /// the walk with that answer, and <paramref name="entry"/> says nothing.
    /// </summary>
    int ReadEntry(ulong address, out ulong entry);
}
