using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using GmapNative.Space;

namespace GmapNative.Tests.Interleaving;

/// <summary>A few threads, what each does, and how much of their schedules is looked at.</summary>
/// <param name="Name">What is looked for.</param>
/// <param name="Threads">What each thread does; they are called A, B, C.</param>
internal sealed record Scenario(string Name, params Action<Actor>[] Threads)
{
    public SpaceOptions Options { get; init; } = new() { Limit = Model.TestSpace.TwoGigabytes - 1 };

    /// <summary>While nobody else runs: slots, pages that are mapped or dirty already.</summary>
    public required Action<World> Before { get; init; }

    /// <summary>Whether enter's store stays in a store buffer until a barrier comes.</summary>
    public bool BuffersStores { get; init; }

    /// <summary>Flagged lines from which a harvest freezes a segment (rule 20), be it the only one; 0: never.</summary>
    public int FreezesFrom { get; init; }

    /// <summary>The most preemptions of an enumerated schedule.</summary>
    public int Bound { get; init; } = 2;

    public override string ToString() => Name;
}

/// <summary>What a search came to.</summary>
/// <param name="Schedules">How many were run.</param>
/// <param name="Complete">All schedules with so many preemptions or fewer are among them; -1: not even those without.</param>
/// <param name="Failure">Null, or what went wrong.</param>
/// <param name="Schedule">The failing schedule, for <see cref="Search.Again"/>.</param>
/// <param name="Story">The failing schedule to read.</param>
internal sealed record Found(int Schedules, int Complete, string? Failure, string Schedule, string Story)
{
    public override string ToString() => Failure is null
        ? $"{Schedules} schedules, all of those with at most {Complete} preemptions"
        : $"{Failure}\n(schedule {Schedules}: {Schedule})\n{Story}";
}

/// <summary>Runs a scenario in many schedules until one fails.</summary>
internal sealed class Search : IDisposable
{
    private static readonly string[] s_places = Enum.GetNames<Place>();
    private static readonly string[] s_inlinePlaces =
    [
        "", "entered", "leaves", "entry grants", "summary set", "page loaded", "inside", "top known", "segment loaded", "summary tested",
        "cache hits", "resolved", "generation is another", "dense bit tested", "dense bit set", "tables end",
        "stripe tested", "stripe set",
    ];

    private readonly Scenario _scenario;
    private readonly InlineShim _shim;
    private readonly Turns _turns = new();
    private readonly HashSet<string> _seen = [];
    private int _schedules;

    public Search(Scenario scenario, HeaderTwin? twin = null)
    {
        _scenario = scenario;
        _shim = InlineShim.Of(twin ?? HeaderTwin.None);
    }

    /// <summary>All places there are, of the engine and of the header.</summary>
    public static IEnumerable<string> Places => s_places.Concat(s_inlinePlaces.Skip(1));

    /// <summary>The places that threads came to.</summary>
    public IReadOnlySet<string> Seen => _seen;

    /// <summary>
    /// Enumerates with 0, 1, ... preemptions up to the bound, at most <paramref name="most"/> schedules; then so many by lot.
    /// </summary>
    public Found Run(int most, int byLot)
    {
        int complete = -1;
        for (int bound = 0; bound <= _scenario.Bound && complete == bound - 1; bound++)
        {
            complete = bound;
            var chooser = new DepthFirst(bound);
            while (chooser.Next())
            {
                if (_schedules >= most)
                {
                    complete = bound - 1;
                    break;
                }
                if (RunOne(chooser) is { } failed)
                {
                    return failed;
                }
            }
        }
        int steps = Math.Max(_turns.Chosen.Count, 1);
        for (int seed = 1; seed <= byLot; seed++)
        {
            if (RunOne(new ByLot(seed, _scenario.Threads.Length, 1 + (seed % 4), steps)) is { } failed)
            {
                return failed;
            }
        }
        return new Found(_schedules, complete, null, "", "");
    }

    /// <summary>Runs one schedule by its text. Null: it does not fail.</summary>
    public Found? Again(string schedule)
    {
        var replay = new Replay(schedule);
        Found? found = RunOne(replay);
        return replay.Fits ? found : new Found(1, -1, "the schedule does not fit the scenario", schedule, Story());
    }

    public void Dispose() => _turns.Dispose();

    private Found? RunOne(IChooser chooser) => RunBodies(
        world =>
        {
            _scenario.Before(world);
            return _scenario.Threads.Select((body, i) => BodyOf(world.Actors[i], body));
        },
        world =>
        {
            world.Finish();
            return world.Violation;
        },
        chooser);

    /// <summary>One schedule of a new world.</summary>
    /// <param name="prepare">What the threads do in it.</param>
    /// <param name="judge">Null, or what was wrong, when all have ended.</param>
    /// <param name="chooser">Who says whose turn it is.</param>
    public Found? RunBodies(Func<World, IEnumerable<Action>> prepare, Func<World, string?> judge, IChooser chooser)
    {
        _schedules++;
        World? world = null;
        string? failure;
        try
        {
            _shim.Begin(InlinePlace, _scenario.BuffersStores);
            world = new World(_scenario, _shim, _turns);
            Action[] bodies = [.. prepare(world)];
            Probe.Visitor = EnginePlace;
            bool ended = _turns.Run(bodies, chooser);
            Probe.Visitor = null;
            if (!ended)
            {
                return Failed(_turns.Failure!); // its threads are somewhere in the engine: nothing can be given back
            }
            failure = judge(world);
        }
        finally
        {
            Probe.Visitor = null;
            if (_turns.Failure is null)
            {
                world?.Dispose();
            }
        }
        failure ??= world.Violation;
        return failure is null ? null : Failed(failure);
    }

    private Action BodyOf(Actor actor, Action<Actor> body) => () =>
    {
        _shim.BeThread(actor.Index);
        body(actor);
    };

    private Found Failed(string failure) => new(_schedules, -1, failure, Replay.TextOf(_turns.Chosen), Story());

    private string Story()
    {
        var text = new StringBuilder();
        int last = -1;
        foreach ((int thread, string place) in _turns.Trace)
        {
            _ = text.Append(thread == last ? ", " : $"{(last < 0 ? "" : "\n")}  {(char)('A' + thread)}: ").Append(place);
            last = thread;
        }
        return text.ToString();
    }

    private void EnginePlace(Place place)
    {
        if (Turns.Self < 0)
        {
            return;
        }
        if (place == Place.BarrierDone && !Probe.LeavesOut(Step.NoBarrier))
        {
            _shim.Barrier();
        }
        if (place == Place.HostCopied)
        {
            Actor.StoreIsVisible();
        }
        string name = s_places[(int)place];
        _ = _seen.Add(name);
        _turns.At(name, place == Place.Waiting);
    }

    private void InlinePlace(int place)
    {
        if (place == InlineShim.Stored)
        {
            Actor.StoreIsVisible();
        }
        string name = place == InlineShim.Stored ? "stored" : s_inlinePlaces[place];
        if (Turns.Self >= 0)
        {
            _ = _seen.Add(name);
        }
        _turns.At(name);
    }
}
