using System.Collections.Generic;
using System.Threading;

namespace GmapNative.Memory;

/// <summary>
/// Small pieces of pinned memory that host threads hold pointers to: views (128 bytes), which stay mapped until the engine is
/// destroyed, and the words of spaces, which are used again.
/// </summary>
internal sealed unsafe class ControlWords
{
    private const int PieceBytes = ViewWords.Bytes;

    private readonly TablePool _pool;
    private readonly Lock _gate = new();
    private readonly Stack<nint> _free = new();
    private nint _next;
    private int _left;

    public ControlWords(TablePool pool)
    {
        _pool = pool;
    }

    /// <summary>128 zeroed bytes on two cache lines of their own; 0 when the arena is exhausted.</summary>
    public nint TryAllocate()
    {
        lock (_gate)
        {
            if (!_free.TryPop(out nint piece))
            {
                if (_left == 0)
                {
                    _next = _pool.TryAllocate(TableKind.Control);
                    _left = _next == 0 ? 0 : TableKinds.BytesOf(TableKind.Control) / PieceBytes;
                }
                if (_left == 0)
                {
                    return 0;
                }
                piece = _next;
                _next += PieceBytes;
                _left--;
            }
            // The piece is ours alone: PieceBytes inside a control page of the arena.
            new System.Span<byte>((void*)piece, PieceBytes).Clear();
            return piece;
        }
    }

    /// <summary>Takes a piece back that no thread can still hold.</summary>
    public void Free(nint piece)
    {
        lock (_gate)
        {
            _free.Push(piece);
        }
    }
}
