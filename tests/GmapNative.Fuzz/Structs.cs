using System;
using System.Runtime.CompilerServices;
using GmapNative.Exports.Abi;

namespace GmapNative.Fuzz;

/// <summary>Arguments that are structs and pointers, good and bad. Each stands right before a guard page.</summary>
internal sealed unsafe partial class Machine
{
    private const byte Canary = 0xC5;
    private const uint LargestStruct = 4096;

    private readonly GuardedArea _config = scratch.Config;
    private readonly GuardedArea _out = scratch.Out;
    private readonly GuardedArea _words = scratch.Words;
    private readonly GuardedArea _data = scratch.Data;
    private readonly GuardedArea _number = scratch.Number;
    private readonly GuardedArea _second = scratch.Second;

    /// <summary>
    /// An input struct: mostly as it is; else of another size. <paramref name="seen"/> is what the library must make of it.
    /// </summary>
    private T* Input<T>(T value, out T seen)
        where T : unmanaged, ISized
    {
        byte choice = _code.Byte();
        uint exact = (uint)sizeof(T);
        uint step = exact <= 16 || typeof(T) == typeof(SpaceConfig) ? 4u : 8; // no half of a pointer
        uint size = (choice < 232 ? 8 : choice % 12) switch
        {
            0 => 0,
            1 => 7,
            2 => 8,
            3 => 8 + (step * (_code.Byte() % ((exact / step) - (8 / step)))), // short
            4 => exact + 8,
            5 => exact + 8,     // and its tail is not zero
            6 => LargestStruct,
            7 => LargestStruct + 1,
            9 => uint.MaxValue,
            10 => 9,
            _ => exact,
        };
        bool isNull = choice == 243;
        bool badTail = choice >= 232 && choice % 12 == 5;
        bool claims = size > LargestStruct; // its size is all that may be looked at
        int readable = claims ? 4 : (int)Math.Max(4, size);
        byte* at = _config.Take(readable, 0);
        uint common = Math.Min(exact, claims ? 4 : size);
        Unsafe.CopyBlock(at, &value, Math.Max(common, 4));
        *(uint*)at = size;
        if (badTail)
        {
            at[size - 1] = 1;
        }
        _expected.If(isNull || size < 8, Status.Invalid).If(claims || badTail, Status.ArgumentTooBig);
        seen = default;
        fixed (T* into = &seen)
        {
            Unsafe.CopyBlock(into, &value, Math.Min(exact, claims ? 4 : size));
        }
        Feature(isNull ? 12u : choice < 232 ? 8u : choice % 12u, 13);
        return isNull ? null : (T*)at;
    }

    /// <summary>An output struct and its size; null where the pointer is.</summary>
    private T* Output<T>(out uint size, bool mayBeNull)
        where T : unmanaged, ISized
    {
        byte choice = _code.Byte();
        uint exact = (uint)sizeof(T);
        size = (choice < 240 ? 7 : choice % 8) switch
        {
            0 => 0,
            1 => 7,
            2 => 8,
            3 => 8 + (_code.Byte() % (exact - 8)),
            4 => LargestStruct,
            5 => LargestStruct + 1,
            6 => uint.MaxValue,
            _ => exact,
        };
        bool isNull = choice == 255 || (mayBeNull && choice % 8 == 5);
        bool bad = size is < 8 or > LargestStruct;
        int writable = bad ? 4 : (int)size;
        byte* at = _out.Take(writable, Canary);
        *(uint*)at = size;
        _expected.If(isNull ? !mayBeNull : bad, Status.Invalid);
        Feature(isNull ? 8u : choice < 240 ? 7u : choice % 8u, 9);
        size = bad ? 4 : size;
        return isNull ? null : (T*)at;
    }

    /// <summary>What an output struct received; what the library does not know must be zero.</summary>
    private T Received<T>(T* at, uint size)
        where T : unmanaged, ISized
    {
        That(_out.IsMarginIntact((int)size, Canary), "the bytes before an output struct were written");
        T value = default;
        Unsafe.CopyBlock(&value, at, Math.Min(size, (uint)sizeof(T)));
        Same(value.StructSize, size, "struct_size");
        var tail = new ReadOnlySpan<byte>((byte*)at + Math.Min(size, (uint)sizeof(T)), (int)Math.Max(0, (int)size - sizeof(T)));
        That(!tail.ContainsAnyExcept((byte)0), "the tail of an output struct is not zero");
        return value;
    }

    /// <summary>Nothing of an output struct may have been written by a call that failed before it.</summary>
    private void Untouched<T>(T* at, uint size)
        where T : unmanaged, ISized
    {
        bool intact = at is null || !new ReadOnlySpan<byte>((byte*)at + 4, (int)size - 4).ContainsAnyExcept(Canary);
        That(intact, "an output struct was written by a call that failed");
    }

    /// <summary>A pointer to a number that a call writes; NULL is an error unless it may be.</summary>
    private ulong* NumberOut(bool mayBeNull, GuardedArea? area = null)
    {
        byte choice = _code.Byte();
        bool isNull = mayBeNull ? choice % 8 == 7 : choice == 255;
        _expected.If(isNull && !mayBeNull, Status.Invalid);
        Feature(isNull ? 1u : 0, 2);
        return isNull ? null : (ulong*)(area ?? _number).Take(8, Canary);
    }

    private static bool IsWritten(ulong* number) => number is not null && *number != 0xC5C5C5C5C5C5C5C5UL;

    /// <summary>Flags: mostly the given ones, rarely an unknown one with them.</summary>
    private uint Flags(uint good)
    {
        byte choice = _code.Byte();
        return choice < 248 ? good : good | (1u << ((choice * 5) % 32));
    }

    /// <summary>Flags that are an argument of their own.</summary>
    private uint FlagArgument(uint good, uint known)
    {
        uint flags = Flags(good);
        _expected.If((flags & ~known) != 0, Status.Invalid);
        return flags;
    }

    private uint Reserved() => _code.Byte() is var choice && choice >= 252 ? choice : 0u;
}
