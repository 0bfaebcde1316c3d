using System;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>
/// The statuses that the contract allows for a call. Where several arguments are bad it names no order among them, so any of their
/// errors will do; where none is bad there is one answer.
/// </summary>
internal sealed class Expected
{
    private const int Most = 16;

    private readonly int[] _errors = new int[Most];
    private int _count;

    /// <summary>Errors that may come though nothing is bad: memory ran out.</summary>
    private readonly int[] _possible = new int[4];
    private int _possibleCount;

    public bool IsBad => _count != 0;

    public Expected Clear()
    {
        _count = 0;
        _possibleCount = 0;
        return this;
    }

    public Expected If(bool bad, int error)
    {
        if (bad)
        {
            _errors[_count++] = error;
        }
        return this;
    }

    public Expected Maybe(bool possible, int error)
    {
        if (possible)
        {
            _possible[_possibleCount++] = error;
        }
        return this;
    }

    /// <summary>Whether a status is one of the errors, or <paramref name="good"/> where there is none.</summary>
    public bool Allows(int status, int good)
    {
        bool possible = _possible.AsSpan(0, _possibleCount).Contains(status);
        return possible || (IsBad ? _errors.AsSpan(0, _count).Contains(status) : status == good);
    }

    public string Describe(int good) =>
        string.Join(" or ", (IsBad ? _errors[.._count] : [good]).Concat(_possible[.._possibleCount]).Distinct());
}
