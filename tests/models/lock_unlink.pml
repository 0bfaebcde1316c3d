/* MODEL rules 17, 18: a fault installs a page in a table that an unmap empties and unlinks; a harvest takes from it */
/* TWIN install_unlocked (lost): the fault installs without LOCK, when it saw a table */
/* TWIN unlink_unlocked (lost): the unmap empties and unlinks without LOCK */
/* TWIN lock_forgets (stuck): the unmap leaves LOCK in the entry that it unlinks, and somebody waits for it */
#include "common.inc"

#define NONE 16
#define LOCKED 32
byte segment;        /* the table, or none; and LOCK */
byte page;           /* its entry in the table; not VALID: nothing is mapped */
bool reused;
bool summary, log, gate;
byte mem, image, done;

#define TOUCH MUST_NOT(freed, reused)

proctype Fault(byte i; byte n) {
    bool there, right;
    do
    :: n ->
       ENTER(i);
       atomic { there = !(segment & NONE) };
       if
       :: there ->
#ifndef install_unlocked
          do
          :: atomic { !(segment & (NONE | LOCKED)) -> segment = segment | LOCKED; break }
          :: atomic { (segment & NONE) && !(segment & LOCKED) -> there = false; break } /* no table any more: the fault starts over */
          od;
#endif
          if
          :: there ->
             atomic { TOUCH; if :: !(page & VALID) -> page = SD | VALID; right = true :: else fi };
             if
             :: right -> summary = true
             :: else
             fi;
#ifndef install_unlocked
             segment = segment & ~LOCKED;
#endif
             atomic { TOUCH; if :: page & VALID -> page = SD | VALID; right = true :: else -> right = false fi };
             if
             :: right -> summary = true; mem++
             :: else
             fi
          :: else
          fi
       :: else
       fi;
       LEAVE(i);
       atomic { n--; there = 0; right = 0 }
    :: else -> break
    od;
    done++
}

proctype Unmapper() {
    byte e;
    ACQUIRE(gate);
#ifndef unlink_unlocked
    atomic { !(segment & LOCKED) -> segment = segment | LOCKED };
#endif
    do
    :: e = page;
       if
       :: e & SD -> log = true
       :: else
       fi;
       atomic { if :: page == e -> page = 0; break :: else fi }
    od;
#ifdef lock_forgets
    segment = NONE | LOCKED;
#else
    segment = NONE;
#endif
    RELEASE(gate);
    GRACE(1);
    reused = true;
    done++
}

proctype Harvester() {
    byte before, n;
    bool last, epoch;
    do
    :: n < 1 || done == 3 ->
       atomic { last = (done == 3); before = mem };
       ACQUIRE(gate);
       if
       :: summary ->
          if
          :: atomic { !(segment & (NONE | LOCKED)) -> segment = segment | LOCKED };
             summary = false;
             atomic { TOUCH; if :: page & SD -> epoch = true; page = PROT | VALID :: else fi };
             segment = segment & ~LOCKED
          :: segment & NONE
          fi
       :: else
       fi;
       atomic { epoch = epoch || log; log = false };
       RELEASE(gate);
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, image != mem)
}

init {
    atomic {
        run Fault(0, 2);
        run Fault(1, 1);
        run Unmapper();
        run Harvester()
    }
}
