using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>Makes programs: new ones, and others from those that are kept.</summary>
internal sealed class Mutator(int seed)
{
    private const int Longest = 1200;
    private const int LongestNew = 320;
    private const int MostChanges = 5;

    private const int LongestPart = 12;

    private static readonly int[] s_roomy = [0, 1, 8, 10, 11, 18, 20, 21, 28, 30, 31]; // of the arenas that a world chooses from
    private static readonly Operation[] s_nested =
        [Operation.ShadowTables, Operation.ShadowTables, Operation.Fault, Operation.Fault, Operation.InlineStore, Operation.InlineLoad];

    private readonly Random _random = new(seed);

    public byte[] Next(List<byte[]> corpus)
    {
        if (corpus.Count == 0 || _random.Next(4) == 0)
        {
            byte[] program = new byte[_random.Next(8, LongestNew)];
            _random.NextBytes(program);
            return _random.Next(3) == 0 ? program : [.. Nested(program)];
        }
        List<byte> code = [.. corpus[_random.Next(corpus.Count)]];
        for (int changes = _random.Next(1, MostChanges + 1); changes > 0; changes--)
        {
            Change(code, corpus);
        }
        return [.. code.Take(Longest)];
    }

    /// <summary>A world with room, a shadow with a vcpu; then tables and accesses by turns, more often than chance would have it.</summary>
    private List<byte> Nested(byte[] rest)
    {
        byte world = (byte)((s_roomy[_random.Next(s_roomy.Length)] << 3) | _random.Next(8));
        byte Any() => (byte)_random.Next(256);
        List<byte> code = [world, Any(), Any(), Any()];
        code.AddRange([Language.ByteOf(Operation.ShadowOpen), 0, Any(), (byte)_random.Next(220), (byte)_random.Next(160), 0]);
        code.AddRange([Language.ByteOf(Operation.VcpuOpen), 1, 0, 0, 0, 0, 0, 0]);
        for (int chains = _random.Next(1, 5); chains > 0; chains--)
        {
            code.AddRange([Language.ByteOf(Operation.ShadowTables), 0, (byte)(_random.Next(64) * 4 | 3), Any(), Any(), Any(), 0]);
            code.AddRange([(byte)(_random.Next(56) * 4), (byte)_random.Next(160), 0, (byte)_random.Next(160), (byte)_random.Next(220)]);
        }
        foreach (byte[] part in rest.Chunk(LongestPart))
        {
            bool other = _random.Next(3) == 0;
            Operation operation = other
                ? (Operation)_random.Next(Enum.GetValues<Operation>().Length) : s_nested[_random.Next(s_nested.Length)];
            code.AddRange([Language.ByteOf(operation), .. other || operation is Operation.ShadowTables ? [] : (byte[])[1]]);
            code.AddRange(part.Take(_random.Next(4, LongestPart)));
        }
        return code;
    }

    private void Change(List<byte> code, List<byte[]> corpus)
    {
        int at = _random.Next(code.Count + 1);
        int length = Math.Min(code.Count - at, 1 << _random.Next(0, 7));
        switch (_random.Next(9))
        {
            case 0 when at < code.Count:
                code[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when at < code.Count:
                code[at] = (byte)_random.Next(256);
                break;
            case 2:
                code.RemoveRange(at, length);
                break;
            case 3:
                code.InsertRange(at, [.. code.Skip(at).Take(length)]); // again
                break;
            case 4:
                byte[] fresh = new byte[_random.Next(1, 16)];
                _random.NextBytes(fresh);
                code.InsertRange(at, fresh);
                break;
            case 5:
                byte[] other = corpus[_random.Next(corpus.Count)];
                code.RemoveRange(at, code.Count - at);
                code.AddRange(other.Skip(_random.Next(other.Length)));
                break;
            case 6:
                byte[] from = corpus[_random.Next(corpus.Count)];
                int begin = _random.Next(from.Length);
                code.InsertRange(at, from.Skip(begin).Take(1 << _random.Next(2, 8)));
                break;
            case 7:
                for (int i = at; i < at + length; i++)
                {
                    code[i] = 0;
                }
                break;
            default:
                code.InsertRange(at, [Language.ByteOf((Operation)_random.Next(Enum.GetValues<Operation>().Length)), 0, 0]);
                break;
        }
    }
}
