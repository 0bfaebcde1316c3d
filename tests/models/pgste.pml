/* MODEL rules 16, 18, 19, 20, 32: PGSTEs change under LOCK while an unmap, a collapse or the end of the slot wants the table, and a freeze */
/* TWIN update_unlocked (lost): an update changes the word without LOCK */
/* TWIN unmap_blind (lost): an unmap unlinks the table without a look at its PGSTEs */
/* TWIN collapse_blind (lost): a collapse does */
/* TWIN looks_early (leaked): who unlinks looks at the PGSTEs before it has LOCK */
/* TWIN end_keeps (leaked): the end of a slot leaves its PGSTEs as they are */
/* TWIN zeroes_late (leaked): the end of a slot makes them zero in a hold of its own, after the one in which it may unlink */
/* TWIN pool_dirty (invented): a table is handed out as it came back */
/* TWIN no_wait_for_calls (leaked): the end of a slot does not wait for updates in flight, which read the old slots */
/* TWIN thaw_inside (stuck): an update waits for a thaw inside its section */
#include "common.inc"

/* A segment of one page. Its entry: nothing, a leaf, or the number of a table, LOCK and FROZEN. */
#define NONE 8
#define LEAF 16
#define LOCKED 32
#define FROZEN 64
#define NUMBER 7
#define TABLES 3
#define GARBAGE 128
byte segment = NONE;
bool used[TABLES];
bool page[TABLES];   /* mapped */
byte pgste[TABLES];  /* a bit for each updater */
bool slot = true;
bool turn;           /* the harvest turn: freeze, unmap, collapse */
byte holds;          /* ghost: the PGSTE that the page has */
byte done;

#define TOUCH(t) MUST_NOT(freed, !used[t])
#define HAS_TABLE(s) (((s) & (NONE | LEAF)) == 0)

/* From the pool, zero but for what the leaf in whose place it comes maps; linked if the entry is still the same. */
inline make_table(s) {
    atomic {
        if
        :: !used[0] -> t = 0
        :: used[0] && !used[1] -> t = 1
        :: used[0] && used[1] -> t = 2 /* unreached: two of them are in use only where one waits for its grace */
        fi;
        used[t] = true; page[t] = (s == LEAF);
#ifndef pool_dirty
        pgste[t] = 0
#endif
    };
    atomic {
        if
        :: segment == s -> segment = t
        :: else -> used[t] = false; pgste[t] = GARBAGE /* lost: the spare goes back */
        fi;
        t = 0
    }
}

/* LOCK; ok: t is the table. Not ok: there is none, or it is frozen. */
inline try_lock() {
    if
    :: atomic { HAS_TABLE(segment) && !(segment & (LOCKED | FROZEN)) -> t = segment; segment = segment | LOCKED; ok = true }
    :: atomic { !HAS_TABLE(segment) || (segment & FROZEN) -> ok = false } /* unreached: who has the turn finds a table that is not frozen */
    fi
}

/* gmap_pgste_update: sets the bit of this updater. */
proctype Updater(byte i; byte n) {
    byte s, t, v;
    bool ok;
    do
    :: n ->
again:
       atomic { ENTER(i); CALL(i) };
       if
       :: !slot -> goto out
       :: else
       fi;
       do
       ::
#ifdef update_unlocked
          atomic { ok = HAS_TABLE(segment) && !(segment & FROZEN); t = (ok -> segment & NUMBER : 0) }
#else
          try_lock();
#endif
          if
          :: ok ->
             atomic { TOUCH(t); v = pgste[t] };
             atomic { TOUCH(t); pgste[t] = v | (1 << i); holds = holds | (1 << i) };
#ifndef update_unlocked
             segment = segment & ~LOCKED;
#endif
             break
          :: !ok ->
             s = segment;
             if
             :: s & (NONE | LEAF) -> make_table(s)
             :: s & FROZEN ->
#ifndef thaw_inside
                atomic { LEAVE(i); RETURNED(i) };
                !(segment & FROZEN);
                goto again
#else
                !(segment & FROZEN)
#endif
             :: else
             fi
          fi
       od;
out:   atomic { LEAVE(i); RETURNED(i); n--; s = 0; t = 0; v = 0; ok = 0 }
    :: else -> break
    od;
    done++
}

