using System;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Shadow;

/// <summary>
/// Resolves accesses of a shadow's guest: walks the guest's tables, has the root map and grant what they lead to, arms both, and installs
/// (rules 34 to 36). The steps of one install are in <see cref="ShadowInstall"/>.
/// </summary>
internal sealed class ShadowFaults(ShadowSpace shadow) : IShadowFaults
{
    /// <summary>How often a guest that rewrites its tables meanwhile can make a fault begin again before it is told to come back.</summary>
    private const int MostRounds = 16; // each installed it, which itself tries as often as a guest may be busy

    private readonly AddressSpace _space = shadow.Space;
    private readonly AddressSpace _root = shadow.Family.Root;

#pragma warning disable IDE1006 // a thread-static is named t_, which the naming rules cannot tell from a static
    [ThreadStatic]
    private static ShadowInstall? t_install;
#pragma warning restore IDE1006

    /// <inheritdoc/>
    public int Resolve(View view, ulong address, Access access, int thread, out FaultOutcome outcome)
    {
        bool write = (access & Access.Write) != 0;
        outcome = default;
        for (int round = 0; round < MostRounds; round++)
        {
            var mapped = new MappedAccess(_space.Tree);
            if (mapped.TryResolve(address, write, ref outcome))
            {
                ref CounterWords counted = ref _space.Counters.Of(thread);
                SpaceCounters.Add(ref write ? ref counted.WriteFaults : ref counted.ReadFaults);
                return Status.Ok;
            }
            view.LeaveCall();
            view.Leave();
            int status = Install(address, write, thread, ref outcome, out bool uncached);
            view.EnterCall();
            if (status != Status.Ok)
            {
                SpaceCounters.Add(ref _space.Counters.Of(thread).GuestConditions, status > 0 ? 1 : 0);
                return status;
            }
            if (uncached && TryResolveUncached(address, write, thread, ref outcome))
            {
                return Status.Ok;
            }
        }
        return Status.TryAgain;
    }

    /// <inheritdoc/>
    public int Translate(ulong address, Access access, out FaultOutcome outcome)
    {
        bool write = (access & Access.Write) != 0;
        outcome = default;
        ShadowWalk walk = Mine().Walk;
        walk.Run(shadow, address, write, _root.Map);
        if (walk.Code != Status.Ok)
        {
            return Condition(walk, ref outcome);
        }
        if (_root.Map.Find(walk.Root) is not { } slot)
        {
            outcome.Depth = (uint)shadow.Depth;
            return _root.Faults.NoSlot(walk.Root, ref outcome);
        }
        if (write && slot.IsReadOnly)
        {
            outcome.Reason = FaultReason.ReadOnlySlot;
            outcome.Depth = (uint)shadow.Depth;
            return Status.Protection;
        }
        var mapped = new MappedAccess(_space.Tree);
        if (!mapped.TryResolve(address, write: false, ref outcome)) // a cache says what needs no fault, the tables what there is
        {
            outcome.HostAddress = slot.HostOf(walk.Root);
            outcome.LeafSize = 1UL << walk.LeafShift;
        }
        return Status.Ok;
    }

    /// <summary>What a walk ended with, for the guest that it belongs to.</summary>
    public static int Condition(ShadowWalk walk, ref FaultOutcome outcome)
    {
        outcome.Depth = (uint)walk.Depth;
        outcome.TableAddress = walk.EntryAddress;
        outcome.Reason = walk.Code > 0 ? FaultReason.GuestTables : FaultReason.None;
        return walk.Code;
    }

    private static ShadowInstall Mine() => t_install ??= new ShadowInstall();

    /// <summary>In no section. What this thread took away from others on the way is told before it returns.</summary>
    private int Install(ulong address, bool write, int thread, ref FaultOutcome outcome, out bool uncached)
    {
        uncached = false;
        if (_root.Epochs.IsCallerInside())
        {
            return Status.Deadlock;
        }
        using var stay = new Stay(_root);
        using var stayHere = new Stay(_space);
        if (_root.IsDead || _space.IsDead)
        {
            return Status.BadHandle;
        }
        int status = Mine().Run(shadow, address, write, thread, ref outcome, out uncached);
        if (shadow.HasManyRetired)
        {
            _ = shadow.EndReaders();
        }
        // What it has itself is taken once: what it made before it failed again is no progress.
        for (bool own = false; status == Status.NoMemory && !own && shadow.Family.TryEmptyOldest(shadow, out own);)
        {
            status = Mine().Run(shadow, address, write, thread, ref outcome, out uncached);
        }
        return status;
    }

    /// <summary>
    /// A store into one of the tables that lead to it cannot be installed: the write ends the very mapping. It is granted in the root, for
    /// this access alone; a grace of the root waits for our section too. False: it was taken away again meanwhile.
    /// </summary>
    private bool TryResolveUncached(ulong address, bool write, int thread, ref FaultOutcome outcome)
    {
        ShadowWalk walk = Mine().Walk;
        walk.Run(shadow, address, write, _root.Map);
        if (walk.Code != Status.Ok || !walk.ReadsAround(GuestAddress.PageShift))
        {
            return false;
        }
        int status = _root.Faults.Resolve(walk.Root, write ? Access.Write : Access.Read, thread, out FaultOutcome below);
        if (status != Status.Ok)
        {
            return false;
        }
        outcome.HostAddress = below.HostAddress;
        outcome.LeafSize = GuestAddress.PageSize;
        outcome.Rights = Access.None; // the next access asks again
        return true;
    }
}
