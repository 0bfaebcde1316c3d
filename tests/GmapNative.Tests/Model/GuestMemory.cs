using System;
using System.Runtime.InteropServices;

namespace GmapNative.Tests.Model;

/// <summary>Host memory for slots of tests: zeroed, 1 MB aligned, touched only where a test stores.</summary>
internal sealed unsafe class GuestMemory : IDisposable
{
    public const ulong Alignment = 1 << 20;

    private readonly void* _memory;

    public GuestMemory(ulong bytes)
    {
        // calloc gives big pieces zeroed without touching them.
        _memory = NativeMemory.AllocZeroed((nuint)(bytes + Alignment));
        Start = ((ulong)_memory + Alignment - 1) & ~(Alignment - 1);
        Bytes = bytes;
    }

    public ulong Start { get; }

    public ulong Bytes { get; }

    public void Dispose() => NativeMemory.Free(_memory);
}
