using System;
using System.Collections.Generic;
using System.Linq;

namespace GmapNative.Tests.Models;

/// <summary>
/// A small protocol under sequential consistency: a start state, threads of atomic steps, and what must never be so.
/// <see cref="Explore"/> visits every reachable state, breadth first: the first violation has the shortest schedule.
/// </summary>
internal sealed class Model<TState>(TState start)
    where TState : struct, IEquatable<TState>
{
    private const int BitsPerActor = 8;
    private const int StateLimit = 2_000_000;

    private readonly TState _start = start;
    private readonly List<Actor<TState>> _actors = [];
    private readonly List<(string Kind, Guard<TState> IsBroken, bool OnlyAtEnd)> _rules = [];

    public Model<TState> Thread(string name, Action<Actor<TState>> write)
    {
        if (_actors.Count == 64 / BitsPerActor)
        {
            throw new InvalidOperationException("too many threads for one packed word of positions");
        }

        var actor = new Actor<TState>(name);
        write(actor);
        _actors.Add(actor);
        return this;
    }

    /// <summary>Must not hold in any reachable state.</summary>
    public Model<TState> Never(string kind, Guard<TState> isBroken)
    {
        _rules.Add((kind, isBroken, false));
        return this;
    }

    /// <summary>Must not hold once every thread has ended.</summary>
    public Model<TState> NeverAtEnd(string kind, Guard<TState> isBroken)
    {
        _rules.Add((kind, isBroken, true));
        return this;
    }

    public Outcome Explore() => new Search(this).Run();

    private sealed class Search(Model<TState> model)
    {
        private readonly List<Node> _nodes = [];
        private readonly Dictionary<(TState State, ulong Positions), int> _seen = [];
        private readonly List<(int From, int To)> _edges = [];
        private readonly List<int> _ends = [];
        private readonly HashSet<(int Actor, int Step)> _fired = [];
        private string? _kind;
        private int _at;

        public Outcome Run()
        {
            Visit(new Node(model._start, positions: 0, parent: -1, actor: -1, step: -1));
            for (int i = 0; i < _nodes.Count; i++)
            {
                Expand(i);
            }

            FindLivelock();
            return new Outcome(
                _nodes.Count,
                _kind,
                _kind is null ? "" : Schedule(_at),
                _kind is null ? "" : _nodes[_at].State.ToString()!,
                [.. Unreached()]);
        }

        private void Expand(int index)
        {
            Node node = _nodes[index];
            bool moved = false;
            for (int a = 0; a < model._actors.Count; a++)
            {
                Actor<TState> actor = model._actors[a];
                int step = Position(node.Positions, a);
                if (step >= actor.Length)
                {
                    continue;
                }

                TState after = node.State;
                int next = actor.Run(step, ref after);
                if (next >= 0)
                {
                    moved = true;
                    _fired.Add((a, step));
                    Follow(index, new Node(after, Moved(node.Positions, a, next), index, a, step));
                }

                if (actor.Death is { } death && step > 0)
                {
                    moved = true;
                    after = node.State;
                    death(ref after);
                    Follow(index, new Node(after, Moved(node.Positions, a, actor.Length), index, a, -1));
                }
            }

            Judge(index, moved);
        }

        private void Judge(int index, bool moved)
        {
            Node node = _nodes[index];
            bool isEnd = !moved && model._actors.Select((a, i) => a.IsDaemon || Position(node.Positions, i) >= a.Length)
                .All(done => done);
            if (isEnd)
            {
                _ends.Add(index);
            }
            else if (!moved)
            {
                Report(Outcome.Stuck, index);
                _ends.Add(index);
            }

            foreach ((string kind, Guard<TState> isBroken, bool onlyAtEnd) in model._rules)
            {
                if ((isEnd || !onlyAtEnd) && isBroken(in node.State))
                {
                    Report(kind, index);
                }
            }
        }

        private void Follow(int from, in Node node) => _edges.Add((from, Visit(node)));

        private int Visit(in Node node)
        {
            if (_seen.TryGetValue((node.State, node.Positions), out int known))
            {
                return known;
            }

            if (_nodes.Count == StateLimit)
            {
                throw new InvalidOperationException("the model is not small");
            }

            _seen.Add((node.State, node.Positions), _nodes.Count);
            _nodes.Add(node);
            return _nodes.Count - 1;
        }

        private void Report(string kind, int index)
        {
            if (_kind is null)
            {
                _kind = kind;
                _at = index;
            }
        }

        /// <summary>Walks back from the ends; a state that is not met cannot come to an end.</summary>
        private void FindLivelock()
        {
            ILookup<int, int> back = _edges.ToLookup(edge => edge.To, edge => edge.From);
            bool[] canEnd = new bool[_nodes.Count];
            var todo = new Stack<int>(_ends);
            while (todo.TryPop(out int index))
            {
                if (!canEnd[index])
                {
                    canEnd[index] = true;
                    foreach (int from in back[index])
                    {
                        todo.Push(from);
                    }
                }
            }

            int trapped = Array.IndexOf(canEnd, false);
            if (trapped >= 0)
            {
                Report(Outcome.Livelock, trapped);
            }
        }

        private string Schedule(int index)
        {
            var steps = new List<string>();
            for (Node node = _nodes[index]; node.Parent >= 0; node = _nodes[node.Parent])
            {
                Actor<TState> actor = model._actors[node.Actor];
                steps.Add($"{actor.Name}:{(node.Step < 0 ? "dies" : actor.Label(node.Step))}");
            }

            steps.Reverse();
            return string.Join(" ; ", steps);
        }

        private IEnumerable<string> Unreached() =>
            from a in Enumerable.Range(0, model._actors.Count)
            from step in Enumerable.Range(0, model._actors[a].Length)
            where !_fired.Contains((a, step))
            select $"{model._actors[a].Name}:{model._actors[a].Label(step)}";

        private static int Position(ulong positions, int actor) => (int)(positions >> (actor * BitsPerActor)) & 0xFF;

        private static ulong Moved(ulong positions, int actor, int next)
        {
            int shift = actor * BitsPerActor;
            return (positions & ~(0xFFUL << shift)) | ((ulong)next << shift);
        }
    }

    /// <summary>A state, how far each thread is in it, and the step that led here.</summary>
    private readonly struct Node(TState state, ulong positions, int parent, int actor, int step)
    {
        public readonly TState State = state;
        public readonly ulong Positions = positions;
        public readonly int Parent = parent;
        public readonly int Actor = actor;
        public readonly int Step = step;
    }
}

/// <summary>
/// What an exploration found. A step that never fired makes a model that holds worthless: it is reported too.
/// </summary>
internal sealed record Outcome(int States, string? Violation, string Schedule, string State, string[] Unreached)
{
    public const string Stuck = "stuck: a thread waits for ever";
    public const string Livelock = "livelock: no end can be reached any more";
}
