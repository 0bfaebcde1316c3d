/* MODEL rules 10, 12: two harvests of one slot at once, beside a writer and a device that marks the log */
/* TWIN no_harvest_lock (lost): take, pour and move under no lock */
/* TWIN lock_too_short (lost): the lock covers the take, not the pour */
/* TWIN moves_ignored (lost): an epoch is handed out though something was moved into it after the grace began */
/* TWIN grace_if_taken (lost): a harvest that took nothing itself delivers what another poured, and takes no grace */
/* TWIN own_bits_only (lost): a harvest looks at what it took, not at the epoch */
#include "common.inc"

byte entry = PROT;
bool log, epoch, lock;
byte moves;
byte mem, image, done;
byte handed; /* ghost: harvests that were handed the page and have not copied it yet */

proctype Writer(byte n) {
    do
    :: n ->
       ENTER(0);
       atomic { if :: entry & PROT -> entry = SD :: else fi };
       mem++;
       LEAVE(0);
       n--
    :: else -> break
    od;
    done++
}

proctype Device() {
    atomic { mem++; log = true }; /* the order of the two: external.pml */
    done++
}

proctype Harvester(byte h) {
    byte before, n, m, e;
    bool last, any, taken;
    do
    :: n < 1 || done == 2 ->
       atomic { last = (done == 2); before = mem };
#ifndef no_harvest_lock
       ACQUIRE(lock);
#endif
       e = entry;
       if
       :: e & SD ->
#ifndef lock_too_short
          epoch = true;
#endif
          taken = true;
          entry = PROT;
          moves++
       :: else
       fi;
#ifdef lock_too_short
       RELEASE(lock);
       if
       :: taken -> epoch = true
       :: else
       fi;
       ACQUIRE(lock);
#endif
       if
       :: log -> epoch = true; log = false; moves++
       :: else
       fi;
#if defined(grace_if_taken) || defined(own_bits_only)
       any = taken;
#else
       any = epoch;
#endif
       m = moves;
#ifndef no_harvest_lock
       RELEASE(lock);
#endif
       do
       :: any ->
          GRACE(h);
          ACQUIRE(lock);
#ifndef moves_ignored
          if
          :: moves == m -> atomic { if :: epoch -> handed++; epoch = false :: else -> any = false fi }; RELEASE(lock); break
          :: else -> m = moves; RELEASE(lock)
          fi
#else
          atomic { if :: epoch -> handed++; epoch = false :: else -> any = false fi }; RELEASE(lock); break
#endif
       :: else -> break
       od;
#ifdef grace_if_taken
       atomic { if :: !any && epoch -> any = true; handed++; epoch = false :: else fi };
#endif
       atomic {
           if :: any -> image = mem; handed-- :: else fi;
           MUST_NOT(lost, image < before && handed == 0);
           any = 0; taken = 0; before = 0; m = 0; e = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image != mem && handed == 0)
}

init {
    atomic {
        run Writer(2);
        run Device();
        run Harvester(0);
        run Harvester(1)
    }
}
