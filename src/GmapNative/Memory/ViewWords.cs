using System.Runtime.InteropServices;

namespace GmapNative.Memory;

/// <summary>The words of a space that every walk reads: <c>gmap_space_word</c> of gmap_inline.h.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct SpaceWords
{
    public const int Bytes = 16;

    /// <summary>Of tables that answer "ask the library": no cache entry has it, and no grace takes it for an answer (rule 6).</summary>
    public const ulong ClosedGeneration = 1;

    /// <summary>What a space begins with.</summary>
    public const ulong FirstGeneration = 2;

    public ulong Asce;
    public ulong Generation;
}

/// <summary>
/// What a host thread shares with the engine: <c>gmap_view</c> of gmap_inline.h. The first cache line is written by the owner's
/// thread, the second by the library.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Bytes)]
internal unsafe struct ViewWords
{
    public const int Bytes = 128;
    public const uint InlineVersion = 3;

    public ulong Inside;
    public ulong Generation;
    public ulong AskAddress;
    public ulong Call;
    public ulong Granted;
    public fixed ulong Reserved0[3];
    public SpaceWords* Space;
    public ulong Vcpu;
    public uint Version;
    public uint NeedFence;
    public uint ByGeneration;
    public uint Reserved1;
    public fixed ulong Reserved2[4];
}
