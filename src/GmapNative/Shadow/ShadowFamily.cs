using System;
using System.Threading;
using GmapNative.Bits;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tables;

namespace GmapNative.Shadow;

/// <summary>
/// The shadows over a root: found or made, kept, emptied and dropped; and what of them goes before a grace of the root (rules 34 to 36).
/// Thread-safe.
/// </summary>
/// <remarks>
/// A table page is <em>graced</em> when all have left who could write there when it was armed. Each arming gets a ticket; a grace that
/// began after it makes all tickets up to that moment graced. A fault that finds a page armed, but not graced, waits itself.
/// </remarks>
internal sealed class ShadowFamily : IShadowFamily
{
    private ShadowSpace[] _shadows = []; // replaced as a whole, under the family lock
    private readonly TakenPages _taken = new();
    private uint _ids;
    private ulong _clock;
    private ulong _tickets;
    private ulong _graced;
    private long _emptied; // of one emptying
    private bool _ended;

    private ShadowFamily(AddressSpace root)
    {
        Root = root;
        Hangs = new RootHangs(root);
    }

    public AddressSpace Root { get; }

    /// <inheritdoc/>
    public Lock Gate { get; } = new();

    public RootHangs Hangs { get; }

    /// <summary>The shadows that there are, idle ones included.</summary>
    public AddressSpace[] Spaces
    {
        get
        {
            using (Gate.Hold())
            {
                return [.. Array.ConvertAll(_shadows, shadow => shadow.Space)];
            }
        }
    }

    /// <summary>The family of a root, made when it is first asked for; null: the root has ended.</summary>
    private static ShadowFamily? Of(AddressSpace root)
    {
        if (root.Shadows is null)
        {
            using (root.Configuration.Hold())
            {
                if (root.Shadows is null && !root.IsDead)
                {
                    var made = new ShadowFamily(root);
                    root.Epochs.AfterGrace = made.DisarmReleased;
                    root.Epochs.BeforeGrace = made.EmptyTaken;
                    root.Shadows = made;
                }
            }
        }
        return (ShadowFamily?)root.Shadows;
    }

    /// <summary>See <c>gmap_shadow_open</c>.</summary>
    public static int Open(AddressSpace space, ulong asce, uint edat, out ShadowSpace? shadow)
    {
        shadow = null;
        var parent = (ShadowSpace?)space.Shadow;
        AddressSpace root = parent?.Family.Root ?? space;
        if (edat > (uint)EdatLevel.Two)
        {
            return Status.Invalid;
        }
        if (root.Options.ByGeneration || parent?.Depth >= ShadowWalk.MostDepth)
        {
            return Status.NotSupported;
        }
        if (root.Epochs.IsCallerInside())
        {
            return Status.Deadlock; // an old shadow may have to go, and its readers with it
        }
        ShadowFamily? family = Of(root); // before the stay: who ends a space holds the configuration lock, and waits for all stays
        using var stay = new Stay(root);
        int status = root.IsDead || family is null ? Status.BadHandle
            : family.Open(parent, new GuestAsce(asce), (EdatLevel)edat, out shadow);
        Tell.ShadowOpen(space.Number, shadow?.Space.Number ?? 0, asce, edat, status);
        root.Engine.ReportLockRefusal();
        return status;
    }

    /// <summary>See <c>gmap_shadow_close</c>. It stays, for who opens it again, until others need its room.</summary>
    public int Close(ShadowSpace shadow)
    {
        using (Gate.Hold())
        {
            if (shadow.Opened == 1 && shadow.Space.Epochs.ViewCount != 0)
            {
                return Status.Busy;
            }
            shadow.Opened--;
            shadow.References--;
            return Status.Ok;
        }
    }

    /// <summary>When a shadow was used. Under the family lock.</summary>
    public void Touch(ShadowSpace shadow) => shadow.Used = ++_clock;

    /// <summary>The number of an arming that comes now. Under the family lock.</summary>
    public ulong NextTicket() => ++_tickets;

    /// <summary>Whether all who could write to a page before it was armed have left. Under the family lock.</summary>
    public bool IsGraced(ulong ticket) => ticket <= _graced;

    /// <summary>
    /// Ends the rights of those who could write to what was armed before, and waits for them. In no section, with no lock.
    /// </summary>
    public int Grace()
    {
        ulong tickets;
        using (Gate.Hold())
        {
            tickets = _tickets;
        }
        Root.Tree.BumpGeneration();
        int status = Root.Epochs.WaitForGrace(bumped: true);
        using (Gate.Hold())
        {
            _graced = status == Status.Ok ? ulong.Max(_graced, tickets) : _graced;
        }
        return status;
    }

