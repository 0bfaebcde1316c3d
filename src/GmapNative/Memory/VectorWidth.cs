using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace GmapNative.Memory;

/// <summary>How many bytes a scan looks at in one instruction.</summary>
internal enum VectorWidth
{
    Scalar = 8,
    Bits128 = 16,
    Bits256 = 32,
    Bits512 = 64,
}

/// <summary>What the build may use: a constant in the native libraries (baseline: 128 bits; x86-64-v3: 256; v4: 512).</summary>
internal static class VectorWidths
{
    public static VectorWidth Widest
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)] // else it is a call, and every switch over it a branch
        get =>
            Vector512.IsHardwareAccelerated ? VectorWidth.Bits512
            : Vector256.IsHardwareAccelerated ? VectorWidth.Bits256
            : Vector128.IsHardwareAccelerated ? VectorWidth.Bits128
            : VectorWidth.Scalar;
    }
}
