using System;
using System.Numerics;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>
/// Installs one entry of a shadow (rule 34), in the steps that its methods are. Used again and again by one thread, which is in no section
/// and holds no lock.
/// </summary>
internal sealed class ShadowInstall
{
    private const int MostRounds = 256;

    private readonly ShadowWalk _again = new();

    private ShadowSpace _shadow = null!;
    private AddressSpace _root = null!;
    private ulong _address;
    private bool _write;
    private int _thread;

    // What a step under the family lock could not do there: of which page of the root.
    private ulong _page;
    private bool _isTable;
    private ulong _armedSize; // of what wants watch halfwords

    /// <summary>The walk of the guest's tables; for whoever is in a section of the root.</summary>
    public ShadowWalk Walk { get; } = new();

    /// <summary>
    /// 0: installed, or <paramref name="uncached"/>: granted, and not to be installed. Else a condition of the guest, or of one below.
    /// </summary>
    public int Run(ShadowSpace shadow, ulong address, bool write, int thread, ref FaultOutcome outcome, out bool uncached)
    {
        (_shadow, _root, _address, _write, _thread) = (shadow, shadow.Family.Root, address, write, thread);
        uncached = false;
        WatchTally tally = _root.Watches.Begin();
        for (int round = 0; round < MostRounds; round++)
        {
            int section = LibrarySections.Enter();
            int thaws = _root.Thaws.Now;
            Walk.Run(shadow, address, write, _root.Map);
            LibrarySections.Leave(section);
            Probe.At(Place.GuestWalked);
            if (Walk.Code != Status.Ok)
            {
                return ShadowFaults.Condition(Walk, ref outcome);
            }
            int status = Resolve(Walk.Root, write, ref outcome, out int rootShift);
            if (status != Status.Ok)
            {
                outcome.Depth = (uint)shadow.Depth;
                return status;
            }
            int shift = Math.Min(rootShift, Walk.LeafShift);
            status = SplitTo(shift, rootShift, Walk.Root);
            if (status != Status.Ok)
            {
                return status;
            }
            uncached = write && Walk.ReadsAround(GuestAddress.PageShift);
            if (uncached)
            {
                return Status.Ok;
            }
            Probe.At(Place.RootResolved);
            Arming arming = Link(shift, ref outcome, out status);
            if (arming == Arming.Armed)
            {
                return status;
            }
            status = Prepare(arming, thaws, tally, ref outcome);
            if (status != Status.Ok)
            {
                outcome.Depth = (uint)shadow.Depth; // a table's page is forbidden by the host, or gone
                return status;
            }
        }
        return Status.TryAgain;
    }

    /// <summary>Steps C to F: under the family lock. Armed: done, with a status. Else what has to be done first.</summary>
    private Arming Link(int shift, ref FaultOutcome outcome, out int status)
    {
        status = Status.Ok;
        ShadowFamily family = _shadow.Family;
        using (family.Gate.Hold())
        {
            int section = LibrarySections.Enter();
            if (_shadow.IsEnding || !family.Hangs.TryReserve(Walk.Reads.Length + 1))
            {
                status = _shadow.IsEnding ? Status.BadHandle : Status.NoMemory;
                LibrarySections.Leave(section);
                return Arming.Armed;
            }
            Arming arming = ArmTables(family);
            if (arming == Arming.Armed && !Probe.LeavesOut(Step.ShadowWithoutSecondWalk))
            {
                _again.Run(_shadow, _address, _write, _root.Map);
                arming = _again.Agrees(Walk) ? Arming.Armed : Arming.NeedsFault;
                _isTable = false;
            }
            if (arming == Arming.Armed)
            {
                arming = Map(shift, ref outcome, out status);
            }
            LibrarySections.Leave(section);
            return arming;
        }
    }

    /// <summary>Every page that holds a piece of a table that was read is armed; those that are known already were so before.</summary>
    private Arming ArmTables(ShadowFamily family)
    {
        var pages = new RootPages(_root, _shadow.Family.Hangs);
        Arming all = Arming.Armed;
        foreach (ref readonly ShadowRead read in Walk.Reads)
        {
            bool known = family.Hangs.TryFindTable(read.Page, out ulong ticket);
            (_page, _isTable, _armedSize) = (read.Page, true, GuestAddress.SegmentSize);
            Arming arming = IsBacked(read.Page) ? Arming.NeedsFault : pages.ArmTable(read.Page, known);
            if (arming is not (Arming.Armed or Arming.New))
            {
                return arming;
            }
            if (arming == Arming.New)
            {
                ticket = family.NextTicket();
                family.Hangs.Renew(read.Page, ticket);
            }
            ulong inner = _address & ~((1UL << read.InnerShift) - 1);
            family.Hangs.Add(new Hang(read.Page, GuestAddress.PageShift, HangKind.Table, _shadow.Id, inner, read.InnerShift), ticket);
            bool graced = family.IsGraced(ticket) || Probe.LeavesOut(Step.NoGraceAfterTableArmed)
                || (arming == Arming.Armed && Probe.LeavesOut(Step.GraceOfOthersAssumed));
            all = graced ? all : Arming.New;
        }
        return all;
    }

