using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// A memory barrier in every thread of the process, paid by the rare side so that enter and leave can be plain stores (rule 6).
/// </summary>
internal static class ProcessBarrier
{
    private const int Query = 0;
    private const int PrivateExpedited = 1 << 3;
    private const int RegisterPrivateExpedited = 1 << 4;

    private static int s_state; // 0 unknown, 1 membarrier, 2 the readers fence for themselves

    /// <summary>Without it every view gets <c>need_fence</c>.</summary>
    public static bool IsAvailable
    {
        get
        {
            if (s_state == 0)
            {
                int commands = Libc.Membarrier(Query);
                bool usable = commands > 0 && (commands & PrivateExpedited) != 0 && Libc.Membarrier(RegisterPrivateExpedited) == 0;
                s_state = usable ? 1 : 2;
            }
            return s_state == 1;
        }
    }

    /// <summary>
    /// False: the readers rely on it and it is refused now (a seccomp filter that came later). Nothing is known of them then.
    /// </summary>
    public static bool Issue()
    {
        Probe.At(Place.GraceBegins);
        bool issued = true;
        if (!Probe.LeavesOut(Step.NoBarrier))
        {
            issued = !IsAvailable || Libc.Membarrier(PrivateExpedited) == 0;
            if (!IsAvailable)
            {
                Interlocked.MemoryBarrierProcessWide(); // the readers fence; where the runtime can do more it does no harm
            }
        }
        Interlocked.MemoryBarrier();
        Probe.At(Place.BarrierDone);
        return issued;
    }
}
