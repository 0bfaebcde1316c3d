using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace GmapNative.Fuzz;

/// <summary>What the library answered is not what the model says.</summary>
internal sealed class DifferenceException(string message) : Exception(message);

/// <summary>
/// Runs one program against the library and the model: a first part of some bytes makes the world, then each operation is a byte
/// and what it reads behind it. Every string of bytes is a program.
/// </summary>
/// <param name="library">The library.</param>
/// <param name="guest">Host memory of the slots.</param>
/// <param name="scratch">Memory for arguments.</param>
/// <param name="helper">The thread that has views of its own.</param>
/// <param name="keys">Told what was seen.</param>
/// <param name="trace">Told each operation before it runs; null: nobody is.</param>
internal sealed unsafe partial class Machine(
    Library library, GuestArea guest, Scratch scratch, Helper helper, KeySet keys, TextWriter? trace) : ITarget
{
    private const int MostOperations = 400;
    private const int OperationsPerCheck = 16;

    private readonly List<EngineState> _engines = [];
    private readonly List<SpaceState> _spaces = [];
    private readonly List<VcpuState> _vcpus = [];       // open ones
    private readonly List<VcpuState> _closed = [];      // their views are mapped until their engine ends
    private readonly List<BackingState> _backings = []; // whose handles were not detached
    private readonly Dictionary<ulong, object> _live = [];
    private readonly List<ulong> _stale = [];
    private readonly Expected _expected = new();
    private Code _code = new([]);
    private string _name = "";
    private bool _nested;   // whether it is an access by a vcpu of a shadow
    private uint _features; // of the arguments of the operation that runs: part of its key

    public long Operations { get; private set; }

    /// <summary>Null, or what differs and where.</summary>
    public string? Run(byte[] program)
    {
        _code = new Code(program);
        int done = 0;
        try
        {
            Begin();
            while (!_code.IsAtEnd && done < MostOperations)
            {
                Step();
                done++;
                if (done % OperationsPerCheck == 0)
                {
                    CheckAll();
                }
            }
            _name = "end";
            CheckAll();
            End();
            return null;
        }
        catch (DifferenceException difference)
        {
            return $"operation {done}, {_name}: {difference.Message}";
        }
        finally
        {
            Operations += done;
        }
    }

    private void Step()
    {
        Operation operation = Language.Operations[_code.Byte()];
        _name = operation.ToString();
        _features = 0;
        _nested = false;
        int status = Apply(operation);
        if (status == Status.TimedOut)
        {
            EndWhatTimedOut();
        }
        foreach (SpaceState space in _spaces.Where(space => space.IsNested))
        {
            space.Model.LookWhoAsks();
        }
        if (_nested)
        {
            keys.SeeNested(status);
        }
        uint state = (AnyInside ? 1u : 0) | (_engines.Count > 1 ? 2u : 0) | (_spaces.Count > 1 ? 4u : 0);
        keys.See((uint)operation, status, _features, state);
        trace?.WriteLine($"  -> {status}");
    }

    /// <summary>A class of an argument, for the key of the operation.</summary>
    private void Feature(uint value, uint of) => _features = (_features * of) + value;

    private int Apply(Operation operation) => operation switch
    {
        Operation.EngineCreate => CreateEngine(),
        Operation.EngineDestroy => DestroyEngine(),
        Operation.EngineStats => EngineFigures(),
        Operation.SpaceCreate => CreateSpace(),
        Operation.SpaceDestroy => DestroySpace(),
        Operation.Limit => SetLimit(),
        Operation.Asce => GetAsce(),
        Operation.SpaceStats => SpaceFigures(),
        Operation.Image => ExportImage(),
        Operation.Slot => SetSlot(),
        Operation.SlotFlags => ChangeSlot(),
        Operation.SlotDelete => DeleteSlot(),
        Operation.VcpuOpen => OpenVcpu(),
        Operation.VcpuClose => CloseVcpu(),
        Operation.Fault => Fault(),
        Operation.FaultMany => FaultMany(),
        Operation.Translate => Translate(),
        Operation.Enter => Enter(),
        Operation.Leave => Leave(),
        Operation.LeaveAll => LeaveAll(),
        Operation.InlineLoad => InlineLoad(),
        Operation.InlineStore => InlineStore(),
        Operation.Read => HostRead(),
        Operation.Write => HostWrite(),
        Operation.Mark => Mark(),
        Operation.MarkBitmap => MarkBitmap(),
        Operation.MarkBatch => MarkBatch(),
        Operation.Unmap => Unmap(),
        Operation.Discard => Discard(),
        Operation.Split => Split(),
        Operation.Collapse => Collapse(),
        Operation.PgsteGet => GetPgste(),
        Operation.PgsteUpdate => UpdatePgste(),
        Operation.Age => Age(),
        Operation.Protect => Protect(),
        Operation.NotifierRegister => RegisterNotifier(),
        Operation.NotifierUnregister => UnregisterNotifier(),
        Operation.Shadow => RefusedShadow(),
        Operation.ShadowOpen => OpenShadow(),
        Operation.ShadowClose => CloseShadow(),
        Operation.ShadowTables => StoreTables(),
        Operation.Populate => Populate(),
        Operation.Get => DirtyGet(),
        Operation.Clear => DirtyClear(),
        Operation.Harvest => DirtyHarvest(),
        Operation.Drain => Drain(),
        Operation.SlotRate => SlotRate(),
        Operation.VcpuRate => VcpuRate(),
        Operation.HarvestRanges => DirtyHarvestRanges(),
        Operation.ConsumerOpen => OpenConsumer(),
        Operation.ConsumerClose => CloseConsumer(),
        Operation.EpochBegin => BeginEpoch(),
        Operation.EpochBitmap => ReadEpoch(),
        Operation.EpochRanges => ReadEpochRanges(),
        Operation.EpochCommit => EndEpoch(commits: true),
        Operation.EpochAbort => EndEpoch(commits: false),
        Operation.EpochRedirty => Redirty(),
        Operation.Export => ExportEpoch(),
        Operation.SnapshotTake => TakeSnapshot(),
        Operation.SnapshotRestore => RestoreSnapshot(),
        Operation.SnapshotVerify => VerifySnapshot(),
        Operation.SnapshotFree => FreeSnapshot(),
        Operation.Attach => AttachBacking(),
        Operation.Descriptor => BackingDescriptor(),
        Operation.Detach => DetachBacking(),
        Operation.Serve => ServeBacking(),
        _ => Texts(),
    };

    /// <summary>Inside with a view of the calling thread, of whichever space: what waits answers deadlock.</summary>
    private bool AnyInside => _vcpus.Any(vcpu => vcpu.IsOwn && vcpu.IsInside);

    /// <summary>Whether a grace of the space ends with a time-out: the other thread's view stays inside.</summary>
    private static bool TimesOut(SpaceState? space) =>
        space is not null && space.Engine.Patience == Patience.Short && space.Vcpus.Any(vcpu => !vcpu.IsOwn && vcpu.IsInside);

    private void Say(string arguments) => trace?.WriteLine($"{_name,-14} {arguments}");

    /// <summary>One status is right, unless the arguments are bad in several ways.</summary>
    private bool Check(int status, int good)
    {
        if (!_expected.Allows(status, good))
        {
            throw new DifferenceException($"status {status}, expected {_expected.Describe(good)}");
        }
        return status == good && !_expected.IsBad;
    }

    private static void Same<T>(T engine, T model, string what)
    {
        if (!EqualityComparer<T>.Default.Equals(engine, model))
        {
            throw new DifferenceException($"{what}: library {engine}, model {model}");
        }
    }

    private static void That(bool right, string what)
    {
        if (!right)
        {
            throw new DifferenceException(what);
        }
    }

    private static void SamePages(HashSet<ulong> engine, HashSet<ulong> model, string what)
    {
        if (!engine.SetEquals(model))
        {
            string lost = string.Join(' ', model.Except(engine).Order().Take(4).Select(page => $"{page:x}"));
            string extra = string.Join(' ', engine.Except(model).Order().Take(4).Select(page => $"{page:x}"));
            throw new DifferenceException($"{what}: {engine.Count} pages, {model.Count} expected; lost: {lost}; too many: {extra}");
        }
    }

    // ---- handles --------------------------------------------------------------------------------------------------------

    /// <summary>A handle for an argument: mostly a live one of the right kind.</summary>
    private ulong Handle<T>(List<T> good, Func<T, ulong> handleOf, out T? target)
        where T : class
    {
        byte choice = _code.Byte();
        ulong handle = choice < Language.GoodHandles && good.Count > 0 ? handleOf(good[choice % good.Count])
            : choice < Language.GoodHandles ? 0
            : BadHandle(choice, good.Count > 0 ? handleOf(good[choice % good.Count]) : 0);
        target = _live.GetValueOrDefault(handle) as T;
        Feature(target is null ? 1u + (choice < Language.GoodHandles ? 0u : choice % 8u) : 0, 9);
        return handle;
    }

    private ulong BadHandle(byte choice, ulong near) => (choice % 8) switch
    {
        0 => 0,
        1 => _stale.Count == 0 ? 0 : _stale[_code.Byte() % _stale.Count],
        2 => _live.Count == 0 ? 0 : _live.Keys.ElementAt(_code.Byte() % _live.Count), // of any kind
        3 => ulong.MaxValue,
        4 => near ^ (1UL << 24),            // another generation
        5 => near ^ (0xFFUL << 16),         // another place
        6 => _code.Spread(),
        _ => near ^ ((ulong)_code.Byte() << 56), // another kind
    };

    private ulong EngineHandle(out EngineState? engine) => Handle(_engines, e => e.Handle, out engine);

    private ulong SpaceHandle(out SpaceState? space) => Handle(_spaces, s => s.Handle, out space);

    /// <summary>Of a call that takes shadows, too.</summary>
    private ulong AnySpaceHandle(out SpaceState? space, out ShadowState? shadow)
    {
        List<object> all = [.. _spaces, .. _shadows];
        ulong handle = Handle(all, one => one is SpaceState root ? root.Handle : ((ShadowState)one).Handle, out object? target);
        shadow = target as ShadowState;
        space = target as SpaceState ?? shadow?.Root;
        return handle;
    }

    private ulong VcpuHandle(out VcpuState? vcpu) => Handle(_vcpus, v => v.Handle, out vcpu);

    private void Born(ulong handle, object target)
    {
        That(handle != 0 && !_live.ContainsKey(handle) && !_stale.Contains(handle), $"the new handle {handle:x} was there before");
        That((handle & 0xFFFFFF) < 256, $"the new handle {handle:x} has a high number: handles are leaked");
        _live.Add(handle, target);
    }

    private void Gone(ulong handle)
    {
        _live.Remove(handle);
        _stale.Add(handle);
    }
}
