/* MODEL rules 7, 8, 28, 30, 31: two writers of pages armed for writes, callbacks that call back, one that arms again, an end of a notifier */
/* TWIN second_passes (untold): a writer that finds the page being told does not wait for the end of the callback */
/* TWIN cleared_first (untold): due is cleared before the callback is over */
/* TWIN granted_at_once (untold): who told grants without a look whether the page was armed again */
/* TWIN taken_twice (twice): armed is read, then made due: two writers tell one arming */
/* TWIN taken_over (untold): armed again while it is told, it is made due by another one, and the first one clears that */
/* TWIN waits_inside (stuck): a writer waits for another one's callback in its section */
/* TWIN waits_in_call (stuck): it waits outside of the section, but in the call */
/* TWIN waits_in_callback (stuck): callbacks that write each other's pages wait for each other */
/* TWIN own_granted (untold): a callback's write to the page that it is told of is granted: all others may write it before the callback ends */
/* TWIN configuration_held (stuck): a call that holds the configuration lock waits for a callback that wants it */
/* TWIN not_counted (freed): unregister waits for no callback that runs */
/* TWIN counted_late (freed): a caller looks whether the notifier is there, and counts itself in after that */
/* TWIN ends_under_lock (stuck): unregister waits with the configuration lock held */
#include "common.inc"

#define WRITE 4
#define WRITE_DUE 16

/* Two pages. P of the entry is `closed`; what a page is armed for and its due bit; the notifier with its count. LOCK is not here. */
bool closed[2] = true;
byte watch[2];
bool configuration, registered = true, gone;
byte running;

/* Ghosts: a write of the page must be told of first; how many tellings there may be. */
bool armed[2];
byte armings[2];

inline wait_or_pass(page) { /* unreached: some pages in some places */
#ifndef second_passes
#ifdef waits_inside
    !(watch[page] & WRITE_DUE);
#else
#ifdef waits_in_call
    LEAVE(i);
    !(watch[page] & WRITE_DUE);
#else
    atomic { LEAVE(i); RETURNED(i) };
    !(watch[page] & WRITE_DUE);
#endif
#endif
    atomic { ENTER(i); CALL(i) }
#else
    skip
#endif
}

/* Armed, and not being told as well: who tells clears due, and would clear another one's. */
#ifdef taken_over
#define FREE(page) (watch[page] & WRITE)
#else
#define FREE(page) ((watch[page] & (WRITE | WRITE_DUE)) == WRITE)
#endif

/* The entry of a page is asked to grant. `ok`: it does. `mine`: this thread made it due. */
inline ask(page, ok, mine) {
#ifdef taken_twice
    if
    :: FREE(page) -> atomic { watch[page] = (watch[page] & ~WRITE) | WRITE_DUE; mine = true }
#else
    if
    :: atomic { FREE(page) -> watch[page] = (watch[page] & ~WRITE) | WRITE_DUE; mine = true }
#endif
#ifdef second_passes
    :: atomic { !FREE(page) -> closed[page] = false; ok = true }
#else
    :: atomic { !(watch[page] & (WRITE | WRITE_DUE)) -> closed[page] = false; ok = true }
    :: watch[page] & WRITE_DUE
#endif
    fi
}

/* Thread i writes page p; a callback of its writes page q, or the page itself, or calls what holds locks and waits. */
proctype Writer(byte i; byte p; bool calls; bool crosses; bool own) {
    byte q = 1 - p;
    bool ok, mine, there;
    atomic { ENTER(i); CALL(i) };
    do
    :: !closed[p] -> ok = true; break
    :: closed[p] ->
       ask(p, ok, mine);
       if
       :: ok -> break
       :: mine ->
          atomic { LEAVE(i); RETURNED(i); MUST_NOT(twice, armings[p] == 0); armings[p]-- };
#ifdef cleared_first
          watch[p] = watch[p] & ~WRITE_DUE;
#endif
#ifdef counted_late
          there = registered;
          if
          :: there -> running++
          :: !there
          fi;
#else
          running++;
          there = registered;
#endif
          if
          :: there -> /* the callback */
             MUST_NOT(freed, gone);
             if
             :: calls -> /* a harvest or gmap_protect of its own: it waits for sections and for calls */
                ACQUIRE(configuration);
                WAIT_FOR_CALLS;
                GRACE(0);
                RELEASE(configuration)
             :: crosses -> /* a write to the other page, which another callback may be told of */
                if
                :: !(watch[q] & WRITE_DUE)
                :: watch[q] & WRITE_DUE -> /* -EDEADLK */
#ifdef waits_in_callback
                   !(watch[q] & WRITE_DUE)
#endif
                fi
             :: own -> /* and to its own */
#ifdef own_granted
                closed[p] = false
#endif
             :: !calls && !crosses && !own
             fi;
             MUST_NOT(freed, gone);
             running--
#ifdef counted_late
          :: !there
#else
          :: !there -> running--
#endif
          fi;
          armed[p] = false; /* it has been told */
#ifndef cleared_first
          watch[p] = watch[p] & ~WRITE_DUE;
#endif
          mine = false;
          atomic { ENTER(i); CALL(i) };
#ifdef granted_at_once
          closed[p] = false
#endif
       :: else -> wait_or_pass(p)
       fi
    od;
    RETURNED(i);
    MUST_NOT(untold, armed[p]); /* the store */
    LEAVE(i)
}

/* Arms page 0: the bytes, the calls, P, the grace. */
proctype Armer(byte n) {
    do
    :: n ->
       ACQUIRE(configuration);
       atomic { if :: !(watch[0] & WRITE) -> armings[0]++ :: else fi; watch[0] = watch[0] | WRITE };
       WAIT_FOR_CALLS;
       closed[0] = true;
       GRACE(1);
       RELEASE(configuration);
       atomic { if :: watch[0] & WRITE -> armed[0] = true :: else fi };
       n--
    :: else -> break
    od
}

/* gmap_snapshot_restore, which holds the configuration lock while it copies, to page 0: it waits before that, and looks again. */
proctype Restorer(bool works) {
    bool done = !works;
    do
    :: !done ->
#ifdef configuration_held
       ACQUIRE(configuration);
       !(watch[0] & WRITE_DUE);
#else
       !(watch[0] & WRITE_DUE);
       ACQUIRE(configuration);
#endif
       if
       :: watch[0] & WRITE_DUE
       :: !(watch[0] & WRITE_DUE) -> done = true
       fi;
       RELEASE(configuration)
    :: else -> break
    od
}

proctype Unregister(bool works) {
    if
    :: works ->
#ifdef ends_under_lock
       ACQUIRE(configuration);
#endif
       registered = false;
#ifndef not_counted
       running == 0;
#endif
       gone = true;
#ifdef ends_under_lock
       RELEASE(configuration)
#endif
    :: !works
    fi
}

init {
    byte arms, page;
    bool calls, crosses, own, restores, ends;
    atomic {
        if
        :: arms = 2
        :: arms = 1; calls = true
        :: arms = 1; own = true
        :: crosses = true; page = 1
        :: calls = true; restores = true
        :: calls = true; ends = true
        :: ends = true; page = 1
        fi;
        watch[0] = WRITE; armed[0] = true; armings[0] = 1;
        if
        :: page == 1 -> watch[1] = WRITE; armed[1] = true; armings[1] = 1
        :: else
        fi;
        run Writer(0, 0, calls, crosses, own);
        run Writer(1, page, calls, crosses, own);
        run Armer(arms);
        run Restorer(restores);
        run Unregister(ends)
    }
}
