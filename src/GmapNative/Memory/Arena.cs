using System;

namespace GmapNative.Memory;

/// <summary>
/// The pinned memory of an engine: one reserved range handed out in blocks of 64 KB, committed and locked as needed, and the
/// budget (<see cref="Limit"/>) that dirty logs, which have regions of their own, are charged to as well.
/// </summary>
/// <remarks>Thread-safe. Free blocks stay committed until the engine is destroyed.</remarks>
internal sealed class Arena : IDisposable
{
    public const nuint BlockBytes = 64 << 10;
    public const ulong MinimumLimit = 256 << 10;
    public const ulong MaximumLimit = 1UL << 40;
    private const nuint LargestStep = 2 << 20;
    private const string LockRefusal = "lock: the limit of the system";

    private readonly GuardedRegion _region;
    private readonly bool _requireLock;
    private readonly bool _hugeSteps;
    private SpinGate _gate;
    private nuint _committed;       // of the region
    private nuint _locked;
    private nuint _used;            // handed out, at the front of the region
    private nuint _idle;            // of these: blocks in which no table is, not charged
    private nuint _charged;         // logs
    private nuint _chargedLocked;

    private Arena(GuardedRegion region, ulong limit, bool requireLock, bool hugeSteps)
    {
        _region = region;
        Limit = (nuint)limit;
        _requireLock = requireLock;
        _hugeSteps = hugeSteps;
    }

    public nuint Limit { get; }

    /// <summary>Test seam: so many allocations of tables and logs succeed, the next one fails, once. Negative: off.</summary>
    public int FailAfter { get; set; } = -1;

    /// <summary>Whether an allocation fails by <see cref="FailAfter"/>.</summary>
    public bool FailsNow() => FailAfter >= 0 && FailAfter-- == 0;

    public nint Start => _region.Start;

    public nuint Reserved => _region.Bytes;

    /// <summary>Committed bytes, logs included.</summary>
    public nuint Committed => _committed + _charged;

    public nuint Locked => _locked + _chargedLocked;

    public nuint Charged => _charged;

    /// <summary>Committed but not handed out as blocks.</summary>
    public nuint Unused => _committed - _used;

    /// <summary>Blocks in which no table is: handed out and not counted against the limit.</summary>
    public nuint Idle => _idle;

    /// <summary>True once memory could not be locked; the engine reports it.</summary>
    public bool LockRefused { get; private set; }

    /// <summary>
    /// Reserves <paramref name="limit"/> bytes and commits the first block, so that a refused lock shows at once.
    /// <see cref="Status.NoMemory"/>, or <see cref="Status.NotPermitted"/> with <paramref name="requireLock"/>.
    /// </summary>
    public static int TryCreate(ulong limit, bool requireLock, bool hugeSteps, out Arena? arena)
    {
        arena = null;
        ulong rounded = (limit + BlockBytes - 1) & ~(ulong)(BlockBytes - 1);
        GuardedRegion? region = GuardedRegion.TryReserve((nuint)rounded);
        if (region is null)
        {
            return Status.NoMemory;
        }
        var created = new Arena(region, rounded, requireLock, hugeSteps);
        if (!created.TryGrow(BlockBytes))
        {
            bool refused = created.LockRefused;
            region.Dispose();
            return refused ? Status.NotPermitted : Status.NoMemory;
        }
        arena = created;
        return Status.Ok;
    }

    /// <summary>Hands out the next block that was never used; 0 when the limit or the machine's memory is exhausted.</summary>
    public nint TryTakeBlock()
    {
        _gate.Enter();
        try
        {
            if (!Fits(BlockBytes) || (_used + BlockBytes > _committed && !TryGrow(BlockBytes)))
            {
                return 0;
            }
            nint block = _region.Start + (nint)_used;
            _used += BlockBytes;
            return block;
        }
        finally
        {
            _gate.Exit();
        }
    }

    /// <summary>A block has no table any more: the budget is there for others, the block itself stays the caller's.</summary>
    public void RetireBlock()
    {
        _gate.Enter();
        _idle += BlockBytes;
        _gate.Exit();
    }

    /// <summary>Charges a retired block again; false when others have taken the budget.</summary>
    public bool TryReuseBlock()
    {
        _gate.Enter();
        bool fits = Fits(BlockBytes);
        _idle -= fits ? BlockBytes : 0;
        _gate.Exit();
        return fits;
    }

    /// <summary>A zeroed region of its own, charged to the budget; null when that is exhausted.</summary>
    public GuardedRegion? TryTakeRegion(nuint bytes, out bool locked)
    {
        locked = false;
        if (FailsNow() || !TryCharge(bytes))
        {
            Tell.MemoryRefused("dirty log: the arena's limit");
            return null;
        }
        GuardedRegion? region = GuardedRegion.TryReserve(bytes);
        if (region is null || !region.TryCommit(0, bytes))
        {
            Tell.MemoryRefused("dirty log: the machine's memory");
            region?.Dispose();
            Discharge(bytes, locked: false);
            return null;
        }
        locked = region.TryLock(0, bytes);
        if (!locked)
        {
            LockRefused = true;
            Tell.MemoryRefused(LockRefusal);
        }
        if (!locked && _requireLock)
        {
            region.Dispose();
            Discharge(bytes, locked: false);
            return null;
        }
        if (locked)
        {
            _gate.Enter();
            _chargedLocked += bytes;
            _gate.Exit();
        }
        Tell.ArenaGrowth(bytes, Committed, Locked);
        return region;
    }

    /// <summary>Gives a region of <see cref="TryTakeRegion"/> back.</summary>
    public void Return(GuardedRegion region, bool locked)
    {
        nuint bytes = region.Bytes;
        region.Dispose();
        Discharge(bytes, locked);
    }

    public void Dispose() => _region.Dispose();

    /// <summary>Committed blocks that nobody uses cannot be given back, but they do not count against the budget either.</summary>
    private bool Fits(nuint bytes) => bytes <= Limit && _used - _idle + _charged <= Limit - bytes;

    private bool TryCharge(nuint bytes)
    {
        _gate.Enter();
        bool fits = Fits(bytes);
        if (fits)
        {
            _charged += bytes;
        }
        _gate.Exit();
        return fits;
    }

    private void Discharge(nuint bytes, bool locked)
    {
        _gate.Enter();
        _charged -= bytes;
        if (locked)
        {
            _chargedLocked -= bytes;
        }
        _gate.Exit();
    }

    private bool TryGrow(nuint needed)
    {
        nuint room = _region.Bytes - _committed;
        nuint step = _hugeSteps ? LargestStep : Math.Clamp((_committed / 2) & ~(BlockBytes - 1), BlockBytes, LargestStep);
        step = Math.Min(Math.Max(step, needed), room);
        if (step < needed || !_region.TryCommit(_committed, step))
        {
            return false;
        }
        if (_region.TryLock(_committed, step))
        {
            _locked += step;
        }
        else
        {
            LockRefused = true;
            Tell.MemoryRefused(LockRefusal);
            if (_requireLock)
            {
                _region.Decommit(_committed, step);
                return false;
            }
        }
        _committed += step;
        Tell.ArenaGrowth(step, Committed, Locked);
        return true;
    }
}
