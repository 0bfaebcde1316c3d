using GmapNative.Bits;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

/// <summary>PGSTEs of a sequence.</summary>
internal sealed unsafe partial class SpaceDriver
{
    private static readonly ulong[] s_fields =
    [
        Pgste.UsageMask, Pgste.AccessKeyMask | Pgste.FetchProtection, Pgste.ProgramMask, ~Pgste.Lock, Pgste.GuestChanged, 0, Pgste.Lock,
        ~Pgste.Lock,
    ];

    private string UpdatePgste(Operation operation)
    {
        ulong address = Address(operation);
        ulong mask = s_fields[operation.D % 8];
        ulong value = operation.D / 8 % 3 == 0 ? 0 : 0x9E37_79B9_7F4A_7C15UL * (operation.C + 1);
        (int status, ulong before) = _model.UpdatePgste(address, mask, value);
        Same((Pgstes.Update(_test.Space, address, mask, value, out ulong was), was), (status, before), $"PGSTE of {address:x}");
        (int got, ulong after) = _model.GetPgste(address);
        int read = _test.Call(() => Pgstes.Get(_test.Space, address, out was));
        Same((read, was), (got, after), $"PGSTE of {address:x}, read");
        return status != Status.Ok ? $"{status}" : after == 0 ? "zero" : "set";
    }
}
