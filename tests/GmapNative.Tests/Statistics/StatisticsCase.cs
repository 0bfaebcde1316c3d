using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using GmapNative.Exports;
using GmapNative.Exports.Abi;
using GmapNative.Memory;
using GmapNative.Space;
using GmapNative.Tests.Model;

namespace GmapNative.Tests.Statistics;

/// <summary>A known run and by how much each field of <c>gmap_space_stats</c> moves in it. What is not named must not move.</summary>
internal sealed class StatisticsCase(string name, Action<TestSpace> run, params (string Field, long By)[] moves)
{
    public SplitPolicy Policy { get; init; } = SplitPolicy.Lazy;

    public bool Huge { get; init; } = true;

    /// <summary>What comes before the run, with a slot 1 of two segments at 2 MB that logs.</summary>
    public Action<TestSpace> Before { get; init; } = _ => { };

    public Action<TestSpace> Run => run;

    public IReadOnlyDictionary<string, long> Moves { get; } = moves.ToDictionary(move => move.Field, move => move.By);

    public override string ToString() => name;
}

/// <summary>The fields of the figures that a test makes move, where no <see cref="StatisticsCase"/> does.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class CoversAttribute(params string[] fields) : Attribute
{
    public string[] Fields { get; } = fields;
}

/// <summary>Reads the figures as the ABI gives them, by the names of their fields.</summary>
internal static class Figures
{
    /// <summary>Times: how much they move is no known number; tests of their own hold bounds.</summary>
    public static readonly string[] Times = [nameof(SpaceStats.grace_wait_ns), nameof(SpaceStats.harvest_ns)];

    public static string[] FieldsOf<T>() =>
        [.. typeof(T).GetFields(BindingFlags.Public | BindingFlags.Instance).Where(f => f.FieldType == typeof(ulong)).Select(f => f.Name)];

    public static SpaceStats Of(AddressSpace space)
    {
        int section = LibrarySections.Enter();
        SpaceStats stats = SpaceReport.Of(space);
        LibrarySections.Leave(section);
        return stats;
    }

    /// <summary>What moved, times left out.</summary>
    public static Dictionary<string, long> Moved<T>(T before, T after)
        where T : struct
    {
        var moved = new Dictionary<string, long>();
        foreach (string field in FieldsOf<T>().Except(Times))
        {
            FieldInfo info = typeof(T).GetField(field)!;
            long by = (long)(ulong)info.GetValue(after)! - (long)(ulong)info.GetValue(before)!;
            if (by != 0)
            {
                moved[field] = by;
            }
        }
        return moved;
    }
}
