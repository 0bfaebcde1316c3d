/* MODEL rules 1, 11, 39: a stripe of two segments of one page each, in one slot; two writers of one page, one of the other; harvests that forget the stripe */
/* GOOD unlooked: its bit is cleared without a look before; the look after it is what counts */
/* TWIN second_leaves (lost): who finds the summary bit set leaves the stripe's to whoever set it */
/* TWIN stripe_first (lost): the stripe is flagged before the summary bit is set */
/* TWIN not_again (lost): the words are not looked at again after the stripe's bit was cleared */
/* TWIN two_slots (lost): the segments belong to two slots, harvested each by its own thread, and both forget the stripe */
#include "common.inc"

byte entry[2] = PROT;
bool summary[2]; /* one bit each: one line */
bool stripe;
bool lock[2];    /* the harvest lock of the slot, or of two */
byte mem[2], image[2];
byte done;

inline flag() {
    if
    :: stripe
    :: !stripe -> stripe = true
    fi
}

proctype Writer(byte id; byte page; byte n) {
    do
    :: n ->
       ENTER(id);
       atomic { if :: entry[page] & PROT -> entry[page] = SD :: else fi };
#ifdef stripe_first
       flag();
#endif
       if
       :: summary[page] ->
#ifndef second_leaves
          flag()
#else
          skip
#endif
       :: !summary[page] ->
          summary[page] = true;
#ifndef stripe_first
          flag()
#endif
       fi;
       mem[page]++;
       LEAVE(id);
       n--
    :: else -> break
    od;
    done++
}

inline take(page) {
    if
    :: summary[page] ->
       summary[page] = false;
       e = entry[page];
       if
       :: e & SD -> epoch[page] = true; entry[page] = PROT
       :: else
       fi
    :: else
    fi
}

inline forget() {
#ifndef unlooked
    clear = !summary[0];
    clear = clear && !summary[1];
#else
    clear = true;
#endif
    if
    :: clear ->
       stripe = false;
#ifndef not_again
       if
       :: summary[0] -> COVER(true); stripe = true
       :: else ->
          if
          :: summary[1] -> stripe = true
          :: else
          fi
       fi
#else
       skip
#endif
    :: else
    fi
}

proctype Harvester(byte id; byte first; byte count) {
    byte before[2], n, e;
    bool last, epoch[2], clear;
    do
    :: n < 2 || done == 3 ->
       atomic { last = (done == 3); before[0] = mem[0]; before[1] = mem[1] };
       ACQUIRE(lock[id]);
       if
       :: stripe ->
          if :: first == 0 -> take(0) :: else fi;
          if :: first + count == 2 -> take(1) :: else fi;
          forget()
       :: else
       fi;
       RELEASE(lock[id]);
       if
       :: epoch[0] || epoch[1] ->
          GRACE(id)
       :: else
       fi;
       atomic {
           MUST_NOT(invented, epoch[0] && mem[0] == 0);
           MUST_NOT(invented, epoch[1] && mem[1] == 0);
           if :: epoch[0] -> image[0] = mem[0] :: else fi;
           if :: epoch[1] -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, first == 0 && image[0] < before[0]);
           MUST_NOT(lost, first + count == 2 && image[1] < before[1]);
           epoch[0] = 0; epoch[1] = 0; before[0] = 0; before[1] = 0; e = 0; clear = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, first == 0 && image[0] != mem[0]);
    MUST_NOT(lost, first + count == 2 && image[1] != mem[1])
}

init {
    atomic {
        run Writer(0, 0, 1);
        run Writer(1, 0, 1);
        run Writer(2, 1, 2);
#ifdef two_slots
        run Harvester(0, 0, 1);
        run Harvester(1, 1, 1)
#else
        run Harvester(0, 0, 2)
#endif
    }
}
