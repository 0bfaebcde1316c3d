/* MODEL rules 1, 11: two pages of one line belong to two slots; each slot is harvested by its own thread, under its own lock */
/* TWIN line_cleared (lost): a harvest clears the summary bit of a line that is only partly its own */
/* TWIN bit_set_back (lost): it clears it, looks, and sets it back when the other page is dirty */
/* TWIN by_line (invented): it reports its page because the line's bit is set */
#include "common.inc"

byte entry[2] = PROT;
bool summary;      /* one bit: one line */
bool lock;         /* LOCK of the segment */
byte mem[2], image[2];
byte done;

proctype Writer(byte page; byte n) {
    do
    :: n ->
       ENTER(page);
       atomic { if :: entry[page] & PROT -> entry[page] = SD :: else fi };
       if
       :: summary
       :: !summary -> summary = true
       fi;
       mem[page]++;
       LEAVE(page);
       n--
    :: else -> break
    od;
    done++
}

proctype Harvester(byte page) {
    byte before, n, e;
    bool last, epoch;
    do
    :: n < 1 || done == 2 ->
       atomic { last = (done == 2); before = mem[page] };
       if
       :: summary ->
          ACQUIRE(lock);
#if defined(line_cleared) || defined(bit_set_back)
          summary = false; /* else the bit stays: the line is only partly in range */
#endif
          e = entry[page];
          if
          :: e & SD -> epoch = true; entry[page] = PROT
          :: else
          fi;
#ifdef by_line
          epoch = true;
#endif
#ifdef bit_set_back
          if
          :: entry[1 - page] & SD -> summary = true
          :: else
          fi;
#endif
          RELEASE(lock)
       :: else
       fi;
       if
       :: epoch ->
          GRACE(page) /* the other writer has no right to this page */
       :: else
       fi;
       atomic {
           MUST_NOT(invented, epoch && mem[page] == 0);
           if :: epoch -> image[page] = mem[page] :: else fi;
           MUST_NOT(lost, image[page] < before);
           epoch = 0; before = 0; e = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image[page] != mem[page])
}

init {
    atomic {
        run Writer(0, 2);
        run Writer(1, 1);
        run Harvester(0);
        run Harvester(1)
    }
}
