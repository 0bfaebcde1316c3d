namespace GmapNative.Tests.Models;

/// <summary>
/// Who is inside a section, and whom the graces wait for. A grace waits for the sections that were open when it
/// began, not for an instant at which nobody is inside: one thread may be in its next section when it is over.
/// </summary>
internal record struct Sections
{
    private byte _inside;
    private byte _waits0;
    private byte _waits1;
    private byte _waits2;

    public readonly bool AnyInside => _inside != 0;

    public void Enter(byte who) => _inside |= who;

    public void Leave(byte who)
    {
        byte others = (byte)~who;
        _inside &= others;
        _waits0 &= others;
        _waits1 &= others;
        _waits2 &= others;
    }

    public void BeginGrace(int grace = 0)
    {
        switch (grace)
        {
            case 0:
                _waits0 = _inside;
                break;
            case 1:
                _waits1 = _inside;
                break;
            default:
                _waits2 = _inside;
                break;
        }
    }

    public readonly bool GraceOver(int grace = 0) => (grace switch { 0 => _waits0, 1 => _waits1, _ => _waits2 }) == 0;
}
