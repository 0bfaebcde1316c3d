/* MODEL rules 10, 15: two devices that store and mark, a gmap_write, and the harvest that moves the log, word and block bit */
/* TWIN mark_first (lost): a device marks, then stores */
/* TWIN mark_between (lost): a device marks between its two bytes */
/* TWIN write_unsectioned (lost): gmap_write marks and copies outside a section */
/* TWIN block_first (lost): who marks sets the block's bit, then the word */
/* TWIN forget_late (lost): the mover looks at the words, then clears the block's bit */
/* TWIN word_cleared (lost): the mover clears the word, not the bits that it saw */
/* TWIN grace_left_out (lost): a harvest whose bits come from the log alone takes no grace */
#include "common.inc"

byte word;        /* of the log: a bit for each page */
bool block;       /* "a word of the block may not be zero" */
byte mem[2], image[2];
byte done;
byte marked[2]; /* ghost: what the page held when somebody's store and mark were both complete */

inline mark(page) {
#ifdef block_first
    block = true;
    word = word | (1 << page);
#else
    word = word | (1 << page);
    if
    :: !block -> block = true
    :: block -> skip
    fi;
#endif
}

proctype Device(byte page) {
#ifdef mark_first
    mark(page);
    mem[page]++;
    mem[page]++;
#else
    mem[page]++;
#ifdef mark_between
    mark(page);
    mem[page]++;
#else
    mem[page]++;
    mark(page);
#endif
#endif
    atomic { done++; marked[page] = mem[page] }
}

proctype Write(byte page) {
#ifndef write_unsectioned
    ENTER(0);
#endif
    mark(page);
    mem[page]++;
#ifndef write_unsectioned
    LEAVE(0);
#endif
    atomic { done++; marked[page] = mem[page] }
}

active proctype Harvester() {
    byte before, n, bits, epoch;
    bool last;
    do
    :: n < 2 || done == 3 ->
       atomic { last = (done == 3); before = marked[0] };
       if
       :: block ->
#ifndef forget_late
          block = false;
#endif
          bits = word;
          epoch = epoch | bits;
#ifdef word_cleared
          word = 0;
#else
          word = word & ~bits;
#endif
#ifdef forget_late
          block = false;
#endif
       :: else
       fi;
#ifndef grace_left_out
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
#endif
       atomic {
           if :: epoch & 1 -> image[0] = mem[0] :: else fi;
           if :: epoch & 2 -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before); /* page 0 has one writer */
           epoch = 0; bits = 0; before = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

init {
    atomic {
        run Device(0);
        run Device(1);
        run Write(1)
    }
}
