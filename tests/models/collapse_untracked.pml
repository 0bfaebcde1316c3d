/* MODEL rules 2, 9, 11, 17, 18, 19, 23: the table of a slot that does not track becomes a dirty leaf under its writers; logging starts later */
/* GOOD summary_after: the summary bits are set after the leaf is linked, but under the configuration lock */
/* TWIN summary_never (invented): the leaf's summary bits stay as they are: arming passes it over, and reports it whole later */
/* TWIN reuse_early (freed): the old table is used again before the grace */
/* TWIN timeout_reuse (freed): the old table is used again though the grace timed out */
/* TWIN timeout_clean (lost): arming times out, and counts nothing as dirty: a writer still stores by the old table */
#include "common.inc"

/* A segment of two pages, table 0 at first: one page dirty, one clean. The table of a later split is 1. */
#define LEAF 16
#define LOCKED 32
#define CLEAN (PROT | WR)
#define DIRTY (SD | WR)

byte segment;
byte table0[2], table1[2]; /* page 0, page 1 */
bool reused;               /* table 0 */
byte summary = 1;
bool tracked, gate;
byte log;
byte mem[2], image[2], since[2];
byte ended;
bool returned, unsure;

#define ENTRY(t, p) (p -> table1[t] : table0[t])

proctype Writer(byte i; byte n) { /* writes page i */
    byte s, e;
    do
    :: n ->
       ENTER(i);
       do
       :: s = segment;
          if
          :: (s & LEAF) && !(s & PROT) -> break
          :: (s & LEAF) && (s & PROT) -> /* a fault; split.pml has the steps */
             atomic {
                 ENTER(i);
                 if
                 :: segment == (LEAF | PROT) -> table0[1] = CLEAN; table1[1] = CLEAN; segment = 1
                 :: else
                 fi
             }
          :: !(s & LEAF) ->
             s = s & 1;
             atomic { /* the compare-and-swap, or the look that finds P = 0 */
                 MUST_NOT(freed, s == 0 && reused);
                 if
                 :: i == 0 -> table0[s] = DIRTY
                 :: i == 1 -> table1[s] = DIRTY
                 fi
             };
             break
          fi
       od;
       e = summary & (1 << i);
       if
       :: !e -> summary = summary | (1 << i)
       :: else
       fi;
       mem[i]++;
       LEAVE(i);
       atomic { n--; s = 0; e = 0 }
    :: else -> break
    od;
    ended++
}

proctype Configuration() {
    bool timed;
    atomic { !(segment & LOCKED) -> segment = segment | LOCKED };
#if !defined(summary_never) && !defined(summary_after)
    summary = 3;
#endif
    segment = LEAF | SD;
#ifdef summary_after
    summary = 3;
#endif
#ifndef reuse_early
    waits[0] = within;
    if
    :: waits[0] == 0
    :: timed = true; waits[0] = 0
    fi;
#endif
#ifdef timeout_reuse
    timed = false;
#endif
    if
    :: !timed -> reused = true
    :: else /* it stays in limbo */
    fi;
    timed = false;
    /* logging starts; no call that installs is in flight: arming.pml */
    ACQUIRE(gate);
    atomic { since[0] = mem[0]; since[1] = mem[1]; tracked = true };
#ifdef summary_never
    if
    :: summary == 3 ->
#else
    if
    :: summary ->
#endif
       summary = 0;
       segment = LEAF | PROT
    :: else /* unreached: a dirty leaf has all its bits */
    fi;
    RELEASE(gate);
    waits[0] = within;
    if
    :: waits[0] == 0
    :: timed = true; waits[0] = 0
    fi;
#ifndef timeout_clean
    if
    :: timed -> log = 3
    :: else
    fi;
#endif
    atomic { image[0] = mem[0]; image[1] = mem[1]; unsure = timed; returned = true }
}

inline take_page(p) {
    if
    :: lines & (1 << p) ->
       atomic { /* under LOCK: only a writer may change it, and not a dirty one */
           if
           :: ENTRY(1, p) & SD ->
              epoch = epoch | (1 << p);
              if :: p == 0 -> table0[1] = CLEAN :: p == 1 -> table1[1] = CLEAN fi /* unreached: p is a constant */
           :: else
           fi
       }
    :: else
    fi
}

proctype Harvester() {
    byte lines, epoch, n, before0, before1;
    bool last;
    returned;
    do
    :: n < 1 || ended == 2 ->
       atomic { last = (ended == 2); before0 = mem[0]; before1 = mem[1] };
       ACQUIRE(gate);
       if
       :: summary ->
          if
          :: atomic { segment == (LEAF | SD) -> epoch = 3; summary = 0; segment = LEAF | PROT } /* unreached: it was armed */
          :: segment == (LEAF | PROT)
          :: atomic { segment == 1 -> segment = 1 | LOCKED };
             lines = summary;
             summary = summary & ~lines;
             take_page(0);
             take_page(1);
             segment = 1
          fi
       :: else
       fi;
       atomic { epoch = epoch | log; log = 0 };
       RELEASE(gate);
       if
       :: epoch -> GRACE(1)
       :: else
       fi;
       atomic {
           MUST_NOT(invented, !unsure && (((epoch & 1) && mem[0] == since[0]) || ((epoch & 2) && mem[1] == since[1])));
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before0 || image[1] < before1);
           epoch = 0; lines = 0; before0 = 0; before1 = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> ended == 2
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

init {
    atomic {
        table0[0] = DIRTY; mem[0] = 1; table1[0] = CLEAN;
        run Writer(0, 2);
        run Writer(1, 1);
        run Configuration();
        run Harvester()
    }
}
