namespace GmapNative.Bits;

/// <summary>
/// What an entry says that maps nothing: an invalid entry has its upper 32 bits free for the program.
/// <code>
///  0              16              32                              63
/// +---------------+---------------+-------------------------------+
/// |     kind      |   parameter   |  I = 1, present = 0, TT ...   |
/// +---------------+---------------+-------------------------------+
/// </code>
/// Kind 0: nothing here yet, a fault may map it. Kind 1: a hole; the parameter is the program-interruption code to deliver.
/// </summary>
internal static class Token
{
    public const int KindShift = 48;
    public const int ParameterShift = 32;
    public const ulong Mask = 0xFFFF_FFFF_0000_0000;
    public const int None = 0;
    public const int ProgramInterruption = 1;

    public static ulong Hole(int programInterruptionCode) =>
        ((ulong)ProgramInterruption << KindShift) | ((ulong)(ushort)programInterruptionCode << ParameterShift);

    public static int KindOf(ulong entry) => (int)(entry >> KindShift);

    public static int ParameterOf(ulong entry) => (ushort)(entry >> ParameterShift);
}
