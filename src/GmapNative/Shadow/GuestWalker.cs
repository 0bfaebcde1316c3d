using GmapNative.Bits;

namespace GmapNative.Shadow;

/// <summary>
/// Walks the tables of a guest as its machine would, with the checks in the machine's order (Principles of Operation, "Dynamic Address
/// Translation"). Loads and stores: instruction-execution protection does not matter, keys and low-address protection are the caller's.
/// It believes nothing of what it reads: each table is one level below the last, so that it ends after 5 entries whatever they say.
/// </summary>
internal static class GuestWalker
{
    /// <summary>
    /// Translates <paramref name="address"/>. Entry addresses wrap at 2^64 as the machine's do; whether there is storage is for
    /// <paramref name="storage"/> to say. Takes no lock, allocates nothing.
    /// </summary>
    public static void Walk<TStorage>(
        ulong asce, EdatLevel edat, ulong address, bool write, ref TStorage storage, out GuestWalk walk)
        where TStorage : struct, IGuestStorage, allows ref struct
    {
        walk = default;
        GuestAsce space = new(asce);
        if (space.IsRealSpace)
        {
            walk.Real = address;
            walk.LeafShift = GuestAddress.RegionThirdShift;
            return;
        }
        walk.Code = space.Check(address);
        ulong table = space.Origin;
        for (GuestTable level = space.Top; walk.Code == 0 && walk.LeafShift == 0; level--)
        {
            walk.EntryAddress = table + GuestTables.OffsetOf(level, address);
            walk.Code = storage.ReadEntry(walk.EntryAddress, out ulong entry);
            if (walk.Code == 0)
            {
                walk.Add(new(walk.EntryAddress, entry, level));
                table = Follow(ref walk, new(level, entry, edat, space.IsPrivate), address);
            }
        }
        if (walk.Code == 0 && write && walk.IsProtected)
        {
            walk.Code = Status.Protection;
        }
    }

    /// <summary>Checks an entry and takes what it says into the walk; gives the next table's origin where there is one.</summary>
    private static ulong Follow(ref GuestWalk walk, GuestEntry entry, ulong address)
    {
        walk.Code = entry.Check();
        if (walk.Code != 0)
        {
            return 0;
        }
        walk.IsProtected |= entry.IsProtected;
        if (entry.IsLeaf)
        {
            walk.LeafShift = GuestTables.ShiftOf(entry.Level);
            ulong within = (1UL << walk.LeafShift) - 1;
            walk.Real = (entry.Value & ~within) | (address & within);
            return 0;
        }
        walk.Code = entry.CheckNext(address);
        return entry.Origin;
    }
}
