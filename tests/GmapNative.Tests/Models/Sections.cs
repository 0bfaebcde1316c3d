namespace GmapNative.Tests.Models;

/// <summary>
/// Who is inside a section, and whom the graces wait for. A grace waits for the sections that were open when it
/// began, not for an instant at which nobody is inside: one thread may be in its next section when it is over.
/// </summary>
internal record struct Sections
{
    public byte Inside;
    public byte Waits0;
    public byte Waits1;
    public byte Waits2;

    public void Enter(byte who) => Inside |= who;

    public void Leave(byte who)
    {
        byte others = (byte)~who;
        Inside &= others;
        Waits0 &= others;
        Waits1 &= others;
        Waits2 &= others;
    }

    public void BeginGrace(int grace = 0)
    {
        switch (grace)
        {
            case 0:
                Waits0 = Inside;
                break;
            case 1:
                Waits1 = Inside;
                break;
            default:
                Waits2 = Inside;
                break;
        }
    }

    public readonly bool GraceOver(int grace = 0) => (grace switch { 0 => Waits0, 1 => Waits1, _ => Waits2 }) == 0;
}