    /// <summary>
    /// Empties the shadow that was not used for the longest time, the one that wants room as the last: its tables are a cache only.
    /// False: there is nothing to empty. <paramref name="own"/>: it was the last. In no section, with no lock.
    /// </summary>
    public bool TryEmptyOldest(ShadowSpace wants, out bool own)
    {
        ShadowSpace? oldest = null;
        using (Gate.Hold())
        {
            foreach (ShadowSpace shadow in _shadows)
            {
                bool older = shadow != wants && !shadow.Tables.IsEmpty && (oldest is null || shadow.Used < oldest.Used);
                oldest = older ? shadow : oldest;
            }
            oldest ??= wants.Tables.IsEmpty ? null : wants;
            own = oldest == wants;
            ClearAll(oldest);
            oldest?.Space.Stays.Enter();
        }
        int status = oldest?.EndReaders() ?? Status.NoMemory;
        oldest?.Space.Stays.Leave();
        return status == Status.Ok;
    }

    /// <inheritdoc/>
    public void Queue(ulong page, WatchBits kinds) => _taken.Add(page, kinds);

    /// <summary>
    /// Before each grace of the root: empties what hangs on pages that were taken since. The grace that follows is for the readers of the
    /// shadows, too (<see cref="Epochs.Cover"/>). In no section, with no lock but those before <see cref="Gate"/>. What
    /// <see cref="DisarmReleased"/> is to be told at its end.
    /// </summary>
    private ulong EmptyTaken()
    {
        if (Probe.LeavesOut(Step.ShadowsNotEmptied) || (Probe.LeavesOut(Step.EmptyingNotAwaited) && IsBusy()))
        {
            return 0;
        }
        // Always with the lock: who is at it has not ended cached rights yet, and what it emptied is not armed any more.
        using (Gate.Hold())
        {
            long begin = Tell.Time(GmapEvents.Keywords.Shadows);
            _emptied = 0;
            int section = LibrarySections.Enter();
            bool everything = _taken.TakeEverything();
            while (_taken.TryTake(out ulong first, out ulong last, out WatchBits kinds))
            {
                Empty(first, last, kinds);
            }
            Probe.At(Place.ShadowEmptied);
            foreach (ShadowSpace shadow in _shadows)
            {
                if (everything)
                {
                    _emptied += (long)shadow.Tables.Entries;
                    shadow.Tables.ClearAll();
                }
                shadow.EndCachedRights(); // before the grace that comes
            }
            LibrarySections.Leave(section);
            Tell.Unshadow(Root.Number, _emptied, begin);
            return Hangs.BeginGrace();
        }
    }

    /// <summary>
    /// After a grace of the root: nobody uses what was made of tables on which nothing hung any more when it began.
    /// </summary>
    private void DisarmReleased(ulong begun)
    {
        if (!Hangs.HasReleased)
        {
            return;
        }
        using (Gate.Hold())
        {
            int section = LibrarySections.Enter();
            Hangs.DisarmReleased(begun);
            LibrarySections.Leave(section);
        }
    }

    /// <summary>Without the family lock: the caller is in a section, and who holds that lock may wait for its end (rule 35).</summary>
    public ShadowCount Count()
    {
        ShadowSpace[] shadows = Volatile.Read(ref _shadows);
        ulong entries = 0;
        foreach (ShadowSpace shadow in shadows)
        {
            entries += shadow.Tables.Entries;
        }
        return new ShadowCount(shadows.Length, entries, Bytes);
    }

    /// <summary>Bytes of all tables and of what hangs where; exact under the family lock.</summary>
    public ulong Bytes
    {
        get
        {
            ulong bytes = Hangs.Bytes;
            foreach (ShadowSpace shadow in Volatile.Read(ref _shadows))
            {
                bytes += shadow.Tables.Bytes;
            }
            return bytes;
        }
    }

    /// <inheritdoc/>
    public bool TryEnd()
    {
        using (Gate.Hold())
        {
            if (Array.Exists(_shadows, shadow => shadow.Opened != 0)) // not those that only hold what is below them
            {
                return false;
            }
            _ended = true;
        }
        while (TryDropIdle())
        {
        }
        using (Gate.Hold())
        {
            _ended = _shadows.Length == 0; // a vcpu may be open that was opened by who still had the handle
            if (_ended)
            {
                Hangs.Dispose();
            }
            return _ended;
        }
    }

    private bool IsBusy()
    {
        bool free = Gate.TryEnter();
        if (free)
        {
            Gate.Exit();
        }
        return !free;
    }

