using System.Runtime.InteropServices;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// Sections of library calls that have no view (rule 5). One small array of words serves the whole process and is never freed, so
/// that a call may enter before it knows whether its handle is still alive.
/// </summary>
internal static unsafe class LibrarySections
{
    public const int Count = 32;

    /// <summary>A section of the caller's that it does not tell.</summary>
    public const int Unknown = -1;

    private const int LineBytes = 128;

    // Zeroed by hand, cache-line pairs of their own, alive as long as the process.
    private static readonly nint s_words = Allocate();

    /// <summary>Begins a section; give the result to <see cref="Leave"/>. At most 32 at once, the 33rd waits.</summary>
    public static int Enter()
    {
        int slot = (int)((uint)View.CurrentThread % Count);
        SpinWait spin = default;
        for (int tries = 1; ; tries++)
        {
            ulong word = Volatile.Read(ref Word(slot));
            if (!View.IsInside(word) && Interlocked.CompareExchange(ref Word(slot), word + 1, word) == word)
            {
                return slot; // the compare-and-swap is the fence of rule 6, and that of a mark (rule 15)
            }
            slot = (slot + 1) % Count;
            if (tries % Count == 0)
            {
                Probe.At(Place.Waiting);
                spin.SpinOnce(sleep1Threshold: -1);
            }
        }
    }

    /// <summary>Returns when every section that is open has ended. In none.</summary>
    public static void WaitForAll()
    {
        Interlocked.MemoryBarrier();
        for (int slot = 0; slot < Count; slot++)
        {
            ulong seen = Volatile.Read(ref Word(slot));
            while (View.IsInside(seen) && Volatile.Read(ref Word(slot)) == seen)
            {
                Probe.At(Place.Waiting);
                HostSystem.Current.Yield();
            }
        }
    }

    public static void Leave(int slot) => Volatile.Write(ref Word(slot), Word(slot) + 1);

    public static ref ulong Word(int slot) => ref *(ulong*)(s_words + (slot * LineBytes));

    private static nint Allocate()
    {
        void* words = NativeMemory.AlignedAlloc(Count * LineBytes, LineBytes);
        NativeMemory.Clear(words, Count * LineBytes);
        return (nint)words;
    }
}
