using System;
using System.Runtime.InteropServices;

namespace GmapNative.Fuzz;

/// <summary>Memory with an inaccessible page behind it: an argument that is read or written one byte too far is a crash.</summary>
internal sealed unsafe class GuardedArea
{
    private readonly byte* _start;
    private readonly byte* _end; // the guard page

    public GuardedArea(int bytes)
    {
        _start = (byte*)Native.Map((nuint)bytes + 4096);
        _end = _start + bytes;
        Native.Forbid(_end, 4096);
    }

    public int Bytes => (int)(_end - _start);

    /// <summary>So many bytes right before the guard, all <paramref name="fill"/>, and so is what stands before them.</summary>
    public byte* Take(int bytes, byte fill)
    {
        int around = Math.Min(Bytes, bytes + Margin);
        new Span<byte>(_end - around, around).Fill(fill);
        return _end - bytes;
    }

    public const int Margin = 64;

    /// <summary>Whether the bytes before the last <paramref name="bytes"/> are as <see cref="Take"/> left them.</summary>
    public bool IsMarginIntact(int bytes, byte fill)
    {
        int around = Math.Min(Bytes, bytes + Margin);
        return !new ReadOnlySpan<byte>(_end - around, around - bytes).ContainsAnyExcept(fill);
    }
}

/// <summary>Memory for the arguments of one call at a time, used by one program after the other.</summary>
internal sealed class Scratch
{
    public GuardedArea Config { get; } = new(8192);

    public GuardedArea Out { get; } = new(8192);

    public GuardedArea Words { get; } = new(64 << 10);

    public GuardedArea Data { get; } = new(64 << 10);

    public GuardedArea Number { get; } = new(4096);

    public GuardedArea Second { get; } = new(4096);

    public GuardedArea Image { get; } = new(1 << 20);
}

/// <summary>What the driver asks of the system.</summary>
internal static unsafe partial class Native
{
    private const int ReadWrite = 3;
    private const int PrivateAnonymousNoReserve = 0x4022;
    private const int NoHugePage = 15;
    private const int DontNeed = 4;

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Mmap(void* address, nuint bytes, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Mprotect(void* address, nuint bytes, int protection);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* address, nuint bytes, int advice);

    /// <summary>Private zeroed memory in small pages, so that the kernel tracks it page by page.</summary>
    public static void* Map(nuint bytes)
    {
        void* memory = Mmap(null, bytes, ReadWrite, PrivateAnonymousNoReserve, -1, 0);
        if ((nint)memory == -1)
        {
            throw new InvalidOperationException("mmap failed");
        }
        _ = Madvise(memory, bytes, NoHugePage);
        return memory;
    }

    public static void Forbid(void* memory, nuint bytes) => _ = Mprotect(memory, bytes, 0);

    /// <summary>Gives the pages back: zeroes again.</summary>
    public static void Forget(void* memory, nuint bytes) => _ = Madvise(memory, bytes, DontNeed);
}