    private int Open(ShadowSpace? parent, GuestAsce asce, EdatLevel edat, out ShadowSpace? shadow)
    {
        while (true)
        {
            using (Gate.Hold())
            {
                shadow = _ended ? null
                    : Array.Find(_shadows, one => one.Parent == parent && one.Asce.Significant == asce.Significant && one.Edat == edat);
                if (_ended || shadow is not null || _shadows.Length < Root.Options.MostShadows)
                {
                    return _ended ? Status.BadHandle : shadow is not null ? Reopen(shadow) : Create(parent, asce, edat, out shadow);
                }
            }
            if (!TryDropIdle())
            {
                return Status.Busy;
            }
        }
    }

    private int Reopen(ShadowSpace shadow)
    {
        shadow.Opened++;
        shadow.References++;
        Touch(shadow);
        return Status.Ok;
    }

    /// <summary>Under the family lock: others find it complete, or not at all.</summary>
    private int Create(ShadowSpace? parent, GuestAsce asce, EdatLevel edat, out ShadowSpace? shadow)
    {
        int status = ShadowSpace.TryCreate(this, parent, asce, edat, _ids + 1, out shadow);
        if (status != Status.Ok)
        {
            return status;
        }
        Probe.At(Place.ShadowBuilt);
        _ids++;
        if (parent is not null)
        {
            parent.References++;
        }
        _shadows = [.. _shadows, shadow!];
        Root.Epochs.Cover(shadow!.Space.Epochs, covers: true);
        return Reopen(shadow);
    }

    /// <summary>Ends the oldest shadow that nobody has open; false: there is none. In no section, with no lock but configuration.</summary>
    private bool TryDropIdle()
    {
        ShadowSpace? oldest = null;
        using (Gate.Hold())
        {
            foreach (ShadowSpace shadow in _shadows)
            {
                bool idle = shadow.References == 0 && shadow.Space.Epochs.ViewCount == 0;
                oldest = idle && (oldest is null || shadow.Used < oldest.Used) ? shadow : oldest;
            }
            if (oldest is null)
            {
                return false;
            }
            _shadows = Array.FindAll(_shadows, one => one != oldest);
            oldest.IsEnding = true;
            ClearAll(oldest);
        }
        _ = oldest.EndReaders(timeout: 0); // of library calls; it has no views
        int status = oldest.Space.TryDestroy();
        using (Gate.Hold())
        {
            if (status != Status.Ok)
            {
                _shadows = [.. _shadows, oldest]; // a vcpu was opened by who still had the handle
                oldest.IsEnding = false;
                return false;
            }
            if (oldest.Parent is not null)
            {
                oldest.Parent.References--;
            }
        }
        Root.Epochs.Cover(oldest.Space.Epochs, covers: false);
        oldest.Tables.Dispose();
        return true;
    }

    private static void ClearAll(ShadowSpace? shadow)
    {
        int section = LibrarySections.Enter();
        shadow?.Tables.ClearAll();
        shadow?.EndCachedRights();
        LibrarySections.Leave(section);
    }

    /// <summary>Takes away what hangs on taken pages: memory by those that change, tables by the others. Under the family lock.</summary>
    private void Empty(ulong first, ulong last, WatchBits kinds)
    {
        for (ulong page = first; page <= last && page >= first; page += GuestAddress.PageSize)
        {
            if ((kinds & WatchBits.Inner) != 0)
            {
                Empty(page, GuestAddress.PageShift, HangKind.Memory);
                EmptyLeaf(page, first, GuestAddress.SegmentShift);
                EmptyLeaf(page, first, GuestAddress.RegionThirdShift);
            }
            if ((kinds & WatchBits.Table) != 0)
            {
                Empty(page, GuestAddress.PageShift, HangKind.Table);
            }
        }
    }

    /// <summary>The leaf of a page, at the first of its pages in a run.</summary>
    private void EmptyLeaf(ulong page, ulong first, byte shift)
    {
        ulong leaf = page & ~((1UL << shift) - 1);
        if (page == ulong.Max(first, leaf))
        {
            Empty(leaf, shift, HangKind.Memory);
        }
    }

    private void Empty(ulong address, byte shift, HangKind kind)
    {
        while (Hangs.TryFind(address, shift, kind, out Hang hang))
        {
            ShadowSpace shadow = Array.Find(_shadows, one => one.Id == hang.Shadow)!;
            shadow.Tables.Clear(hang.Inner, hang.InnerShift);
            Hangs.Remove(hang); // of memory its entry has taken it along
            _emptied++;
            SpaceCounters.Add(ref Root.Counters.Mine.Unshadows);
        }
    }
}
