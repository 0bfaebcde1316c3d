/* MODEL rules 10, 12, 21: a slot whose truth is the kernel's write-protection: scan and protect in one step, pour, deliver */
/* TWIN scan_then_protect (lost): one call looks, a second one protects what it looked at: a store in between loses its mark */
/* TWIN protect_all (lost): pages that were written are protected and not poured when the scan's room is full */
/* TWIN timeout_drops (lost): what a harvest scanned is forgotten when its grace times out */
/* TWIN write_before_arming (invented): what was written before tracking began is reported */
#include "common.inc"

/* Two pages. The kernel's bit falls at the first store, in the fault that the store takes: one step with it. The library's tables stay
 * leaves and say nothing. A scan takes the pages one by one, as many as its vector holds, and goes on where it stopped. */
bool written[2];
byte mem[2], image[2];
byte done;

proctype Store(byte page; byte n) {
    do
    :: n -> atomic { mem[page]++; written[page] = true }; n--
    :: else -> break
    od;
    done++
}

inline scan(page) {
#ifdef scan_then_protect
    seen = written[page];
    if
    :: seen -> epoch = epoch | (1 << page)
    :: else
    fi;
    written[page] = false;
#else
    atomic {
        if
        :: written[page] ->
#ifdef protect_all
           if :: !room -> skip :: else -> epoch = epoch | (1 << page) fi;
           room = false;
#else
           epoch = epoch | (1 << page);
#endif
           written[page] = false
        :: else
        fi
    }
#endif
}

active proctype Harvester() {
    byte before0, before1, n, epoch, base0, base1;
    bool last, ends;
#if defined(scan_then_protect)
    bool seen;
#endif
#if defined(protect_all)
    bool room;
#endif
    atomic { /* arming forgets what was; its caller copies everything */
#ifndef write_before_arming
        written[0] = false; written[1] = false;
#endif
        image[0] = mem[0]; image[1] = mem[1]; base0 = mem[0]; base1 = mem[1]
    }
    do
    :: n < 2 || done == 2 ->
       atomic { last = (done == 2); before0 = mem[0]; before1 = mem[1] };
#if defined(protect_all)
       room = true;
#endif
       scan(0);
       scan(1);
       if
       :: ends = true
       :: !last -> ends = false /* a reader did not leave: -ETIMEDOUT, the epoch keeps it */
#ifdef timeout_drops
          ; epoch = 0
#endif
       fi;
       atomic {
           if
           :: ends ->
              MUST_NOT(invented, ((epoch & 1) && mem[0] == base0) || ((epoch & 2) && mem[1] == base1));
              if :: epoch & 1 -> image[0] = mem[0] :: else fi;
              if :: epoch & 2 -> image[1] = mem[1] :: else fi;
              MUST_NOT(lost, image[0] < before0 || image[1] < before1);
              epoch = 0
           :: else
           fi;
           before0 = 0; before1 = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

init {
    atomic {
        written[0] = true; mem[0] = 1; /* before tracking */
        run Store(0, 2);
        run Store(1, 2)
    }
}