/* Maps the page: by a leaf where nothing is there, else in the table. */
proctype Fault(byte i) {
    byte t;
    bool ok;
again:
    atomic { ENTER(i); CALL(i) };
    if
    :: slot ->
       do
       :: atomic { segment == NONE -> segment = LEAF; break }
       :: segment == LEAF -> break
       :: HAS_TABLE(segment) ->
          try_lock();
          if
          :: ok -> atomic { TOUCH(t); page[t] = true }; segment = segment & ~LOCKED; break
          :: !ok && (segment & FROZEN) -> atomic { LEAVE(i); RETURNED(i) }; !(segment & FROZEN); goto again
          :: else
          fi
       od
    :: else
    fi;
    atomic { LEAVE(i); RETURNED(i); done++ }
}

inline give_back(t) {
    GRACE(0); /* for who loads an entry without LOCK (split.pml); here everybody holds it */
    atomic { used[t] = false; pgste[t] = GARBAGE }
}

/* Empties the segment; goes: the slot ends. */
inline unmap(goes) {
    do
    :: atomic { segment == LEAF -> segment = NONE; break }
    :: segment == NONE -> break
    :: HAS_TABLE(segment) ->
#ifdef looks_early
       v = pgste[segment & NUMBER];
#endif
       try_lock(); /* not frozen: we have the turn */
       if
#ifndef zeroes_late
#ifndef end_keeps
       :: goes -> atomic { pgste[t] = 0; holds = 0 } /* unreached: goes is a constant */
#endif
#endif
       :: else
       fi;
#ifndef looks_early
       v = pgste[t];
#endif
#ifdef unmap_blind
       v = 0;
#endif
       page[t] = false;
       if
       :: !v -> segment = NONE; give_back(t)
       :: else -> segment = segment & ~LOCKED /* unreached: goes is a constant, and makes it zero */
       fi;
#ifdef zeroes_late
       if
       :: goes && v -> try_lock(); atomic { pgste[t] = 0; holds = 0 }; segment = segment & ~LOCKED
       :: else
       fi;
#endif
       break
    od
}

inline collapse() {
    if
    :: HAS_TABLE(segment) ->
#ifdef looks_early
       v = pgste[segment & NUMBER];
#endif
       try_lock();
#ifndef looks_early
       v = pgste[t];
#endif
#ifdef collapse_blind
       v = 0;
#endif
       if
       :: page[t] && !v -> segment = LEAF; give_back(t)
       :: else -> segment = segment & ~LOCKED
       fi
    :: else
    fi
}

/* Calls under the configuration lock, one after another. */
proctype Host() {
    byte t, v, n;
    bool ok;
    do
    :: n < 2 ->
       if
       :: ACQUIRE(turn); unmap(false); RELEASE(turn)
       :: ACQUIRE(turn); collapse(); RELEASE(turn)
       :: slot = false;
#ifndef no_wait_for_calls
          WAIT_FOR_CALLS;
#endif
          ACQUIRE(turn); unmap(true); RELEASE(turn);
          MUST_NOT(leaked, HAS_TABLE(segment));
#ifdef end_keeps
          holds = 0;
#endif
          slot = true
       fi;
       atomic { n++; t = 0; v = 0; ok = 0 }
    :: else -> break
    od;
    done++
}

proctype Freezer() {
    bool froze;
    ACQUIRE(turn);
    atomic {
        if
        :: HAS_TABLE(segment) && !(segment & LOCKED) -> segment = segment | FROZEN; froze = true
        :: else
        fi
    };
    if
    :: froze -> GRACE(1); segment = segment & ~FROZEN
    :: else
    fi;
    atomic { RELEASE(turn); done++ }
}

proctype Judge() {
    byte now;
    done == 5;
    now = (HAS_TABLE(segment) -> pgste[segment & NUMBER] : 0);
    MUST_NOT(lost, (now & holds) != holds);
    MUST_NOT(invented, now != holds)
}

init {
    atomic {
        run Updater(0, 1);
        run Updater(1, 1);
        run Fault(2);
        run Host();
        run Freezer();
        run Judge()
    }
}
