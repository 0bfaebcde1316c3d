using System.IO;
using GmapNative.Shadow;
using GmapNative.Tests.Image;

namespace GmapNative.Fuzz;

/// <summary>
/// Hostile tables of a guest for its guest: each walk is compared with the book's, over storage that stands still, that changes between
/// the reads of one walk, or that fails.
/// </summary>
/// <param name="keys">Told what was seen.</param>
/// <param name="trace">Told each operation; null: nobody is.</param>
internal sealed class NestedTarget(KeySet keys, TextWriter? trace) : ITarget
{
    private const int MostOperations = 400;
    private const int Never = -1;

    private static readonly int[] s_failures = [0x05, 0x3D, Status.TryAgain, Status.Fault];

    private NestedTables _tables = new();
    private GuestWalk _last;

    public long Operations { get; private set; }

    /// <summary>Null, or what differs and where.</summary>
    public string? Run(byte[] program)
    {
        var code = new Code(program);
        _tables = new NestedTables();
        _last = default;
        Operations = 0;
        for (int done = 0; !code.IsAtEnd && done < MostOperations; done++)
        {
            Operations++;
            if (Step(code) is { } wrong)
            {
                return $"operation {done}: {wrong}";
            }
        }
        return null;
    }

    private string? Step(Code code)
    {
        byte operation = code.Byte();
        switch (operation % 8)
        {
            case 0:
                _tables.ChooseAsce(code);
                _tables.ChooseAddress(code);
                _tables.Chain(code);
                return Walk(code, operation, Never, Never);
            case 1:
                _tables.ChooseAddress(code);
                return Walk(code, operation, Never, Never);
            case 2:
                _tables.ChooseAsce(code);
                return Walk(code, operation, Never, Never);
            case 3:
                _tables.Resize(code);
                return Walk(code, operation, Never, Never);
            case 4:
                return Walk(code, operation, code.Byte() % 6, Never);
            case 5:
                return Walk(code, operation, Never, code.Byte() % 6);
            default:
                Spoil(code);
                return Walk(code, operation, Never, Never);
        }
    }

    /// <summary>Something wrong with an entry that the last walk read.</summary>
    private void Spoil(Code code)
    {
        if (_last.StepCount > 0)
        {
            GuestStep step = _last[code.Byte() % _last.StepCount];
            _tables.Write(step.Address, _tables.Flawed(code, step.Entry, step.Level));
        }
    }

    /// <summary>One walk. <paramref name="changes"/>, <paramref name="fails"/>: the read at which storage changes, or refuses.</summary>
    private string? Walk(Code code, byte operation, int changes, int fails)
    {
        byte choice = code.Byte();
        var edat = (EdatLevel)(choice % 3);
        bool write = choice >= 128;
        int answer = fails == Never ? 0 : s_failures[code.Byte() % s_failures.Length];
        var storage = new Storage(_tables, changes == Never ? null : code, changes, fails, answer);
        GuestWalker.Walk(_tables.Asce, edat, _tables.Address, write, ref storage, out GuestWalk walk);
        _last = walk;
        keys.See((uint)operation % 8, walk.Code, (uint)((walk.StepCount * 3) + choice % 3), write ? 1u : 0);
        trace?.WriteLine($"asce {_tables.Asce:x} {edat} {(write ? "store" : "load")} {_tables.Address:x} -> {walk.Code:x} {walk.Real:x}");
        return Steps(walk, storage)
            ?? (fails != Never && storage.Reads > fails ? Refused(walk, fails, answer) : Compare(walk, storage, edat, write));
    }

    /// <summary>At most five reads; the steps are what storage gave.</summary>
    private static string? Steps(in GuestWalk walk, in Storage storage)
    {
        bool refused = walk.StepCount != storage.Reads;
        if (storage.Reads > GuestWalk.MostSteps || walk.StepCount < storage.Reads - 1 || (refused && walk.LeafShift != 0))
        {
            return $"{storage.Reads} reads, {walk.StepCount} steps";
        }
        for (int i = 0; i < walk.StepCount; i++)
        {
            if (walk[i].Address != storage.Asked[i] || walk[i].Entry != storage.Given[i])
            {
                return $"step {i} is {walk[i]}; read was {storage.Given[i]:x} at {storage.Asked[i]:x}";
            }
        }
        return null;
    }

    private static string? Refused(in GuestWalk walk, int fails, int answer) =>
        walk.Code == answer && walk.StepCount == fails && walk.LeafShift == 0 ? null
            : $"storage answered {answer} at read {fails}; the walk {walk.Code} after {walk.StepCount} steps";

    /// <summary>
    /// The book's walker over the same storage: as it is now, which is as the walk saw it, unless one place was read, changed, and read
    /// again.
    /// </summary>
    private string? Compare(in GuestWalk walk, in Storage storage, EdatLevel edat, bool write)
    {
        for (int i = 0; i < walk.StepCount; i++)
        {
            if (_tables.TryRead(storage.Asked[i], out ulong entry) && entry != storage.Given[i])
            {
                return null;
            }
        }
        var book = new ArchitectedWalker(_tables.Storage, 0, _tables.Size, edat >= EdatLevel.One, edat >= EdatLevel.Two);
        int code = book.Walk(_tables.Asce, _tables.Address, write, out ulong real);
        bool isReal = (_tables.Asce & 0x20) != 0;
        int expected = !isReal && walk.Code == 0 && walk.Real >= _tables.Size ? Status.Addressing : walk.Code;
        return expected == code && (walk.LeafShift == 0 || walk.Real == real) ? null
            : $"code {walk.Code:x} real {walk.Real:x}; by the book {code:x} {real:x}";
    }

    /// <summary>Gives what the tables hold; before one read they change, one read is refused.</summary>
    private struct Storage(NestedTables tables, Code? code, int changes, int fails, int answer) : IGuestStorage
    {
        public int Reads { get; private set; }

        public ulong[] Asked { get; } = new ulong[2 * GuestWalk.MostSteps];

        public ulong[] Given { get; } = new ulong[2 * GuestWalk.MostSteps];

        public int ReadEntry(ulong address, out ulong entry)
        {
            int read = Reads++;
            bool isThere = tables.TryRead(address, out entry);
            if (read == changes && code is not null)
            {
                var level = (GuestTable)(code.Byte() % 5);
                entry = tables.Flawed(code, entry, level);
                tables.Write(address, entry);
            }
            Asked[read] = address;
            Given[read] = entry;
            return read == fails ? answer : isThere ? 0 : Status.Addressing;
        }
    }
}
