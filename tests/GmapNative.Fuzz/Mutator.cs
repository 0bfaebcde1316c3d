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

    private readonly Random _random = new(seed);

    public byte[] Next(List<byte[]> corpus)
    {
        if (corpus.Count == 0 || _random.Next(8) == 0)
        {
            byte[] program = new byte[_random.Next(8, LongestNew)];
            _random.NextBytes(program);
            return program;
        }
        List<byte> code = [.. corpus[_random.Next(corpus.Count)]];
        for (int changes = _random.Next(1, MostChanges + 1); changes > 0; changes--)
        {
            Change(code, corpus);
        }
        return [.. code.Take(Longest)];
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
