using System;
using System.Threading;

namespace GmapNative.Exports.Abi;

/// <summary>What a handle stands for; the top byte of its number.</summary>
internal enum HandleKind : byte
{
    None = 0,
    Engine = 1,
    Space = 2,
    Vcpu = 3,
    Backing = 4,
    Consumer = 5,
    Snapshot = 6,
}

/// <summary>
/// Handles: kind (8 bits), generation (32), index (24). A stale, foreign or wrong-kind number finds nothing. Looking one up takes no
/// lock and allocates nothing; the object found may be closed meanwhile, which its own room notices.
/// </summary>
internal static class HandleTable
{
    private const int IndexBits = 24;
    private const int GenerationShift = IndexBits;
    private const int KindShift = 56;
    private const int MaximumHandles = 1 << IndexBits;

    private sealed class Cell
    {
        public object? Target;
        public uint Generation = 1;
        public HandleKind Kind;
    }

    private static readonly Lock s_gate = new();
    private static Cell[] s_cells = [];
    private static int[] s_free = [];
    private static int s_freeCount;

    /// <summary>A new handle; 0 if there are 16 million already.</summary>
    public static ulong Add(HandleKind kind, object target)
    {
        lock (s_gate)
        {
            if (s_freeCount == 0 && !Grow())
            {
                return 0;
            }
            int index = s_free[--s_freeCount];
            Cell cell = s_cells[index];
            cell.Kind = kind;
            Volatile.Write(ref cell.Target, target);
            return ((ulong)kind << KindShift) | ((ulong)cell.Generation << GenerationShift) | (uint)index;
        }
    }

    /// <summary>The object, or null.</summary>
    public static T? Find<T>(HandleKind kind, ulong handle)
        where T : class
    {
        Cell? cell = CellOf(kind, handle);
        object? target = cell is null ? null : Volatile.Read(ref cell.Target);
        return cell?.Generation == GenerationOf(handle) ? (T?)target : null;
    }

    /// <summary>Ends a handle; false if it was no good, or somebody else ended it first.</summary>
    public static bool Remove(HandleKind kind, ulong handle)
    {
        lock (s_gate)
        {
            Cell? cell = CellOf(kind, handle);
            if (cell?.Target is null || cell.Generation != GenerationOf(handle))
            {
                return false;
            }
            cell.Generation = cell.Generation == uint.MaxValue ? 1 : cell.Generation + 1;
            cell.Target = null;
            s_free[s_freeCount++] = (int)(handle & (MaximumHandles - 1));
            return true;
        }
    }

    private static uint GenerationOf(ulong handle) => (uint)(handle >> GenerationShift);

    private static Cell? CellOf(HandleKind kind, ulong handle)
    {
        Cell[] cells = Volatile.Read(ref s_cells);
        ulong index = handle & (MaximumHandles - 1);
        if (handle >> KindShift != (ulong)kind || index >= (ulong)cells.Length)
        {
            return null;
        }
        Cell cell = cells[index];
        return cell.Kind == kind ? cell : null;
    }

    private static bool Grow()
    {
        int before = s_cells.Length;
        int after = Math.Min(Math.Max(64, before * 2), MaximumHandles);
        if (after == before)
        {
            return false;
        }
        var cells = new Cell[after];
        var free = new int[after];
        Array.Copy(s_cells, cells, before);
        for (int i = before; i < after; i++)
        {
            cells[i] = new Cell();
            free[i - before] = after - 1 - (i - before);
        }
        // Nothing changes before the last allocation: a failure leaves the table as it was.
        s_free = free;
        s_freeCount = after - before;
        Volatile.Write(ref s_cells, cells);
        return true;
    }
}
