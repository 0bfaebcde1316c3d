using System;

namespace GmapNative.Exports.Abi;

/// <summary>
/// Structs that begin with their size, so that a host and a library of different ages understand each other (the rules of the
/// kernel's <c>copy_struct_from_user</c>).
/// </summary>
internal static unsafe class SizedStruct
{
    private const uint Smallest = 8;    // struct_size and flags
    private const uint Largest = 4096;  // what claims to be longer is no struct, and not looked at

    /// <summary>
    /// Reads an input struct: what the caller's does not have is zero, what ours does not know must be zero.
    /// </summary>
    public static int Read<T>(T* source, out T value)
        where T : unmanaged, ISized
    {
        value = default;
        if (source is null)
        {
            return Status.Invalid;
        }
        // The caller's struct: struct_size bytes are readable, and at least that field.
        uint size = *(uint*)source;
        if (size < Smallest)
        {
            return Status.Invalid;
        }
        if (size > Largest)
        {
            return Status.ArgumentTooBig;
        }
        uint common = Math.Min(size, (uint)sizeof(T));
        if (size > common && new ReadOnlySpan<byte>((byte*)source + common, (int)(size - common)).ContainsAnyExcept((byte)0))
        {
            return Status.ArgumentTooBig;
        }
        fixed (T* target = &value)
        {
            Buffer.MemoryCopy(source, target, common, common);
        }
        return Status.Ok;
    }

    /// <summary>The size of an output struct, checked; nothing else of it is read.</summary>
    public static int Check<T>(T* target, out uint size)
        where T : unmanaged, ISized
    {
        size = target is null ? 0 : *(uint*)target;
        return size is < Smallest or > Largest ? Status.Invalid : Status.Ok;
    }

    /// <summary>Fills the smaller of both and zeroes what is not known here; struct_size stays the caller's.</summary>
    public static void Write<T>(T* target, uint size, T value)
        where T : unmanaged, ISized
    {
        uint common = Math.Min(size, (uint)sizeof(T));
        Buffer.MemoryCopy(&value, target, common, common);
        *(uint*)target = size;
        if (size > common)
        {
            new Span<byte>((byte*)target + common, (int)(size - common)).Clear();
        }
    }
}
