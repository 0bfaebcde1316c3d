using System;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;

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
    private const uint LongestSpin = 1023;

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static uint t_random;
#pragma warning restore IDE1006

    /// <summary>A constant to the compiler of the native libraries; off wherever nobody asked for it.</summary>
    [FeatureSwitchDefinition(Switch)]
    public static bool IsSupported { get; } = AppContext.TryGetSwitch(Switch, out bool on) && on;

    // Behind IsSupported, which they ask.
    private static readonly uint s_jostle = JostleFromEnvironment();
    private static readonly Place s_jostleAt = NameFromEnvironment<Place>("GMAP_CHECK_JOSTLE_AT"); // None: everywhere
    private static readonly bool s_freezesAll = IsSupported && Environment.GetEnvironmentVariable("GMAP_CHECK_FREEZE") == "1";
    private static Action<Place>? s_visitor;
    private static Step s_leftOut = NameFromEnvironment<Step>("GMAP_CHECK_LEAVE_OUT");

    /// <summary>Whether harvests freeze all that is dirty; the check flavour takes it from <c>GMAP_CHECK_FREEZE</c>.</summary>
    public static bool FreezesAll => IsSupported && s_freezesAll;

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
            Visit(place);
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

    /// <summary>Takes a lock under which there are places: where somebody schedules the threads, a wait for it is a place too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Take(this Lock gate)
    {
        if (IsSupported && s_visitor is not null)
        {
            while (!gate.TryEnter())
            {
                At(Place.Waiting);
            }
            return;
        }
        gate.Enter();
    }

    /// <summary>As <see cref="Take"/>, to the end of a using statement.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HeldLock Hold(this Lock gate)
    {
        gate.Take();
        return new HeldLock(gate);
    }

    private static void Visit(Place place)
    {
        s_visitor?.Invoke(place);
        if (s_jostle != 0 && (place == s_jostleAt || (s_jostleAt == Place.None && place != Place.Waiting)))
        {
            Jostle();
        }
    }

    /// <summary>Holds the thread up now and then, so that the others come in between.</summary>
    private static void Jostle()
    {
        uint x = t_random != 0 ? t_random : (uint)Environment.CurrentManagedThreadId * 0x9E37_79B9; // xorshift
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        t_random = x;
        if (x % s_jostle != 0)
        {
            return;
        }
        uint kind = (x >> 16) & 0xFF;
        if (kind == 0)
        {
            Thread.Sleep(1);
        }
        else if (kind < 0x60)
        {
            _ = Thread.Yield();
        }
        else
        {
            Thread.SpinWait((int)(x & LongestSpin));
        }
    }

    private static uint JostleFromEnvironment() =>
        IsSupported && uint.TryParse(Environment.GetEnvironmentVariable("GMAP_CHECK_JOSTLE"), out uint oneIn) ? oneIn : 0;

    private static T NameFromEnvironment<T>(string variable)
        where T : struct, Enum
    {
        string? name = IsSupported ? Environment.GetEnvironmentVariable(variable) : null;
        if (string.IsNullOrEmpty(name))
        {
            return default;
        }
        if (!Enum.TryParse(name, out T value) || !Enum.IsDefined(value))
        {
            Environment.FailFast($"{variable}: there is no {name}"); // or a test would look for a bug that is not there
        }
        return value;
    }
}

/// <summary>A lock that is held until the end of a using statement.</summary>
internal readonly ref struct HeldLock(Lock? gate) : IDisposable
{
    /// <summary>Of none there is nothing to be let go.</summary>
    public void Dispose() => gate?.Exit();
}
