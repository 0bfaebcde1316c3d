using System;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports;

/// <summary>
/// A call in a section of its own: the handle is looked up inside it, so the space cannot end before the call does. For calls that
/// wait for nothing.
/// </summary>
internal readonly ref struct Call : IDisposable
{
    private Call(int section, AddressSpace? space)
    {
        Section = section;
        Space = space;
    }

    /// <summary>Nobody else has it until the call ends.</summary>
    public int Section { get; }

    /// <summary>Null: the handle is bad.</summary>
    public AddressSpace? Space { get; }

    public static Call Enter(ulong handle) => Enter(handle, andShadows: false);

    /// <summary>The same for calls that a shadow answers, too.</summary>
    public static Call EnterAny(ulong handle) => Enter(handle, andShadows: true);

    private static Call Enter(ulong handle, bool andShadows)
    {
        int section = LibrarySections.Enter();
        AddressSpace? space = andShadows ? HandleTable.FindAnySpace(handle)
            : HandleTable.Find<AddressSpace>(HandleKind.Space, handle);
        return new Call(section, space is { IsDead: false } ? space : null);
    }

    public void Dispose() => LibrarySections.Leave(Section);
}
