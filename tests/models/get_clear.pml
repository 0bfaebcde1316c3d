/* MODEL rules 10, 12, 14: GET, CLEAR and NO_REARM on a leaf of two pages, beside two writers and another thread's harvest */
/* TWIN get_takes (lost): GET takes the marks and tells its caller only */
/* TWIN clear_all (lost): CLEAR drops what is dirty, not what its caller names */
/* TWIN rest_forgotten (lost): CLEAR drops what the leaf that it takes holds beside the named page */
/* TWIN clear_no_grace (lost): CLEAR returns without a grace */
/* TWIN copy_first (lost): the host copies what GET said, then clears it */
/* TWIN norearm_unmarks (lost): NO_REARM takes the mark and leaves the right */
#include "common.inc"

byte leaf = PROT;    /* a slot that is never split: a fault grants the leaf */
byte log, epoch;     /* a bit for each page */
bool lock;
byte moves;
byte mem[2], image[2];
byte done;
byte handed;         /* ghost: pages that somebody was handed and has not copied yet */

proctype Writer(byte page; byte n) {
    do
    :: n ->
       ENTER(page);
       atomic { if :: leaf & PROT -> leaf = SD :: else fi };
       mem[page]++;
       LEAVE(page);
       n--
    :: else -> break
    od;
    done++
}

inline copy(pages) {
    atomic {
        if :: pages & 1 -> image[0] = mem[0] :: else fi;
        if :: pages & 2 -> image[1] = mem[1] :: else fi;
        handed = handed & ~(pages)
    }
}

inline get() {
    ACQUIRE(lock);
#ifdef get_takes
    if
    :: leaf & SD -> bits = 3 | log | epoch; leaf = PROT
    :: else -> bits = log | epoch
    fi;
#else
    if
    :: leaf & SD -> log = 3
    :: else
    fi;
    bits = log | epoch;
#endif
    RELEASE(lock)
}

inline await_and_drop(pages) {
    do
    :: GRACE(w);
       ACQUIRE(lock);
       if
       :: moves == m -> break
       :: else -> m = moves; RELEASE(lock)
       fi
    od;
    atomic { handed = handed | (epoch & bits); pages = epoch & pages; epoch = epoch & ~pages };
    RELEASE(lock)
}

inline clear() {
    ACQUIRE(lock);
    if
    :: bits && (leaf & SD) ->
#ifdef rest_forgotten
       log = log | bits;
#else
       log = 3;
#endif
       leaf = PROT
    :: else
    fi;
#ifdef clear_all
    atomic { epoch = epoch | log; log = 0; moves++; m = moves };
#else
    atomic { if :: log & bits -> epoch = epoch | (log & bits); log = log & ~bits; moves++ :: else fi; m = moves };
#endif
    any = ((epoch & bits) != 0);
    RELEASE(lock);
#ifdef clear_no_grace
    atomic { handed = handed | (epoch & bits); epoch = epoch & ~bits };
#else
    if
    :: any ->
#ifdef clear_all
       mask = 3;
#else
       mask = bits;
#endif
       await_and_drop(mask)
    :: else
    fi;
#endif
    mask = 0
}

inline harvest(rearm) {
    ACQUIRE(lock);
    if
    :: leaf & SD ->
       atomic { epoch = 3; moves++ };
       if
       :: rearm -> leaf = PROT /* unreached: rearm is a constant */
       :: !rearm -> skip
#ifdef norearm_unmarks
          ; leaf = 0
#endif
       fi
    :: else
    fi;
    atomic { if :: log -> epoch = epoch | log; log = 0; moves++ :: else fi; m = moves };
    any = (epoch != 0);
    RELEASE(lock);
    bits = 0;
    if
    :: any -> bits = 3; await_and_drop(bits)
    :: else
    fi;
    copy(bits)
}

inline begin() {
    atomic { last = (done == 2); before0 = mem[0]; before1 = mem[1] }
}

inline check() {
    atomic {
        MUST_NOT(lost, image[0] < before0 && !(handed & 1));
        MUST_NOT(lost, image[1] < before1 && !(handed & 2));
        before0 = 0; before1 = 0; bits = 0; any = 0; m = 0
    }
}

proctype Host() { /* copies by GET and CLEAR, or by a harvest that leaves the guest its rights */
    byte w = 0, before0, before1, m, bits, mask, n;
    bool last, any, clears;
    do
    :: n < 1 || done == 2 ->
       begin();
       if
       :: clears = true
       :: clears = false
       fi;
       if
       :: clears ->
          get();
          if /* the host may name a part of it */
          :: !last -> bits = bits & 1; before1 = 0
          :: true
          fi;
#ifdef copy_first
          copy(bits);
          clear();
          handed = handed & ~bits;
#else
          clear();
          copy(bits);
#endif
       :: else -> harvest(false)
       fi;
       clears = false;
       check();
       n++;
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 2
    od;
    MUST_NOT(lost, (image[0] != mem[0] && !(handed & 1)) || (image[1] != mem[1] && !(handed & 2)))
}

proctype Harvester() {
    byte w = 1, before0, before1, m, bits;
    bool last, any;
    begin();
    harvest(true);
    check()
}

init {
    atomic {
        run Writer(0, 2);
        run Writer(1, 1);
        run Host();
        run Harvester()
    }
}