    private Arming Map(int shift, ref FaultOutcome outcome, out int status)
    {
        status = Status.Ok;
        ulong size = 1UL << shift;
        _armedSize = ulong.Max(size, GuestAddress.SegmentSize);
        ulong root = Walk.Root & ~(size - 1);
        ulong inner = _address & ~(size - 1);
        var pages = new RootPages(_root, _shadow.Family.Hangs);
        (_page, _isTable) = (root, false);
        if (IsBacked(root))
        {
            return Arming.NeedsFault;
        }
        Arming arming = Arm(pages, shift, root, out ulong host, out bool writable);
        if (arming != Arming.Armed)
        {
            return arming;
        }
        // What the root grants already, and the guest allows, needs no fault of its own: it is dirty by now.
        writable &= !Walk.IsProtected && !Walk.ReadsAround(shift);
        status = _shadow.Tables.Map(inner, shift, root, host, writable);
        _shadow.EndCachedRights(); // a leaf may have gone for a page
        if (status == Status.TryAgain)
        {
            status = Status.Ok;
            return Arming.NeedsFault; // what was mapped there in one piece is gone, and may have disarmed this
        }
        Probe.At(Place.ShadowMapped);
        _shadow.Family.Touch(_shadow);
        outcome.Done |= status == Status.Ok ? FaultDone.Mapped : FaultDone.None;
        return Arming.Armed;
    }

    private Arming Arm(RootPages pages, int shift, ulong root, out ulong host, out bool writable) => shift switch
    {
        GuestAddress.PageShift => pages.ArmPage(root, _write, out host, out writable),
        GuestAddress.SegmentShift => pages.ArmLeaf(root, _write, out host, out writable),
        _ => pages.ArmRegion(root, _write, out host, out writable),
    };

    /// <summary>
    /// Whether the entries of a slot are not the truth (rule 21): a fault refuses it. Before the arming and in its section, so that a
    /// backing that comes sees the one, or the other.
    /// </summary>
    private bool IsBacked(ulong address) => _root.Map.Find(address) is { IsPlain: false };

    /// <summary>What a step under the family lock could not do there. In no section, with no lock.</summary>
    private int Prepare(Arming arming, int thaws, in WatchTally tally, ref FaultOutcome outcome)
    {
        switch (arming)
        {
            case Arming.New:
                int status = _shadow.Family.Grace();
                foreach (ref readonly ShadowRead read in Walk.Reads)
                {
                    _root.Watches.Settle(read.Page, read.Page + GuestAddress.PageSize, tally); // what hosts had armed there
                }
                return status;
            case Arming.NeedsWatch:
                return MakeWatch();
            case Arming.Frozen:
                _root.Thaws.WaitPast(thaws);
                return Status.Ok;
            case Arming.Due:
                HostSystem.Current.Yield(); // somebody is just telling of that page
                return Status.Ok;
            default:
                return _isTable ? ResolveTable(ref outcome) : Status.Ok; // the next round resolves what the walk leads to
        }
    }

    /// <summary>A page that holds a piece of a table is mapped by itself.</summary>
    private int ResolveTable(ref FaultOutcome outcome)
    {
        FaultOutcome table = default;
        int status = Resolve(_page, write: false, ref table, out int shift);
        outcome.Reason = table.Reason;
        return status == Status.Ok ? SplitTo(GuestAddress.PageShift, shift, _page) : status;
    }

    /// <summary>The root maps an address by leaves no larger than 2^shift; not supported by the policy never.</summary>
    private int SplitTo(int shift, int rootShift, ulong address)
    {
        if (rootShift <= shift || _root.Options.Policy == SplitPolicy.Never)
        {
            return rootShift <= shift ? Status.Ok : Status.NotSupported;
        }
        if (shift == GuestAddress.PageShift)
        {
            return RangeCalls.Split(_root, address & ~(GuestAddress.PageSize - 1), GuestAddress.PageSize, out _);
        }
        int section = LibrarySections.Enter();
        _ = _root.SplitRegion(address);
        LibrarySections.Leave(section);
        return Status.Ok;
    }

    private int MakeWatch()
    {
        using (_root.Configuration.Hold())
        {
            ulong start = _page & ~(_armedSize - 1);
            var maker = new WatchMaker(_root.Tree, _root.Engine.Pool, _root.Map);
            return maker.TryMake(start, start + _armedSize) ? Status.Ok : Status.NoMemory;
        }
    }

    /// <summary>The root maps an address, and makes it dirty for a store; log2 of its leaf.</summary>
    private int Resolve(ulong address, bool write, ref FaultOutcome outcome, out int shift)
    {
        for (; ; )
        {
            int thaws = _root.Thaws.Now; // before the look at the segment
            int section = LibrarySections.Enter();
            int status = _root.Faults.Resolve(address, write ? Access.Write : Access.Read, _thread, out FaultOutcome below);
            bool backed = IsBacked(address);
            LibrarySections.Leave(section);
            shift = BitOperations.Log2(below.LeafSize);
            if (status is FaultResolver.Frozen or FaultResolver.Watched)
            {
                status = _root.Faults.Wait(status, address, thaws);
                if (status == Status.Ok)
                {
                    continue;
                }
            }
            outcome.Dirtied += below.Dirtied;
            bool refused = backed && status is Status.Ok or Status.TryAgain; // rules 21 and 38
            outcome.Reason = refused ? FaultReason.None : below.Reason;
            return refused ? Status.NotSupported : status;
        }
    }
}
