using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Exports.Abi;

/// <summary>What a vcpu handle stands for.</summary>
/// <param name="Space">The space that it walks.</param>
/// <param name="View">What it shares with its thread.</param>
/// <param name="StaysInside">Whether a fault leaves its section open: the host was given the view.</param>
/// <param name="Counters">What its faults count in, until it is closed.</param>
internal sealed record Vcpu(AddressSpace Space, View View, bool StaysInside, OwnCounters Counters)
{
    public RateMeter Rate { get; } = new();
}
