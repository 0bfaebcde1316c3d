using System.Collections.Generic;
using GmapNative.Memory;
using GmapNative.Space;

namespace GmapNative.Shadow;

/// <summary>
/// The space of a guest's guest: tables of ours that combine the guest's own with those of the root. It has no slots; what it maps is a
/// cache, filled by faults and emptied by whoever changes what it was made of (rule 34).
/// </summary>
internal sealed class ShadowSpace : IShadow
{
    private const int ManyRetired = 64;

    private readonly List<Limbo.Retired> _retired = [];
    private bool _changed;

    private ShadowSpace(ShadowFamily family, ShadowSpace? parent, GuestAsce asce, EdatLevel edat, AddressSpace space, uint id)
    {
        Family = family;
        Parent = parent;
        Asce = asce;
        Edat = edat;
        Space = space;
        Id = id;
        Tables = new ShadowTables(this);
        Faults = new ShadowFaults(this);
    }

    public ShadowFamily Family { get; }

    /// <summary>The shadow in whose guest the tables are; null: in the root.</summary>
    public ShadowSpace? Parent { get; }

    public GuestAsce Asce { get; }

    public EdatLevel Edat { get; }

    /// <summary>Its tables, readers and counters.</summary>
    public AddressSpace Space { get; }

    /// <summary>1, 2, ... in the family.</summary>
    public uint Id { get; }

    /// <summary>What it maps. Changed under the family lock.</summary>
    public ShadowTables Tables { get; }

    public ShadowFaults Faults { get; }

    /// <summary>Opened by hosts and not closed. Under the family lock.</summary>
    public int Opened { get; set; }

    /// <summary>The hosts' handle while it is open; 0: none. Under the lock of this object.</summary>
    public ulong Handle { get; set; }

    /// <summary>Opened and not closed: by hosts, and by the shadows above. Under the family lock.</summary>
    public int References { get; set; }

    /// <summary>The family is about to end it: nothing is installed any more. Under the family lock.</summary>
    public bool IsEnding { get; set; }

    /// <summary>When it was last used to install something, or opened: the least is the oldest. Under the family lock.</summary>
    public ulong Used { get; set; }

    /// <summary>Tables of a kind that were unlinked and wait for readers. Under the family lock.</summary>
    public int CountRetired(TableKind kind) => _retired.FindAll(one => one.Kind == kind).Count;

    /// <summary>So many that a grace of their own is worth it. Under the family lock.</summary>
    public bool HasManyRetired => _retired.Count >= ManyRetired;

    /// <summary>How many shadows lie on top of each other here; 1: on the root.</summary>
    public int Depth => Parent is null ? 1 : Parent.Depth + 1;

    IShadowFaults IShadow.Faults => Faults;

    /// <summary>An empty shadow that nobody else knows yet; a status.</summary>
    public static int TryCreate(
        ShadowFamily family, ShadowSpace? parent, GuestAsce asce, EdatLevel edat, uint id, out ShadowSpace? shadow)
    {
        shadow = null;
        ulong below = parent?.Space.Limit ?? family.Root.Limit;
        ulong limit = asce.IsRealSpace ? below : Bits.Asce.SpanOf(GuestTables.TypeOf(asce.Top)) - 1; // 0 - 1: all of 2^64
        var options = new SpaceOptions { Limit = limit, Pgstes = true, Huge2G = family.Root.Options.HasRegionLeaves };
        int status = AddressSpace.TryCreate(family.Root.Engine, options, out AddressSpace? space);
        if (status == Status.Ok)
        {
            shadow = new ShadowSpace(family, parent, asce, edat, space!, id);
            space!.Shadow = shadow;
        }
        return status;
    }

    /// <summary>Something was taken away: cached rights have to end. Under the family lock.</summary>
    public void NoteChange() => _changed = true;

    /// <summary>
    /// Ends cached rights if something was taken away. In the same hold of the family lock: what hung there keeps its page armed no
    /// longer, so that whoever weakens it knows of this shadow by the lock alone, which it takes before its grace.
    /// </summary>
    public void EndCachedRights()
    {
        if (_changed && !Probe.LeavesOut(Step.ShadowRightsStay))
        {
            Space.Tree.BumpGeneration();
        }
        _changed = false;
    }

    /// <summary>A table of its own was unlinked and waits for <see cref="EndReaders"/>. Under the family lock.</summary>
    public void Retire(nint table, TableKind kind)
    {
        _retired.Add(new Limbo.Retired(table, kind));
        Space.Engine.CountLimbo(TableKinds.BytesOf(kind));
    }

    /// <summary>
    /// After something was taken away: ends cached rights and waits for the readers, then frees what was unlinked before. In no section
    /// and with no lock. A status: where it is not 0 the tables wait for the next time.
    /// </summary>
    public int EndReaders(ulong? timeout = null)
    {
        Limbo.Retired[] retired;
        using (Family.Gate.Hold())
        {
            retired = [.. _retired];
            _retired.Clear();
        }
        Space.Tree.BumpGeneration();
        int status = timeout is { } limit ? Space.Epochs.WaitForGrace(limit, bumped: true) : Space.Epochs.WaitForGrace(bumped: true);
        using (Family.Gate.Hold())
        {
            if (status != Status.Ok)
            {
                _retired.AddRange(retired);
                return status;
            }
        }
        foreach (Limbo.Retired one in retired)
        {
            Space.Engine.Pool.Free(one.Table, one.Kind);
            Space.Engine.CountLimbo(-TableKinds.BytesOf(one.Kind));
        }
        return Status.Ok;
    }
}
