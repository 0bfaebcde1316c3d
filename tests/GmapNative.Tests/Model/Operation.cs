using System.Collections.Generic;
using System.Linq;
using CsCheck;
using GmapNative.Space;

namespace GmapNative.Tests.Model;

internal enum Kind
{
    Slot,
    DeleteSlot,
    ReadFault,
    WriteFault,
    InlineRead,
    InlineWrite,
    InlineSpan,
    Populate,
    Unmap,
    Split,
    Collapse,
    Discard,
    Age,
    Translate,
    HostRead,
    HostWrite,
    Mark,
    MarkBitmap,
    MarkBatch,
    Get,
    Harvest,
    Clear,
    Limit,
    Consumer,
    CloseConsumer,
    Redirty,
    HarvestRuns,
    Pgste,
    Protect,
}

/// <summary>One call. The numbers are read against what is there when it runs, so that every part of a sequence is a sequence.</summary>
internal readonly record struct Operation(Kind Kind, uint A, uint B, uint C, uint D)
{
    /// <summary>Kinds by how often they are wanted.</summary>
    private static readonly (int, Kind)[] s_weights =
    [
        (6, Kind.Slot), (1, Kind.DeleteSlot), (8, Kind.ReadFault), (8, Kind.WriteFault), (3, Kind.InlineRead), (14, Kind.InlineWrite),
        (4, Kind.InlineSpan), (2, Kind.Populate), (4, Kind.Unmap), (2, Kind.Split), (4, Kind.Collapse), (1, Kind.Discard),
        (3, Kind.Age), (2, Kind.Translate), (1, Kind.HostRead), (2, Kind.HostWrite),
        (2, Kind.Mark), (1, Kind.MarkBitmap), (1, Kind.MarkBatch), (3, Kind.Get), (12, Kind.Harvest), (4, Kind.Clear), (1, Kind.Limit),
        (16, Kind.Consumer), (1, Kind.CloseConsumer), (2, Kind.Redirty), (3, Kind.HarvestRuns), (4, Kind.Pgste),
        (3, Kind.Protect),
    ];

    /// <summary>The same where consumers are looked at.</summary>
    private static readonly (int, Kind)[] s_consumerWeights =
    [
        (40, Kind.Consumer), (1, Kind.CloseConsumer), (4, Kind.Redirty), (4, Kind.HarvestRuns), (20, Kind.InlineWrite),
        (4, Kind.WriteFault), (2, Kind.InlineSpan), (3, Kind.HostWrite), (2, Kind.Mark), (1, Kind.MarkBitmap), (1, Kind.Unmap),
        (1, Kind.Split), (2, Kind.Collapse), (1, Kind.Discard), (1, Kind.Age), (4, Kind.Harvest), (2, Kind.Get), (2, Kind.Clear),
        (5, Kind.Slot), (1, Kind.DeleteSlot), (2, Kind.Protect),
    ];

    public static Gen<Operation> Gen { get; } = Of(s_weights);

    public static Gen<Operation> GenOfConsumers { get; } = Of(s_consumerWeights);

    private static Gen<Operation> Of((int, Kind)[] weights) => CsCheck.Gen.Select(
        CsCheck.Gen.Frequency([.. weights.Select(w => (w.Item1, CsCheck.Gen.Const(w.Item2)))]),
        CsCheck.Gen.UInt[0, 255],
        CsCheck.Gen.UInt[0, 4095],
        CsCheck.Gen.UInt[0, 4095],
        CsCheck.Gen.UInt[0, 255],
        (kind, a, b, c, d) => new Operation(kind, a, b, c, d));

    public override string ToString() => $"new(Kind.{Kind}, {A}, {B}, {C}, {D})";
}

/// <summary>A space's options and what is done to it.</summary>
internal sealed record Sequence(
    SplitPolicy Policy, bool Huge, int Levels, bool ByGeneration, bool Pgstes, bool Global, Operation[] Operations)
{
    private const int LongestLength = 60;
    private const int MostSlotsFirst = 4;

    public static Gen<Sequence> Gen { get; } = Of(Operation.Gen, LongestLength, consumers: 0);

    /// <summary>All four consumers are open from the beginning.</summary>
    public static Gen<Sequence> GenOfConsumers { get; } = Of(Operation.GenOfConsumers, 3 * LongestLength, consumers: 4);

    private static Gen<Sequence> Of(Gen<Operation> operations, int length, uint consumers) => CsCheck.Gen.Select(
        CsCheck.Gen.Frequency(
            (6, CsCheck.Gen.Const(SplitPolicy.Lazy)), (3, CsCheck.Gen.Const(SplitPolicy.Never)), (1, CsCheck.Gen.Const(SplitPolicy.Eager))),
        CsCheck.Gen.Frequency((9, CsCheck.Gen.Const(true)), (1, CsCheck.Gen.Const(false))),
        CsCheck.Gen.Frequency(
            (4, CsCheck.Gen.Const(0)), (4, CsCheck.Gen.Const(1)), (1, CsCheck.Gen.Const(2)), (1, CsCheck.Gen.Const(3))),
        CsCheck.Gen.Select(CsCheck.Gen.Bool, CsCheck.Gen.Bool, CsCheck.Gen.Int[0, 3]),
        operations.Array[1, MostSlotsFirst],
        operations.Array[0, length],
        (policy, huge, levels, ways, first, then) => new Sequence(policy, huge, levels, ways.Item1, ways.Item2, ways.Item3 == 0,
        [
            .. first.Select((operation, i) => operation with { Kind = Kind.Slot, A = (uint)i }),
            .. Opened(first[0], consumers),
            .. then,
        ]));

    private static IEnumerable<Operation> Opened(Operation some, uint consumers)
    {
        for (uint seat = 0; seat < consumers; seat++)
        {
            yield return some with { Kind = Kind.Consumer, A = seat, B = seat == 3 ? 3u : 0, C = some.C + seat };
        }
    }

    public override string ToString() =>
        $"new Sequence(SplitPolicy.{Policy}, {Word(Huge)}, {Levels}, {Word(ByGeneration)}, {Word(Pgstes)}, {Word(Global)}, [\n    "
        + string.Join(",\n    ", Operations) + "])";

    private static string Word(bool value) => value ? "true" : "false";

    /// <summary>This sequence without operations that it does not need in order to fail.</summary>
    public Sequence Shortest()
    {
        List<Operation> left = [.. Operations];
        for (int size = left.Count / 2; size >= 1; size /= 2)
        {
            for (int at = 0; at + size <= left.Count;)
            {
                List<Operation> fewer = [.. left.Take(at), .. left.Skip(at + size)];
                bool fails = SpaceDriver.Run(this with { Operations = [.. fewer] }, null) is not null;
                left = fails ? fewer : left;
                at += fails ? 0 : size;
            }
        }
        return this with { Operations = [.. left] };
    }
}
