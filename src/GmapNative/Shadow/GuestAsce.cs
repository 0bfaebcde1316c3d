using GmapNative.Bits;

namespace GmapNative.Shadow;

/// <summary>The ASCE that a guest runs its own guest with (picture: <see cref="Asce"/>).</summary>
internal readonly record struct GuestAsce(ulong Value)
{
    private const ulong SignificantMask =
        Asce.OriginMask | Asce.PrivateSpace | Asce.RealSpace | Asce.TypeMask | Asce.LengthMask;

    public ulong Origin => Value & Asce.OriginMask;

    /// <summary>The level of the table at <see cref="Origin"/>; says nothing for a real space.</summary>
    public GuestTable Top => GuestTables.Of(new Asce(Value).Type);

    /// <summary>Last quarter (512 entries) that the top table has.</summary>
    public int Length => (int)(Value & Asce.LengthMask);

    /// <summary>There are no tables: every address is real.</summary>
    public bool IsRealSpace => (Value & Asce.RealSpace) != 0;

    /// <summary>Common regions and segments (CR, CS) are forbidden.</summary>
    public bool IsPrivate => (Value & Asce.PrivateSpace) != 0;

    /// <summary>
    /// The bits that translation looks at: ASCEs that agree in them have one shadow. Of a real space that is R alone: its origin is a
    /// token, and there is no table that the others could speak about.
    /// </summary>
    public ulong Significant => IsRealSpace ? Asce.RealSpace : Value & SignificantMask;

    /// <summary>0, or the code for an address that this ASCE does not reach: 0x38, or the exception of the top table.</summary>
    public int Check(ulong address)
    {
        if (!Asce.Reaches(GuestTables.TypeOf(Top), address))
        {
            return Status.AsceType;
        }
        return GuestTables.QuarterOf(Top, address) > Length ? GuestTables.TranslationException(Top) : Status.Ok;
    }
}
