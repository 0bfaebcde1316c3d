/* MODEL rules 1, 4, 10, 26: the dense bits of two pages of one summary line; writers with translation caches, harvests */
/* TWIN mark_late (lost): the store, then the dense bit */
/* TWIN summary_first (lost): the summary bit, then the dense bit */
/* TWIN no_summary_second (lost): a writer that finds the dense bit set leaves the summary to the first */
/* TWIN summary_late (lost): a harvest clears the summary bit after it looked at the dense bits */
/* TWIN clears_all (lost): it clears the word, not what it poured */
/* TWIN clears_first (lost): it clears before it pours, and a look in between finds neither */
/* TWIN no_bump (lost): cached rights outlive the take */
/* TWIN read_again (lost): the cache is filled with the generation that is read after the mark */
/* TWIN deliver_early (lost): it delivers before the grace */
#include "common.inc"

byte dense;   /* one bit a page */
byte epoch;   /* likewise */
bool summary; /* one bit: one line */
byte generation = 1;
byte mem[2], image[2], done;

#define BIT (1 << page)

proctype Writer(byte i; byte page; byte n) {
    byte mine, cached;
    bool found;
    do
    :: n ->
       ENTER(i);
       mine = generation;
       if
       :: cached == mine -> mem[page]++
       :: else ->
#ifdef mark_late
          mem[page]++;
#endif
#ifdef summary_first
          summary = true;
#endif
          found = (dense & BIT) != 0;
          if
          :: found
          :: !found -> dense = dense | BIT
          fi;
#ifndef summary_first
#ifdef no_summary_second
          if
          :: found
          :: !found -> summary = true
          fi;
#else
          if
          :: summary
          :: !summary -> summary = true
          fi;
#endif
#endif
#ifdef read_again
          cached = generation;
#else
          cached = mine;
#endif
#ifndef mark_late
          mem[page]++
#endif
       fi;
       LEAVE(i);
       atomic { n--; found = false; mine = 0; if :: n == 0 -> cached = 0 :: else fi }
    :: else -> break
    od;
    done++
}

proctype Harvester() {
    byte before[2], n, e;
    bool last;
    do
    :: n < 2 || done == 2 ->
       atomic { last = (done == 2); before[0] = mem[0]; before[1] = mem[1] };
       if
       :: summary ->
#ifndef summary_late
          summary = false;
#endif
          e = dense;
#ifdef clears_first
          dense = dense & ~e;
          epoch = epoch | e;
#else
          epoch = epoch | e;
#ifdef clears_all
          dense = 0;
#else
          dense = dense & ~e;
#endif
#endif
#ifdef summary_late
          summary = false
#endif
       :: else
       fi;
       if
       :: epoch ->
#ifndef no_bump
          generation++;
#endif
#ifndef deliver_early
          GRACE(0)
#endif
       :: else
       fi;
       atomic {
#ifndef deliver_early /* it reports what is not written yet, too */
           MUST_NOT(invented, (epoch & 1) && mem[0] == 0);
           MUST_NOT(invented, (epoch & 2) && mem[1] == 0);
#endif
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before[0]);
           MUST_NOT(lost, image[1] < before[1]);
           epoch = 0; before[0] = 0; before[1] = 0; e = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

/* A look without the harvest lock: a page that was written and never harvested is marked or in the epoch (rule 10). */
active proctype Look() {
    bool due;
    atomic { due = mem[0] != 0 && image[0] == 0 };
    atomic { MUST_NOT(lost, due && image[0] == 0 && !(dense & 1) && !(epoch & 1)) }
}

init {
    atomic {
        run Writer(0, 0, 2);
        if
        :: run Writer(1, 0, 1)
        :: run Writer(1, 1, 1)
        fi;
        run Harvester()
    }
}
