/* MODEL rules 3, 7: a store that crosses a page, one page of which the library must grant, while a harvest runs */
/* TWIN first_page_only (lost): the store grants the page of its first byte */
/* TWIN right_from_before (lost): after the library's fault for the second page the grant of the first is taken for good */
/* TWIN second_page_late (lost): the second page is granted after the bytes are stored */
#include "common.inc"

byte entry[2] = PROT;
bool summary[2]; /* pages of two lines */
byte mem[2], image[2];
bool over;

inline grant(p) {
    atomic { if :: entry[p] & PROT -> entry[p] = SD :: else fi };
    atomic { if :: !summary[p] -> summary[p] = true :: else fi }
}

active proctype Writer() {
    byte n;
    do
    :: n < 2 ->
       ENTER(0);
       grant(0);
#if !defined(first_page_only) && !defined(second_page_late)
       if
       :: grant(1)
       :: n == 0 -> /* the library's fault for the second page: a new section, then both again */
          ENTER(0);
          grant(1);
#ifndef right_from_before
          grant(0);
          grant(1)
#endif
       fi;
#endif
       mem[0]++;
       mem[1]++;
#ifdef second_page_late
       LEAVE(0);
       ENTER(0);
       grant(1);
#endif
       LEAVE(0);
       n++
    :: else -> break
    od;
    over = true
}

inline take(p) {
    if
    :: summary[p] ->
       summary[p] = false;
       if
       :: entry[p] & SD -> atomic { epoch = epoch | (1 << p); entry[p] = PROT }
       :: else
       fi
    :: else
    fi
}

active proctype Harvester() {
    byte before0, before1, n, epoch;
    bool last;
    do
    :: n < 2 || over ->
       atomic { last = over; before0 = mem[0]; before1 = mem[1] };
       take(0);
       take(1);
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before0 || image[1] < before1);
           epoch = 0; before0 = 0; before1 = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> over
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}
