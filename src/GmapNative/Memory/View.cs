using System.Runtime.CompilerServices;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>The library's side of a <see cref="ViewWords"/>: enter, leave, close. Enter and leave on the owner's thread only.</summary>
internal sealed unsafe class View
{
#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [System.ThreadStatic]
    private static int t_thread;
#pragma warning restore IDE1006
    private static int s_threads;

    private readonly ViewWords* _words; // in a control page of the arena, mapped until the engine is destroyed

    /// <param name="words">A zeroed control piece, ours until the engine ends.</param>
    /// <param name="space">What it walks.</param>
    /// <param name="inlineVersion">What the host's header speaks; another than ours gets <paramref name="closedSpace"/>.</param>
    /// <param name="closedSpace">A space in which every walk ends with a question.</param>
    public View(nint words, SpaceWords* space, uint inlineVersion, SpaceWords* closedSpace)
    {
        _words = (ViewWords*)words;
        bool speaks = inlineVersion == ViewWords.InlineVersion;
        _words->Space = speaks ? space : closedSpace;
        _words->Version = speaks ? inlineVersion : 0;
        _words->NeedFence = ProcessBarrier.IsAvailable ? 0u : 1u;
        Owner = CurrentThread;
    }

    public nint Address => (nint)_words;

    /// <summary>The header's stores set dense bits (rule 26). Before anybody has the view.</summary>
    public bool MarksDenseBits
    {
        init => _words->ByGeneration = value ? 1u : 0;
    }

    /// <summary>The handle, which the host reads too.</summary>
    public ulong Vcpu
    {
        get => _words->Vcpu;
        set => _words->Vcpu = value;
    }

    /// <summary>The thread that opened the view or last asked through it; see <see cref="CurrentThread"/>.</summary>
    public int Owner { get; set; }

    /// <summary>A number for the calling thread that no other thread of the process ever gets.</summary>
    public static int CurrentThread => t_thread != 0 ? t_thread : t_thread = Interlocked.Increment(ref s_threads);

    public ulong Inside => Volatile.Read(ref _words->Inside);

    public ref ulong InsideWord => ref _words->Inside;

    /// <summary>
    /// Sections that began before the space had this generation are over, also where the inside word stands still (rule 6).
    /// </summary>
    public ulong Generation => Volatile.Read(ref _words->Generation);

    /// <summary>Odd while a call of the owner resolves a fault.</summary>
    public ref ulong CallWord => ref _words->Call;

    public static bool IsInside(ulong word) => (word & 1) != 0;

    /// <summary>Pages that became dirty through this view: the header counts its own, the owner's faults theirs.</summary>
    public ulong Granted => Volatile.Read(ref _words->Granted);

    /// <summary>Counts pages that a fault made dirty. On the owner's thread, which alone writes the word.</summary>
    public void CountGranted(ulong pages) => Volatile.Write(ref _words->Granted, _words->Granted + pages);

    /// <summary>Begins a section, ending one that is open (rule 5).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        Volatile.Write(ref _words->Inside, (_words->Inside | 1) + 2);
        if (_words->NeedFence != 0)
        {
            Interlocked.MemoryBarrier();
        }
        Probe.At(Place.ViewEntered);
        var space = (SpaceWords*)Volatile.Read(ref *(nint*)&_words->Space);
        Volatile.Write(ref _words->Generation, Volatile.Read(ref space->Generation));
    }

    /// <summary>
    /// Begins the section of a fault: <see cref="Enter"/>, and the call word, which a change of configuration waits for.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EnterCall()
    {
        Volatile.Write(ref _words->Call, _words->Call + 1);
        Enter();
    }

    public void LeaveCall() => Volatile.Write(ref _words->Call, _words->Call + 1);

    public void Leave()
    {
        Probe.At(Place.ViewLeaves);
        Volatile.Write(ref _words->Inside, (_words->Inside + 1) & ~1UL);
    }

    /// <summary>Points the view at tables that answer "ask the library" to everything, and counts as leave.</summary>
    public void Close(SpaceWords* closedSpace)
    {
        _words->Version = 0;
        Volatile.Write(ref *(nint*)&_words->Space, (nint)closedSpace);
        Leave();
    }
}
