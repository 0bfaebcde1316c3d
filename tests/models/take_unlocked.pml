/* MODEL rules 1, 11, 17, 18: a harvest takes from a table without LOCK; beside it a fault installs, a writer grants, an ager, an unmap */
/* TWIN unmap_no_harvest_lock (lost): the unmap does not take the harvest lock */
/* TWIN age_stores (lost): the ager, under LOCK, stores what it made of an entry that it loaded before */
#include "common.inc"

#define NONE 16
#define LOCKED 32
#define YOUNG WR
byte segment;        /* the table, or none; and LOCK */
byte page = VALID | YOUNG | PROT; /* its entry in the table; not VALID: asks the library, which installs it or makes it young */
bool reused;
bool summary, log, gate;
byte mem, image, done;

#define TOUCH MUST_NOT(freed, reused)

/* Inline, without LOCK, where the page is valid; else the library's fault, under LOCK. Two stores. */
proctype Writer(byte n) {
    byte e;
    bool there, right;
    do
    :: n ->
       ENTER(0);
       atomic { there = !(segment & NONE) };
       if
       :: there ->
          atomic { TOUCH; e = page };
          if
          :: !(e & VALID) ->
             do
             :: atomic { !(segment & (NONE | LOCKED)) -> segment = segment | LOCKED; break }
             :: atomic { (segment & NONE) -> there = false; break } /* starts over: nothing to store to here */
             od;
             if
             :: there ->
                atomic { TOUCH; e = page };
                atomic { if :: !(e & VALID) && page == e -> page = SD | VALID | YOUNG :: else fi };
                summary = true;
                segment = segment & ~LOCKED
             :: else
             fi
          :: else
          fi;
          if
          :: there ->
             /* the grant, or another's: one compare-and-swap */
             atomic { TOUCH; if :: page & VALID -> page = SD | VALID | YOUNG; right = true :: else fi };
             if
             :: right -> summary = true; mem++
             :: else
             fi
          :: else
          fi
       :: else
       fi;
       LEAVE(0);
       atomic { n--; there = 0; right = 0; e = 0 }
    :: else -> break
    od;
    done++
}

/* Makes the entry invalid, under LOCK. */
proctype Ager() {
    byte e;
    ENTER(1);
    if
    :: atomic { !(segment & (NONE | LOCKED)) -> segment = segment | LOCKED };
       do
       :: atomic { TOUCH; e = page };
#ifdef age_stores
          page = e & ~(VALID | YOUNG); break
#else
          atomic { if :: page == e -> page = e & ~(VALID | YOUNG); break :: else fi }
#endif
       od;
       segment = segment & ~LOCKED
    :: segment & NONE
    fi;
    LEAVE(1);
    done++
}

proctype Unmapper() {
    byte e;
    if
    :: goto stays /* or nothing is ever unmapped */
    :: skip
    fi;
#ifndef unmap_no_harvest_lock
    ACQUIRE(gate);
#endif
    atomic { !(segment & LOCKED) -> segment = segment | LOCKED };
    do
    :: e = page;
       if
       :: e & SD -> log = true
       :: else
       fi;
       atomic { if :: page == e -> page = 0; break :: else fi }
    od;
    segment = NONE;
#ifndef unmap_no_harvest_lock
    RELEASE(gate);
#endif
    GRACE(1);
    reused = true;
stays:
    done++
}

proctype Harvester() {
    byte before, n, e;
    bool last, epoch, flagged;
    do
    :: n < 1 || done == 3 ->
       atomic { last = (done == 3); before = mem };
       ACQUIRE(gate);
       ENTER(2);
       if
       :: summary ->
          if
          :: !(segment & NONE) -> /* loaded; not LOCKed */
             summary = false;
             atomic { TOUCH; e = page };
             if
             :: e & SD ->
                epoch = true;
                do /* a compare-and-swap until it succeeds: only I, young and the right to write change behind our look */
                :: atomic { page == e -> TOUCH; page = (e & ~SD) | PROT; break }
                :: atomic { page != e -> TOUCH; e = page }
                od
             :: else
             fi
          :: segment & NONE
          fi
       :: else
       fi;
       LEAVE(2);
       atomic { epoch = epoch || log; log = false };
       RELEASE(gate);
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; e = 0; n++
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
        run Writer(3);
        run Ager();
        run Unmapper();
        run Harvester()
    }
}
