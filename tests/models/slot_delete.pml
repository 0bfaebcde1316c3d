/* MODEL rules 10, 15, 18, 19: a slot is deleted with a fault and a gmap_write in flight; its last bits are handed out */
/* TWIN no_wait (mapped): publish and walk without waiting for the calls in flight: a fault maps what the walk has left */
/* TWIN no_grace (mapped): the host takes its memory back while a vCPU still stores */
/* TWIN no_bump (mapped): a translation that a cache holds lives on */
/* TWIN handed_early (lost): the log is handed out before the walk has poured into it */
/* TWIN log_freed_early (freed): the log is given back while a gmap_write that knows the slot marks it */
#include "common.inc"

/* One page. What the host does with the memory when gmap_slot_set has returned is its own affair: no store may reach it. */
bool published = true; /* the map has the slot */
byte entry;
bool summary, log, logFreed, returned;
bool call[2];          /* library calls in flight: the fault's and the gmap_write's */
byte generation = 1;
byte mem, done;
byte atEnd;            /* what the host copies when the call returned, if the last bits say so */

proctype Vcpu() {
    byte mine, cached, n = 2;
    bool has, right;
    do
    :: n ->
       ENTER(0);
       mine = generation;
       if
       :: cached == mine -> right = true
       :: else ->
          if
          :: entry & VALID -> skip
          :: !(entry & VALID) ->
             atomic { ENTER(0); call[0] = true; mine = generation };
             has = published;
             if
             :: has -> entry = PROT | VALID
             :: else
             fi;
             call[0] = false
          fi;
          atomic { if :: entry & VALID -> entry = SD | VALID; right = true :: else fi };
          if
          :: right -> summary = true; cached = mine
          :: else
          fi
       fi;
       if
       :: right -> atomic { MUST_NOT(mapped, returned); mem++ }
       :: else
       fi;
       LEAVE(0);
       atomic { n--; right = 0; has = 0; mine = 0 }
    :: else -> break
    od;
    MUST_NOT(mapped, returned && (entry & VALID));
    done++
}

proctype Write() {
    bool has;
    atomic { ENTER(1); call[1] = true };
    has = published;
    if
    :: has ->
       atomic { MUST_NOT(freed, logFreed); log = true };
       atomic { MUST_NOT(mapped, returned); mem++ }
    :: else
    fi;
    atomic { LEAVE(1); call[1] = false };
    done++
}

active proctype Delete() {
    byte e;
    bool bits;
    run Vcpu();
    run Write();
    published = false;
#ifdef handed_early
    bits = log;
#endif
#ifdef log_freed_early
    logFreed = true;
#endif
#ifndef no_wait
    !call[0];
    !call[1];
#endif
    do
    :: e = entry;
#ifndef log_freed_early
       if
       :: e & SD -> log = true
       :: else
       fi;
#endif
       atomic { if :: entry == e -> entry = 0; break :: else fi }
    od;
#ifndef no_bump
    generation++;
#endif
#ifndef no_grace
    GRACE(0);
#endif
#ifndef handed_early
    bits = log;
#endif
    logFreed = true;
    atomic {
        if :: bits -> atEnd = mem :: else fi;
        returned = true
    };
    done == 2;
    MUST_NOT(lost, atEnd != mem)
}
