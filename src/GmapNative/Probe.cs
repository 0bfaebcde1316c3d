using System;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace GmapNative;

/// <summary>
/// What the tests of the protocol hold on to: places between two steps where other threads may come in, steps that may be left out to
/// prove that a test sees it, and the poisoning of freed tables. Compiled to nothing in the shipped and the tracing library: only the
/// check flavour and the test process have it.
/// </summary>
internal static unsafe class Probe
{
    private const string Switch = "GmapNative.Probe";
    private const byte PoisonByte = 0xDB; // as an entry: valid, no leaf, frames that nobody has: whoever walks it is seen

    private static Action<Place>? s_visitor;
    private static Step s_leftOut = StepFromEnvironment();

    /// <summary>A constant to the compiler of the native libraries; off wherever nobody asked for it.</summary>
    [FeatureSwitchDefinition(Switch)]
    public static bool IsSupported { get; } = AppContext.TryGetSwitch(Switch, out bool on) && on;

    /// <summary>Called at every place by the thread that came there; null: nobody is. One test at a time.</summary>
    public static Action<Place>? Visitor
    {
        get => s_visitor;
        set => s_visitor = value;
    }

    /// <summary>The step that is left out, a deliberate bug; the check flavour takes it from <c>GMAP_CHECK_LEAVE_OUT</c>.</summary>
    public static Step LeftOut
    {
        get => s_leftOut;
        set => s_leftOut = value;
    }

    /// <summary>Another thread may come in here.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void At(Place place)
    {
        if (IsSupported)
        {
            s_visitor?.Invoke(place);
        }
    }

    /// <summary>Whether a step of the protocol is to be left out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LeavesOut(Step step) => IsSupported && s_leftOut == step;

    /// <summary>Makes a freed table unlike any table. The memory is the caller's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Poison(nint memory, int bytes)
    {
        if (IsSupported)
        {
            NativeMemory.Fill((void*)memory, (nuint)bytes, PoisonByte);
        }
    }

    private static Step StepFromEnvironment() =>
        IsSupported && Enum.TryParse(Environment.GetEnvironmentVariable("GMAP_CHECK_LEAVE_OUT"), out Step step) ? step : Step.None;
}

/// <summary>Where a thread can be held up: between two steps of PROTOCOL.md that others may see apart.</summary>
internal enum Place
{
    None = 0,
}

/// <summary>What can be left out of the protocol; the numbers are its rules.</summary>
internal enum Step
{
    None = 0,
}
