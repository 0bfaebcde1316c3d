using System.Threading;
using GmapNative.Bits;

namespace GmapNative.Tables;

/// <summary>
/// The place of 2 GB in a live region-third table of a space that has 2 GB leaves: its entry, and 16 KB behind it its deposit, the segment
/// table that stands ready beside it (rule 33). Valid like <see cref="PageTable"/>.
/// </summary>
internal readonly unsafe struct RegionCell(ulong* entry)
{
    private const ulong LockBit = 1; // of a deposit's word: segment tables are 32 KB aligned

    // Both inside one 32 KB table of the arena, aligned to its size; it is not reused before a grace.
    private readonly ulong* _entry = entry;

    public RegionEntry Load() => new(Volatile.Read(ref *_entry));

    public bool TryReplace(RegionEntry expected, RegionEntry value) =>
        Interlocked.CompareExchange(ref *_entry, value.Value, expected.Value) == expected.Value;

    /// <summary>The same of a leaf's bits (<see cref="RegionEntry.Bits"/>).</summary>
    public bool TryReplace(RegionEntry expected, SegmentEntry bits) => TryReplace(expected, new RegionEntry(bits.Value));

    /// <summary>The segment table that is deposited here; 0: none.</summary>
    public ulong Deposit => Volatile.Read(ref *Word) & ~LockBit;

    /// <summary>Whether somebody holds the deposit's lock: nobody, where no call runs.</summary>
    public bool IsLocked => (Volatile.Read(ref *Word) & LockBit) != 0;

    /// <summary>
    /// The segment table that serves the 2 GB or would do so: linked, or deposited. False: there is none. For its links; entries of a
    /// deposit say nothing.
    /// </summary>
    public bool TryFindTable(out SegmentTable table)
    {
        for (; ; )
        {
            RegionEntry seen = Load();
            table = new SegmentTable(seen.IsTable ? seen.Origin : Deposit);
            if (table.Origin != 0 || !Load().IsTable)
            {
                return table.Origin != 0; // else it was linked between the two looks
            }
        }
    }

    /// <summary>What is known of watched pages of the 2 GB (rule 28).</summary>
    public WatchDirectory Watch => TryFindTable(out SegmentTable table) ? table.Watch : default;

    /// <summary>
    /// Takes the lock of the deposit; which one it is. It is held by whoever links a table or a leaf here, splits one or takes the deposit
    /// away, and never over anything that may block.
    /// </summary>
    public ulong LockDeposit()
    {
        SpinWait spin = default;
        for (; ; )
        {
            ulong seen = Volatile.Read(ref *Word);
            bool free = (seen & LockBit) == 0 || Probe.LeavesOut(Step.NoDepositLock);
            if (free && Interlocked.CompareExchange(ref *Word, seen | LockBit, seen) == seen)
            {
                Probe.At(Place.DepositLocked);
                return seen & ~LockBit;
            }
            Probe.At(Place.Waiting);
            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    /// <summary>Deposits a table where there is none, before what is linked becomes a leaf. Under the lock.</summary>
    public void SetDeposit(ulong deposit) => Volatile.Write(ref *Word, deposit | LockBit);

    /// <summary>Ends the lock and says what is deposited from now on; 0: nothing.</summary>
    public void UnlockDeposit(ulong deposit)
    {
        Volatile.Write(ref *Word, deposit);
        Probe.At(Place.DepositUnlocked);
    }

    private ulong* Word => _entry + GuestAddress.TableEntries;
}
