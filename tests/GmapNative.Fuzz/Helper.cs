using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace GmapNative.Fuzz;

/// <summary>A second thread that makes single calls for the first: its views are another thread's.</summary>
internal sealed class Helper
{
    private readonly SemaphoreSlim _asked = new(0);
    private readonly SemaphoreSlim _answered = new(0);
    private Func<int>? _call;
    private int _result;

    public Helper()
    {
        new Thread(Work) { IsBackground = true, Name = "helper" }.Start();
    }

    public int Run(Func<int> call)
    {
        _call = call;
        _asked.Release();
        _answered.Wait();
        return _result;
    }

    private void Work()
    {
        for (; ; )
        {
            _asked.Wait();
            _result = _call!();
            _answered.Release();
        }
    }
}

/// <summary>Host memory of the slots: 1 MB aligned, given back between programs.</summary>
internal sealed unsafe class GuestArea
{
    private const ulong Alignment = 1 << 20;

    public const ulong Bytes = 16 << 20;

    /// <summary>Where nothing is mapped.</summary>
    public const ulong Nowhere = 1UL << 40;

    public GuestArea()
    {
        Start = ((ulong)Native.Map((nuint)(Bytes + Alignment)) + Alignment - 1) & ~(Alignment - 1);
    }

    public ulong Start { get; }

    public bool Has(ulong host) => host - Start < Bytes;

    public void Forget() => Native.Forget((void*)Start, (nuint)Bytes);
}

/// <summary>What the library calls back.</summary>
internal static unsafe class Callbacks
{
    /// <summary>Told who is asked to leave; on the thread of the call.</summary>
    public static Action<ulong>? Kicked { get; set; }

    /// <summary>Messages so far; the last one's level.</summary>
    public static int Messages { get; private set; }

    public static int LastLevel { get; private set; }

    public static string LastMessage { get; private set; } = "";

    public static delegate* unmanaged<void*, int, byte*, void> LogPointer => &Log;

    public static delegate* unmanaged<void*, ulong, void> KickPointer => &Kick;

    [UnmanagedCallersOnly]
    private static void Log(void* user, int level, byte* message)
    {
        LastMessage = Marshal.PtrToStringUTF8((nint)message) ?? "";
        LastLevel = level;
        Messages++;
    }

    /// <summary>Calls of notifiers so far.</summary>
    public static int Notified { get; set; }

    public static delegate* unmanaged<void*, ulong, ulong, ulong, uint, void> NotifyPointer => &Notify;

    [UnmanagedCallersOnly]
    private static void Notify(void* user, ulong space, ulong first, ulong last, uint kind) =>
        Notified += Nested.Contains(space) && kind == ChangeKind ? 0 : 1; // shadows arm what they map

    private const uint ChangeKind = 1;

    /// <summary>Spaces with shadows.</summary>
    public static System.Collections.Generic.HashSet<ulong> Nested { get; } = [];

    [UnmanagedCallersOnly]
    private static void Kick(void* user, ulong vcpu) => Kicked?.Invoke(vcpu);
}
