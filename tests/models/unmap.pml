/* MODEL rules 4, 12, 17, 18: a page is unmapped with its table while two vCPUs write it and a harvest runs */
/* TWIN unlink_first (lost): unlink, grace, then drain what was marked late: a harvest in between does not see it */
/* TWIN no_harvest_lock (lost): poured by the unmap, delivered by a harvest, written again by the old right, removed */
/* TWIN no_pour (lost): the entry is made invalid and its mark forgotten */
/* TWIN pour_once (lost): the entry is read once, and replaced whatever it is by then */
/* TWIN reuse_early (freed): the table is used again before the grace */
/* TWIN no_bump (mapped): cached translations of the page live on */
/* TWIN grace_if_taken (lost): a harvest whose bits all came from the log, where the unmap poured them, takes no grace */
#include "common.inc"

#define NONE 16   /* the segment has no table */
#define LOCKED 32

byte segment, entry = PROT | VALID;
bool summary, log, reused, returned, lock;
byte generation = 1;
byte mem, image, done;

#define TOUCH MUST_NOT(freed, reused)

proctype Writer(byte i; byte n) {
    byte mine, cached;
    bool right;
    do
    :: n ->
       ENTER(i);
       mine = generation;
       if
       :: cached == mine -> right = true
       :: else ->
          if
          :: segment & NONE -> right = false
          :: !(segment & NONE) ->
             atomic {
                 TOUCH;
                 if
                 :: (entry & (PROT | VALID)) == (PROT | VALID) -> entry = SD | VALID; right = true
                 :: (entry & (PROT | VALID)) == VALID -> right = true
                 :: !(entry & VALID) -> right = false
                 fi
             }
          fi;
          if
          :: right ->
             atomic { if :: !summary -> summary = true :: else fi };
             cached = mine
          :: else
          fi
       fi;
       if
       :: right -> atomic { MUST_NOT(mapped, returned); mem++ }
       :: else
       fi;
       LEAVE(i);
       atomic { n--; right = false; mine = 0; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od;
    done++
}

proctype Unmapper() {
    byte e;
#ifndef no_harvest_lock
    ACQUIRE(lock);
#endif
    atomic { !(segment & LOCKED) -> segment = segment | LOCKED };
#ifdef unlink_first
    segment = NONE;
    RELEASE(lock);
    generation++;
    GRACE(1);
    if
    :: entry & SD -> log = true
    :: else
    fi;
    entry = 0;
#else
    do
    :: e = entry;
#ifndef no_pour
       if
       :: e & SD -> log = true
       :: else
       fi;
#endif
#ifdef pour_once
       entry = 0;
       break
#else
       if
       :: atomic { entry == e -> entry = 0; break }
       :: entry != e -> skip
       fi
#endif
    od;
    e = 0;
    segment = NONE; /* with it goes LOCK */
#ifndef no_harvest_lock
    RELEASE(lock);
#endif
#ifndef no_bump
    generation++;
#endif
#ifndef reuse_early
    GRACE(1);
#endif
#endif
    reused = true;
    returned = true
}

proctype Harvester() {
    byte before, n;
    bool last, taken, epoch;
    do
    :: n < 1 || done == 3 ->
       atomic { last = (done == 3); before = mem };
       ACQUIRE(lock);
       if
       :: summary ->
          if
          :: atomic { !(segment & (NONE | LOCKED)) -> segment = segment | LOCKED };
             if
             :: summary ->
                summary = false;
                if
                :: entry & SD -> /* nobody else changes it now: an inline writer does not, an unmap waits for LOCK */
                   epoch = true;
                   atomic { taken = true; entry = PROT | VALID }
                :: else
                fi
             fi;
             segment = segment & ~LOCKED
          :: segment & NONE
          fi
       :: else
       fi;
       atomic { if :: log -> epoch = true :: else fi };
       log = false;
       if
       :: epoch -> generation++
       :: else
       fi;
       RELEASE(lock);
#ifdef grace_if_taken
       if
       :: taken ->
#else
       if
       :: epoch ->
#endif
          GRACE(0)
       :: else
       fi;
       atomic {
#ifndef grace_if_taken /* it reports what is not written yet, too */
           MUST_NOT(invented, epoch && mem == 0);
#endif
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; taken = 0; before = 0; n++
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
        run Writer(0, 2);
        run Writer(1, 1);
        run Harvester()
    }
    run Unmapper();
    (returned);
    done++
}
