/* MODEL rules 16, 18: two threads split one leaf while another grants it, a harvest arms it and an unmap takes it away */
/* TWIN stale_child (lost): a loser links the child that it built from the leaf of before */
/* TWIN overwritten (lost): the child is linked by a plain store where there was a leaf a moment ago */
/* TWIN into_invalid (mapped): a loser links its child where the leaf was unmapped */
/* TWIN spare_kept (leaked): a loser forgets its spare table */
/* TWIN winner_frees (freed): the winner gives its table back as if it were a spare */
/* TWIN inherits_nothing (lost): a child begins clean, whatever its leaf was */
#include "common.inc"

/* One page of the segment is looked at. A leaf is granted as a whole by a fault of before a change of configuration, or under the
 * policy NEVER, and armed by a harvest; a split by hand may meet both. The pool gives thread i table i. */
#define LEAF 16
#define NONE 32

byte segment = LEAF | PROT;
byte page[3];        /* the entry of the page in table 1, 2 */
bool used[3];
bool lock, unmapped; /* harvest lock; ghost: the unmap returned */
byte mem, image, done;
bool log;

#define TOUCH(t) MUST_NOT(freed, !used[t])

/* Splits whatever leaf it finds; then writes by the table, if there is one. */
proctype Splitter(byte i) {
    byte s;
    bool spare, right;
    ENTER(i);
    do
    :: s = segment;
       if
       :: s & LEAF ->
          atomic {
#ifdef stale_child
              if :: !spare -> page[i] = VALID | (s & (PROT | SD)) :: else fi;
#else
#ifdef inherits_nothing
              page[i] = VALID | PROT;
#else
              page[i] = VALID | (s & (PROT | SD));
#endif
#endif
              spare = true;
              used[i] = true
          };
          atomic {
              if
#ifdef overwritten
              :: true -> segment = i; s = i
#else
#ifdef into_invalid
              :: segment & NONE -> segment = i; s = i
#endif
              :: segment == s -> segment = i; s = i
              :: segment != s -> skip /* lost: look again */
#endif
              fi
          };
          if
          :: s == i ->
#ifndef winner_frees
             spare = false;
#endif
             break
          :: else
          fi
       :: else -> break
       fi
    od;
#ifndef spare_kept
    atomic { if :: spare -> used[i] = false; page[i] = 0; spare = false :: else fi };
#endif
    if
    :: !(s & NONE) ->
       atomic { /* entry and summary are one step here; store_order.pml has them */
           TOUCH(s);
           if
           :: page[s] & VALID -> page[s] = SD | VALID; right = true
           :: else
           fi
       };
       if
       :: right -> atomic { MUST_NOT(mapped, unmapped); mem++ }
       :: else
       fi
    :: else
    fi;
    LEAVE(i);
    atomic { done++; s = 0; right = 0 }
}

proctype Granter() {
    bool right;
    ENTER(0);
    atomic { if :: segment == (LEAF | PROT) || segment == (LEAF | SD) -> segment = LEAF | SD; right = true :: else fi };
    if
    :: right -> mem++
    :: else
    fi;
    LEAVE(0);
    done++
}

proctype Unmapper() {
    byte s;
    ACQUIRE(lock);
    do
    :: s = segment;
       if
       :: s & LEAF ->
          log = log || (s & SD);
          atomic { if :: segment == s -> segment = NONE :: else fi };
          if
          :: segment & NONE -> break
          :: else
          fi
       :: else -> /* under LOCK; unmap.pml has the steps */
          atomic { log = log || (page[s] & SD); page[s] = 0 };
          segment = NONE;
          break
       fi
    od;
    RELEASE(lock);
    GRACE(1);
    atomic {
        if :: !(s & LEAF) -> used[s] = false :: else fi;
        unmapped = true;
        done++
    }
}

proctype Harvester() {
    byte s, before, n;
    bool epoch, last;
    do
    :: n < 1 || done == 4 ->
       atomic { last = (done == 4); before = mem };
       ACQUIRE(lock);
       s = segment;
       do
       :: s == (LEAF | SD) ->
          epoch = true;
          atomic { if :: segment == s -> segment = LEAF | PROT; s = NONE :: else -> s = segment fi }
       :: else -> break
       od;
       if
       :: !(s & (LEAF | NONE)) ->
          atomic { TOUCH(s); if :: page[s] & SD -> epoch = true; page[s] = PROT | VALID :: else fi }
       :: else
       fi;
       atomic { epoch = epoch || log; log = false };
       RELEASE(lock);
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; s = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 4
    od;
    MUST_NOT(lost, image != mem);
    MUST_NOT(leaked, used[1] || used[2]) /* the segment is unmapped */
}

init {
    atomic {
        run Splitter(1);
        run Splitter(2);
        run Granter();
        run Unmapper();
        run Harvester()
    }
}
