using System.Collections.Generic;

namespace GmapNative.Tests.Model;

/// <summary>The tables above the segments: which there are.</summary>
internal sealed partial class ReferenceSpace
{
    public int Regions => (Levels > 0 ? 1 : 0) + (Levels > 1 ? _thirds.Count : 0) + (Levels > 2 ? _seconds.Count : 0);

    public int ThirdTables => Levels > 1 ? _thirds.Count : Levels;

    public int SegmentTables => HasRegions ? _regions.Count : 1;

    /// <summary>
    /// A lower top for which there was no memory may have left a part of the way to the first address, which the numbers of tables tell.
    /// False: it did something else.
    /// </summary>
    public bool LimitWithoutMemory(int regions, int segmentTables)
    {
        HashSet<ulong>[] way = [_seconds, _thirds, _regions];
        bool same = (regions, segmentTables) == (Regions, SegmentTables);
        for (int i = 0; !same && i < way.Length; i++)
        {
            way[i].Add(0);
            same = (regions, segmentTables) == (Regions, SegmentTables);
        }
        return same;
    }

    private void AddTables(ulong address)
    {
        _regions.Add(address >> 31);
        _thirds.Add(address >> 42);
        _seconds.Add(address >> 53);
    }

    /// <summary>Those that a slot needed and in whose span none is left go, the top excepted.</summary>
    private void RemoveTables(ReferenceSlot gone)
    {
        Remove(_regions, 31, 0, gone);
        Remove(_thirds, 42, 1, gone);
        Remove(_seconds, 53, 2, gone);
        _thirds.RemoveWhere(table => Levels > 2 && !_seconds.Contains(table >> 11)); // with the one above
        _regions.RemoveWhere(table => Levels > 1 && !_thirds.Contains(table >> 11));
    }

    private void Remove(HashSet<ulong> tables, int shift, int levels, ReferenceSlot gone) => tables.RemoveWhere(
        table => Levels > levels && table >= gone.Start >> shift && table <= (gone.End - 1) >> shift
            && !AnySlot(table << shift, 1UL << shift));

    /// <summary>The exception of the highest table on the way that is not there.</summary>
    private int? MissingTable(ulong address) =>
        Levels > 2 && !_seconds.Contains(address >> 53) ? Status.RegionFirstTranslation
        : Levels > 1 && !_thirds.Contains(address >> 42) ? Status.RegionSecondTranslation
        : Levels > 0 && !_regions.Contains(address >> 31) ? Status.RegionThirdTranslation
        : null;

    /// <summary>What was the top is a table like others in a taller tree; a lower top is made if it was not there.</summary>
    private void ChangeTop(int before)
    {
        (HashSet<ulong> Tables, int Level)[] all = [(_regions, 0), (_thirds, 1), (_seconds, 2)];
        foreach ((HashSet<ulong> tables, int level) in all)
        {
            if (before <= level && Levels > level)
            {
                tables.Clear();
                tables.Add(0);
            }
        }
    }
}
