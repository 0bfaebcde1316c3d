using GmapNative.Bits;
using GmapNative.Tests.Model;

namespace GmapNative.Fuzz;

/// <summary>Operations: PGSTEs.</summary>
internal sealed unsafe partial class Machine
{
    private static readonly ulong[] s_pgsteFields =
    [
        Pgste.AccessKeyMask | Pgste.FetchProtection, Pgste.UsageMask, ~Pgste.Lock, Pgste.ProgramMask, 0, ulong.MaxValue, Pgste.Lock,
        Pgste.GuestChanged | Pgste.GuestReferenced,
    ];

    private int GetPgste()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ulong address = Address(space);
        ulong* word = NumberOut(mayBeNull: false);
        Say($"{handle:x} {address:x}");
        (int good, ulong value) = space?.Model.GetPgste(address) ?? default;
        _expected.If(space is null, Status.BadHandle).If(good != Status.Ok, good);
        int status = library.PgsteGet(handle, address, word);
        if (Check(status, 0))
        {
            Same(*word, value, "PGSTE");
        }
        return status;
    }

    private int UpdatePgste()
    {
        _expected.Clear();
        ulong handle = SpaceHandle(out SpaceState? space);
        ulong address = Address(space);
        byte choice = _code.Byte();
        ulong mask = s_pgsteFields[choice % s_pgsteFields.Length];
        ulong value = choice % 3 == 0 ? 0 : _code.Spread();
        ulong* before = NumberOut(mayBeNull: true);
        Say($"{handle:x} {address:x} mask {mask:x} value {value:x}");
        bool tight = space is { Engine.IsTight: true };
        int status = library.PgsteUpdate(handle, address, mask, value, before);
        if (tight && status == Status.NoMemory)
        {
            Answer seen = AskTranslate(space!, address, write: false);
            That(space!.Model.PgsteWithoutMemory(address, seen), "there was memory for it, or no need of any");
            return status;
        }
        (int good, ulong was) = space?.Model.UpdatePgste(address, mask, value) ?? default;
        _expected.If(space is null, Status.BadHandle).If(good != Status.Ok, good);
        if (Check(status, 0) && before is not null)
        {
            Same(*before, was, "PGSTE before");
        }
        return status;
    }
}
