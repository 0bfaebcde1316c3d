/* MODEL rules 1, 10, 11: two writers of one page, one of whom may die between entry and summary; a harvester */
/* TWIN no_second_summary (lost): a writer that finds P = 0 does not look at the summary */
/* TWIN summary_first (lost): summary bit, then entry */
/* TWIN summary_after_store (lost): entry, store, then the summary bit */
/* TWIN store_first (lost): the store, then entry and summary bit */
/* TWIN summary_seen_early (lost): the summary is read before the entry is granted, as weakly ordered machines would */
/* TWIN take_before_clear (lost): the harvest looks at the entry before it clears the summary bit */
/* TWIN no_grace (lost): the harvest returns without waiting for the writers */
#include "common.inc"

#define ROUNDS 2 /* harvests beside the writers; one more when they are quiet */

byte entry = PROT;
bool summary;
byte mem, image;   /* a bit for each store */
byte stores;       /* ghost: how many there were */
bool dead;
byte running = 2;

inline grant() {
    if /* a compare-and-swap that fails is done again: one step */
    :: atomic { entry & PROT -> entry = SD; first = true }
    :: atomic { !(entry & PROT) -> first = false } /* another writer was first */
    fi
}

inline summarize() {
#ifdef summary_seen_early
    if :: !known -> summary = true :: else fi
#else
#ifdef no_second_summary
    if :: first -> summary = true :: else fi
#else
    known = summary;
    if :: !known -> summary = true :: else fi
#endif
#endif
}

inline store() { atomic { mem = mem | mark; stores++ } }

proctype Writer(byte i; byte times; byte mark; bool mortal) {
    bool first, known;
    do
    :: times > 0 ->
       times--;
       ENTER(i);
#ifdef summary_seen_early
       known = summary;
#endif
#ifdef summary_first
       summarize(); grant(); store();
#else
#ifdef summary_after_store
       grant(); store(); summarize();
#else
#ifdef store_first
       store(); grant(); summarize();
#else
       grant();
       if
       :: mortal -> dead = true; break /* never comes back; somebody closes its view */
       :: true -> summarize(); store()
       fi;
#endif
#endif
#endif
       LEAVE(i);
       mark = mark << 1
    :: else -> break
    od;
    atomic { first = 0; known = 0; LEAVE(i); running-- }
}

proctype Harvester() {
    byte round, before, seen, since, last;
    bool found;
    do
    :: round < ROUNDS || running == 0 ->
       atomic { if :: running == 0 -> round = ROUNDS :: else fi; before = mem; since = stores };
       found = summary;
       if
       :: found ->
#ifdef take_before_clear
          found = ((entry & SD) != 0);
          summary = false;
#else
          summary = false;
          found = ((entry & SD) != 0);
#endif
          if
          :: found ->
             atomic { entry = PROT };
#ifndef no_grace
             GRACE(0);
#endif
             atomic {
#ifndef no_grace /* which also reports what is not written yet */
                 MUST_NOT(invented, stores == last && !dead); /* nothing was written since the last harvest began */
#endif
                 image = mem
             }
          :: else
          fi
       :: else
       fi;
       MUST_NOT(lost, (image & before) != before);
       atomic { last = since; if :: round == ROUNDS -> break :: else -> round++ fi }
    od;
    MUST_NOT(lost, image != mem)
}

init {
    atomic {
        run Writer(0, 1, 1, true);
        run Writer(1, 2, 2, false);
        run Harvester()
    }
}
