using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// A memory barrier in every thread of the process, paid by the rare side so that enter and leave can be plain stores (rule 6).
/// </summary>
internal static class ProcessBarrier
{
    private static int s_state; // 0 unknown, 1 the system has one, 2 the readers fence for themselves

    /// <summary>Without it every view gets <c>need_fence</c>.</summary>
    public static bool IsAvailable
    {
        get
        {
            if (s_state == 0)
            {
                s_state = HostSystem.Current.TryPrepareBarrier() ? 1 : 2;
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
            issued = !IsAvailable || HostSystem.Current.TryBarrier();
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
