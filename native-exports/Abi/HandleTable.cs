using System;
using System.Threading;
using GmapNative.Space;

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
    Notifier = 7,

    /// <summary>An <c>AddressSpace</c>, too; only calls that make sense without slots take it.</summary>
    Shadow = 8,
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

    private struct Cell
    {
        public object? Target;
        public uint Generation;
        public HandleKind Kind;
    }

    /// <summary>In a class that needs no initialization at run time: nothing to test before it is read.</summary>
    private static class Hot
    {
        public static Cell[] Cells = [];
    }

    private static readonly Lock s_gate = new();
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
            ref Cell cell = ref Hot.Cells[index];
            cell.Kind = kind;
            Volatile.Write(ref cell.Target, target);
            return ((ulong)kind << KindShift) | ((ulong)cell.Generation << GenerationShift) | (uint)index;
        }
    }

    /// <summary>The object, or null. Beside a <see cref="Grow"/> the old cells may be looked at, as they were when it began.</summary>
    public static T? Find<T>(HandleKind kind, ulong handle)
        where T : class
    {
        Cell[] cells = Volatile.Read(ref Hot.Cells);
        ulong index = handle & (MaximumHandles - 1);
        if (index >= (ulong)cells.Length || handle >> KindShift != (ulong)kind)
        {
            return null;
        }
        ref Cell cell = ref cells[index];
        object? target = Volatile.Read(ref cell.Target);
        return cell.Generation == GenerationOf(handle) && cell.Kind == kind ? (T?)target : null;
    }

    /// <summary>A space, or a shadow, or null.</summary>
    public static AddressSpace? FindAnySpace(ulong handle) =>
        Find<AddressSpace>(HandleKind.Space, handle) ?? Find<AddressSpace>(HandleKind.Shadow, handle);

    /// <summary>Ends a handle; false if it was no good, or somebody else ended it first.</summary>
    public static bool Remove(HandleKind kind, ulong handle)
    {
        lock (s_gate)
        {
            if (Find<object>(kind, handle) is null)
            {
                return false;
            }
            ref Cell cell = ref Hot.Cells[(int)(handle & (MaximumHandles - 1))];
            cell.Generation = cell.Generation == uint.MaxValue ? 1 : cell.Generation + 1;
            cell.Target = null;
            s_free[s_freeCount++] = (int)(handle & (MaximumHandles - 1));
            return true;
        }
    }

    private static uint GenerationOf(ulong handle) => (uint)(handle >> GenerationShift);

    private static bool Grow()
    {
        int before = Hot.Cells.Length;
        int after = Math.Min(Math.Max(64, before * 2), MaximumHandles);
        if (after == before)
        {
            return false;
        }
        var cells = new Cell[after];
        var free = new int[after];
        Array.Copy(Hot.Cells, cells, before);
        for (int i = before; i < after; i++)
        {
            cells[i].Generation = 1;
            free[i - before] = after - 1 - (i - before);
        }
        // Nothing changes before the last allocation: a failure leaves the table as it was.
        s_free = free;
        s_freeCount = after - before;
        Volatile.Write(ref Hot.Cells, cells);
        return true;
    }
}
