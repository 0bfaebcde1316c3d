/* MODEL rules 4, 10, 12, 25: a consumer opens and has epochs, one of which it may abort, beside a harvest and a writer with a cache */
/* GOOD open_without_bump: no bump after the join: whoever took has bumped under the lock */
/* TWIN take_nothing (invented): the consumer joins and leaves what is marked in the table */
/* TWIN join_first (invented): it joins before what is marked is taken for the others */
/* TWIN join_late (lost): it joins after its grace */
/* TWIN no_open_grace (lost): open does not wait for the stores whose marks it gave away */
/* TWIN open_take_unbumped (lost): what open takes leaves cached rights alone, and so does open */
/* TWIN own_only (lost): who takes pours for itself */
/* TWIN cleared_first (lost): the source is cleared before the other consumer has the bit */
/* TWIN no_grace_for_others (lost): a begin that took nothing itself takes no grace for what others poured */
/* TWIN abort_drops (lost): an epoch that is aborted is gone */
#include "common.inc"

byte entry = PROT, gen;
bool logB, epochB, logC, epochC; /* B: built in; C: the one that opens */
bool joined, lock;
byte moves;                      /* into epochB: open moves there, too */
byte mem, started, imageB, imageC;
bool done, handed;               /* handed, ghost: B was handed the page and has not copied it yet */

proctype Writer() {
    byte n = 2, seen, right;
    bool has;
    do
    :: n ->
       started++;
       ENTER(0);
       seen = gen;
       if
       :: has && right == seen
       :: else -> atomic { if :: entry & PROT -> entry = SD :: else fi; has = true; right = seen }
       fi;
       mem++;
       LEAVE(0);
       n--
    :: else -> break
    od;
    done = true
}

/* By whoever has the lock, into its epoch. */
inline take(own, others, forOthers) {
    if
    :: entry & SD ->
       own = true;
       taken = true;
#ifdef cleared_first
       entry = PROT;
       RELEASE(lock);
       ACQUIRE(lock);
#endif
#ifndef own_only
       if
       :: forOthers -> others = true
       :: else
       fi;
#endif
       entry = PROT
    :: else
    fi
}

proctype Harvester() {
    byte before, n, m;
    bool last, any, taken;
    do
    :: n < 1 || done ->
       atomic { last = done; before = mem };
       ACQUIRE(lock);
       take(epochB, logC, joined);
       if
       :: taken -> moves++; taken = false
       :: else
       fi;
       if
       :: logB -> epochB = true; logB = false; moves++
       :: else
       fi;
       any = epochB;
       m = moves;
       if
       :: any -> gen++
       :: else
       fi;
       RELEASE(lock);
       do
       :: any ->
          GRACE(0);
          ACQUIRE(lock);
          if
          :: moves == m -> handed = epochB; epochB = false; RELEASE(lock); break
          :: else -> m = moves; gen++; RELEASE(lock)
          fi
       :: else -> break
       od;
       atomic {
           if :: handed -> imageB = mem; handed = false :: else fi;
           MUST_NOT(lost, imageB < before);
           any = false; before = 0; m = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done
    od;
    MUST_NOT(lost, imageB != mem)
}

/* What is marked goes to B's epoch, where a harvest of B finds it and counts the move. */
inline take_for_others() {
    ACQUIRE(lock);
    if
    :: entry & SD ->
       epochB = true;
#ifdef join_first
       logC = true;
#endif
       entry = PROT;
       moves++;
#ifndef open_take_unbumped
       gen++;
#endif
       skip
    :: else
    fi;
    RELEASE(lock)
}

inline join() {
    ACQUIRE(lock);
    joined = true;
    RELEASE(lock)
}

inline open() {
    floor = mem;
#ifdef join_first
    join();
#endif
#ifndef take_nothing
    take_for_others();
#endif
#if !defined(join_first) && !defined(join_late)
    join();
#endif
#if !defined(open_without_bump) && !defined(open_take_unbumped)
    gen++;
#endif
#ifndef no_open_grace
    GRACE(1);
#endif
#ifdef join_late
    join();
#endif
    imageC = mem
}

proctype Consumer() {
    byte before, floor, n;
    bool last, any, taken, aborts;
    open();
    do
    :: n < 1 || done ->
       atomic { last = done; before = mem; if :: !last -> aborts = true :: aborts = false fi };
       ACQUIRE(lock);
       take(epochC, logB, true);
       if
       :: logC -> epochC = true; logC = false
       :: else
       fi;
       any = epochC;
       if
       :: any -> gen++
       :: else
       fi;
       RELEASE(lock);
#ifdef no_grace_for_others
       any = taken;
#endif
       if
       :: any -> GRACE(1)
       :: else
       fi;
       atomic {
           /* No store since what was reported last, or since before open, and none under way. */
           MUST_NOT(invented, epochC && started == floor);
           if
           :: aborts ->
#ifdef abort_drops
              epochC = false;
#endif
              skip
           :: else ->
              if :: epochC -> imageC = mem; epochC = false :: else fi;
              floor = before;
              MUST_NOT(lost, imageC < before)
           fi;
           any = false; taken = false; before = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done
    od;
    MUST_NOT(lost, imageC != mem)
}

init {
    atomic {
        run Writer();
        run Harvester();
        run Consumer()
    }
}
