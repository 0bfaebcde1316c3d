using GmapNative.Bits;
using NUnit.Framework;
using static GmapNative.Tests.Bits.Words;

namespace GmapNative.Tests.Bits;

[TestFixture]
internal sealed class PgsteTests
{
    private const ulong KeyField = 0xF806000000000000; // ACC, FP, GR, GC

    [Test]
    public void EveryFieldReadsBack()
    {
        foreach (ulong word in Cross(0x07F9FFFF3CFFFFFF, KeyField | 0xC3000000))
        {
            var pgste = new Pgste(word);
            Same(pgste.IsLocked, Has(word, 0x0080000000000000), word, nameof(pgste.IsLocked));
            Same(pgste.Usage, (int)((word >> 24) & 3), word, nameof(pgste.Usage));
            Same(pgste.Program, (ushort)(word >> 32), word, nameof(pgste.Program));
            int key = (int)((word >> 56) & 0xF8) | (Has(word, 1UL << 50) ? 4 : 0) | (Has(word, 1UL << 49) ? 2 : 0);
            Same((int)pgste.Key.Value, key, word, nameof(pgste.Key));
        }
    }

    [Test]
    public void WithKeyChangesTheKeyOnly()
    {
        foreach (ulong word in PatternsOf(ulong.MaxValue))
        {
            for (int value = 0; value < 256; value++)
            {
                Pgste changed = new Pgste(word).WithKey(new StorageKey((byte)value));
                ulong key = ((ulong)(value & 0xF8) << 56) | ((value & 4) != 0 ? 1UL << 50 : 0) | ((value & 2) != 0 ? 1UL << 49 : 0);
                Same(changed.Value, (word & ~KeyField) | key, word, nameof(Pgste.WithKey));
                Same((int)changed.Key.Value, value & 0xFE, word, nameof(Pgste.Key));
            }
        }
    }

    [Test]
    public void WithUsageChangesTheUsageOnly()
    {
        foreach (ulong word in PatternsOf(ulong.MaxValue))
        {
            for (int usage = 0; usage < 4; usage++)
            {
                Pgste changed = new Pgste(word).WithUsage(usage);
                Same(changed.Value, (word & ~0x03000000UL) | ((ulong)usage << 24), word, nameof(Pgste.WithUsage));
                Same(changed.Usage, usage, word, nameof(Pgste.Usage));
            }
        }
    }

    [Test]
    public void WithProgramChangesTheProgramBitsOnly()
    {
        foreach (ulong word in (ulong[])[0, ulong.MaxValue, 0x5555555555555555])
        {
            for (int program = 0; program <= 0xFFFF; program++)
            {
                Pgste changed = new Pgste(word).WithProgram((ushort)program);
                Same(changed.Value, (word & ~0x0000FFFF00000000UL) | ((ulong)program << 32), word, nameof(Pgste.WithProgram));
                Same((int)changed.Program, program, word, nameof(Pgste.Program));
            }
        }
    }
}
