/* MODEL rules 2, 8, 20: a dense segment is frozen, edited by plain stores and thawed */
/* TWIN no_grace (lost): edited without waiting for writers that saw it before */
/* TWIN writer_ignores (lost): a writer does not look at P of the segment entry */
/* TWIN grants_frozen (lost): the library grants a page of a frozen table */
/* TWIN waits_inside (stuck): a writer that meets P waits for the thaw in its section */
/* TWIN thaw_first (lost): thawed before the plain store is done */
#include "common.inc"

byte entry = PROT;
bool frozen; /* P and FROZEN of the segment entry */
byte mem, image, done;

proctype Writer(byte i; byte n) {
    bool asks, granted;
    do
    :: n ->
       ENTER(i);
       do
#ifdef writer_ignores
       :: true -> break
#else
       :: asks = frozen;
          if
#ifdef grants_frozen
          :: asks -> break
#else
          :: asks && !(entry & PROT) -> granted = true; break /* answered at once: its mark is being taken */
          :: asks && (entry & PROT) ->
#ifndef waits_inside
             LEAVE(i);
#endif
             !frozen;
             ENTER(i)
#endif
          :: else -> break
          fi
#endif
       od;
       atomic { if :: !granted && (entry & PROT) -> entry = SD :: else fi };
       granted = false;
       mem++;
       LEAVE(i);
       n--
    :: else -> break
    od;
    done++
}

active proctype Harvester() {
    byte before, n, e, epoch;
    bool last;
    do
    :: n < 2 || done == 2 ->
       atomic { last = (done == 2); before = mem };
       frozen = true;
#ifndef no_grace
       GRACE(0);
#endif
#ifdef thaw_first
       frozen = false;
#endif
       e = entry;   /* a plain load */
       epoch = e & SD;
       entry = PROT; /* and a plain store */
       frozen = false;
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           MUST_NOT(invented, epoch && mem == 0);
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; e = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image != mem)
}

init {
    atomic {
        run Writer(0, 2);
        run Writer(1, 1)
    }
}
