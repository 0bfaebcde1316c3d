using System;
using System.Collections.Generic;

namespace GmapNative.Tests.Models;

/// <summary>An atomic step that always proceeds.</summary>
internal delegate void Effect<TState>(ref TState state);

/// <summary>A condition that a step waits for.</summary>
internal delegate bool Guard<TState>(in TState state);

/// <summary>An atomic step that decides where its thread goes on.</summary>
internal delegate Flow Choice<TState>(ref TState state);

/// <summary>
/// What a thread does after a step: the next one, wait (the step did not happen), another one, or nothing more.
/// </summary>
internal readonly record struct Flow
{
    private Flow(FlowKind kind, string? target = null)
    {
        Kind = kind;
        Target = target;
    }

    public static Flow Next { get; } = new(FlowKind.Next);

    public static Flow Wait { get; } = new(FlowKind.Wait);

    public static Flow End { get; } = new(FlowKind.End);

    public FlowKind Kind { get; }

    public string? Target { get; }

    public static Flow To(string label) => new(FlowKind.Jump, label);
}

internal enum FlowKind
{
    Next,
    Wait,
    Jump,
    End,
}

/// <summary>One thread of a model: a list of labelled atomic steps.</summary>
internal sealed class Actor<TState>(string name)
{
    private readonly List<(string Label, Choice<TState> Body)> _steps = [];
    private readonly Dictionary<string, int> _byLabel = [];

    public string Name { get; } = name;

    public int Length => _steps.Count;

    /// <summary>A daemon (a store buffer, a timer) may wait for ever without the model being stuck.</summary>
    public bool IsDaemon { get; private set; }

    /// <summary>What the others do for a thread that died: close its view. Null: it does not die.</summary>
    public Effect<TState>? Death { get; private set; }

    public string Label(int step) => _steps[step].Label;

    public Actor<TState> Do(string label, Effect<TState> effect) => Try(label, (ref s) =>
    {
        effect(ref s);
        return Flow.Next;
    });

    public Actor<TState> When(string label, Guard<TState> guard, Effect<TState>? effect = null) => Try(label, (ref s) =>
    {
        if (!guard(in s))
        {
            return Flow.Wait;
        }

        effect?.Invoke(ref s);
        return Flow.Next;
    });

    public Actor<TState> Try(string label, Choice<TState> body)
    {
        _byLabel.Add(label, _steps.Count);
        _steps.Add((label, body));
        return this;
    }

    /// <summary>The thread may die before any step but its first.</summary>
    public Actor<TState> MayDie(Effect<TState> death)
    {
        Death = death;
        return this;
    }

    public Actor<TState> AsDaemon()
    {
        IsDaemon = true;
        return this;
    }

    /// <summary>Runs one step; the step to go on with, or -1 when it has to wait.</summary>
    public int Run(int step, ref TState state)
    {
        Flow flow = _steps[step].Body(ref state);
        return flow.Kind switch
        {
            FlowKind.Next => step + 1,
            FlowKind.Wait => -1,
            FlowKind.End => _steps.Count,
            FlowKind.Jump => _byLabel[flow.Target!],
            _ => throw new InvalidOperationException($"no such flow: {flow.Kind}"),
        };
    }
}
