/* MODEL rules 4, 7, 10: rights that a translation cache keeps, and the order take, bump, grace */
/* TWIN bump_first (lost): bump, take, grace: a right is cached under the new generation and outlives the take */
/* TWIN grace_first (lost): take, grace, bump */
/* TWIN no_bump (lost): take, grace */
/* TWIN read_again (lost): the cache is filled with the generation read after the grant, not with the entered one */
/* TWIN fault_leaves (lost): the library's fault begins the new section when it returns, after it granted */
#include "common.inc"

/* The writer goes by its cache where that is of the entered generation, else by the entry. A grant may take the library's fault,
 * which ends the section and returns in a new one: the right is from the new one. */
#define TIMES 3
byte entry = PROT;
byte generation = 1;
byte mem, image;
bool over;

active proctype Writer() {
    byte mine, cached, n;
    bool asked;
    do
    :: n < TIMES ->
       ENTER(0);
       mine = generation;
       if
       :: cached == mine
       :: else ->
          if
          :: true -> entry = SD /* inline */
          :: !asked ->
             asked = true;
#ifdef fault_leaves
             LEAVE(0);
             entry = SD;
             ENTER(0);
             mine = generation;
#else
             ENTER(0);
             mine = generation;
             entry = SD;
#endif
          fi;
#ifdef read_again
          cached = generation
#else
          cached = mine
#endif
       fi;
       mem++;
       LEAVE(0);
       n++
    :: else -> break
    od;
    over = true
}

active proctype Harvester() {
    byte before, n;
    bool last, epoch;
    do
    :: n < 2 || over ->
       atomic { last = over; before = mem };
#ifdef bump_first
       if :: entry & SD -> generation++ :: else fi;
#endif
       atomic { if :: entry & SD -> epoch = true; entry = PROT :: else fi };
       if
       :: epoch ->
#if !defined(bump_first) && !defined(grace_first) && !defined(no_bump)
          generation++;
#endif
          GRACE(0);
#ifdef grace_first
          generation++
#endif
       :: else
       fi;
       atomic {
#ifndef fault_leaves /* it reports what is not written yet, too */
           MUST_NOT(invented, epoch && mem == 0);
#endif
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> over
    od;
    MUST_NOT(lost, image != mem)
}
