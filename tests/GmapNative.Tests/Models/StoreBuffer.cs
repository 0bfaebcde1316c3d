using NUnit.Framework;

namespace GmapNative.Tests.Models;

/// <summary>
/// Rule 6: enter and leave are plain stores, so they sit in the processor's store buffer while its later loads go
/// ahead. The grace drains every buffer (a process-wide barrier) between its take and its look at the inside words.
/// One buffered store per thread, drained at any time and in order; a compare-and-swap drains it first.
/// </summary>
[TestFixture]
public sealed class StoreBuffer
{
    private const string Lost = "a store is neither copied nor marked";

    public enum Variant
    {
        BarrierAfterTake,
        FenceInEnter,
        NoBarrier,
        BarrierBeforeTake,
        BarrierAfterLook,
        LeaveBeforeStore,
    }

    private enum Pending : byte
    {
        Nothing,
        Inside,
        Store,
        Outside,
    }

    [TestCase(Variant.BarrierAfterTake)]
    [TestCase(Variant.FenceInEnter)]
    public void Rule_holds(Variant variant) => Check.Holds(Build(variant));

    [TestCase(Variant.NoBarrier)]
    [TestCase(Variant.BarrierBeforeTake)]
    [TestCase(Variant.BarrierAfterLook)]
    [TestCase(Variant.LeaveBeforeStore)]
    public void Without_it_fails(Variant variant) => Check.Fails(Build(variant), Lost);

    /// <summary>
    /// The page is granted and dirty from before: a writer needs no compare-and-swap, so nothing drains for it.
    /// </summary>
    private static Model<State> Build(Variant variant) =>
        new Model<State>(new State { SoftDirty = true, Writable = true })
            .Thread("W1", w => Write(w, 1, variant))
            .Thread("W2", w => Write(w, 2, variant))
            .Thread("buffer 1", b => Drain(b, 1))
            .Thread("buffer 2", b => Drain(b, 2))
            .Thread("H", h => Harvest(h, variant))
            .NeverAtEnd(Lost, (in s) => s.Memory != s.Copy && !s.SoftDirty);

    private static void Write(Actor<State> w, byte who, Variant variant)
    {
        Put(w, "enter", who, Pending.Inside);
        if (variant == Variant.FenceInEnter)
        {
            w.When("fence", (in s) => s.Buffer(who) == Pending.Nothing);
        }

        string afterLoad = variant == Variant.LeaveBeforeStore ? "leave" : "store";
        w.Try("load entry", (ref s) => s.Writable ? Flow.To(afterLoad) : Flow.Next);
        w.When("CAS entry", (in s) => s.Buffer(who) == Pending.Nothing, (ref s) => s.Writable = s.SoftDirty = true);
        if (variant == Variant.LeaveBeforeStore)
        {
            Put(w, "leave", who, Pending.Outside);
            Put(w, "store", who, Pending.Store);
        }
        else
        {
            Put(w, "store", who, Pending.Store);
            Put(w, "leave", who, Pending.Outside);
        }
    }

    private static void Put(Actor<State> w, string label, byte who, Pending store) =>
        w.When(label, (in s) => s.Buffer(who) == Pending.Nothing, (ref s) => s.SetBuffer(who, store));

    private static void Drain(Actor<State> b, byte who) => b
        .Try("drains", (ref s) =>
        {
            if (s.Buffer(who) == Pending.Nothing)
            {
                return Flow.Wait;
            }

            s.Drain(who);
            return Flow.To("drains");
        })
        .AsDaemon();

    private static void Harvest(Actor<State> h, Variant variant)
    {
        if (variant == Variant.BarrierBeforeTake)
        {
            Barrier(h);
        }

        h.Do("take", (ref s) => s.Writable = s.SoftDirty = false);
        if (variant is Variant.BarrierAfterTake or Variant.LeaveBeforeStore)
        {
            Barrier(h);
        }

        h.When("W1 is out", (in s) => (s.Inside & 1) == 0);
        h.When("W2 is out", (in s) => (s.Inside & 2) == 0);
        if (variant == Variant.BarrierAfterLook)
        {
            Barrier(h);
        }

        h.Do("copy", (ref s) => s.Copy = s.Memory);
    }

    private static void Barrier(Actor<State> h) => h.Do("process-wide barrier", (ref s) =>
    {
        s.Drain(1);
        s.Drain(2);
    });

    private record struct State
    {
        public bool SoftDirty;
        public bool Writable;
        public byte Inside;
        public byte Memory;
        public byte Copy;
        public Pending Buffer1;
        public Pending Buffer2;

        public readonly Pending Buffer(byte who) => who == 1 ? Buffer1 : Buffer2;

        public void SetBuffer(byte who, Pending store)
        {
            if (who == 1)
            {
                Buffer1 = store;
            }
            else
            {
                Buffer2 = store;
            }
        }

        public void Drain(byte who)
        {
            switch (Buffer(who))
            {
                case Pending.Inside:
                    Inside |= who;
                    break;
                case Pending.Store:
                    Memory |= who;
                    break;
                case Pending.Outside:
                    Inside &= (byte)~who;
                    break;
                default:
                    break;
            }

            SetBuffer(who, Pending.Nothing);
        }
    }
}
