/* MODEL rules 11, 16, 18, 33: a dirty 2 GB leaf: a writer, which splits it when a harvest has armed it, a split by hand and a writer, an unmap of all */
/* TWIN no_lock (lost): a thread fills the deposit without its lock, when another one has linked it */
/* TWIN unflagged (lost): the children of a dirty leaf are not flagged */
/* TWIN deposit_kept (leaked): who links the deposit leaves it beside, too */
/* TWIN unpoured (lost): the leaf is unmapped without its pages going to the log */
#include "common.inc"

/* Two segments of the 2 GB are looked at, one page of each; each writer has one. Below a segment's leaf a write goes on as below any other
 * (split.pml): here it grants the entry. */
#define LEAF 16
#define TABLE 32
#define NONE 64

byte region = LEAF | SD;
byte segment[2];         /* in the deposit; then in the linked table */
bool flagged[2];
bool deposit = true, busy, lock, unmapped; /* beside the entry; its lock; the harvest lock; ghost: the unmap returned */
byte mem[2], image[2], done;
bool log[2];

inline fill(s) {
    segment[0] = s & (PROT | SD);
    segment[1] = s & (PROT | SD);
#ifndef unflagged
    flagged[0] = s & SD;
    flagged[1] = s & SD
#else
    flagged[0] = false;
    flagged[1] = false
#endif
}

inline split() {
#ifndef no_lock
    ACQUIRE(busy);
#endif
    s = region;
    do
    :: s & LEAF ->
       fill(s);
       atomic {
           if
           :: region == s -> region = TABLE; s = 0
           :: region != s -> s = region /* lost: fill again */
           fi
       };
       if
       :: s == 0 ->
#ifndef deposit_kept
          deposit = false;
#endif
          break
       :: else
       fi
    :: else -> break
    od;
#ifndef no_lock
    RELEASE(busy)
#endif
}

proctype Writer(byte i) {
    byte s;
    bool right;
    ENTER(i);
    do
    :: s = region;
       if
       :: s == (LEAF | SD) && i == 0 -> right = true; break /* a store through P = 0 needs no mark */
       :: s == (LEAF | PROT) || (s & LEAF && i == 1) -> split() /* writer 1 splits whatever it finds */
       :: s == TABLE ->
          atomic { if :: segment[i] != NONE -> segment[i] = SD; right = true :: else fi };
          if
          :: right -> flagged[i] = true
          :: else
          fi;
          break
       :: s == NONE -> break
       fi
    od;
    if
    :: right -> atomic { MUST_NOT(mapped, unmapped); mem[i]++ }
    :: else
    fi;
    LEAVE(i);
    atomic { done++; s = 0; right = 0 }
}

proctype Unmapper() {
    byte s;
    ACQUIRE(lock);
    do
    :: s = region;
       if
       :: s & LEAF ->
#ifndef unpoured
          atomic { log[0] = log[0] || (s & SD); log[1] = log[1] || (s & SD) };
#endif
          atomic { if :: region == s -> region = NONE :: else fi };
          if
          :: region == NONE -> break
          :: else
          fi
       :: else ->
          atomic { log[0] = log[0] || (segment[0] & SD); segment[0] = NONE };
          atomic { log[1] = log[1] || (segment[1] & SD); segment[1] = NONE };
          break
       fi
    od;
    RELEASE(lock);
    GRACE(1);
    atomic { unmapped = true; done++ }
}

inline take(i) {
    if
    :: flagged[i] ->
       flagged[i] = false;
       atomic { if :: segment[i] & SD -> epoch[i] = true; segment[i] = PROT :: else fi }
    :: else
    fi
}

proctype Harvester() {
    byte s, n;
    byte before[2];
    bool epoch[2];
    bool last;
    do
    :: n < 1 || done == 3 ->
       atomic { last = (done == 3); before[0] = mem[0]; before[1] = mem[1] };
       ACQUIRE(lock);
       s = region;
       do
       :: s == (LEAF | SD) ->
          atomic { epoch[0] = true; epoch[1] = true };
          atomic { if :: region == s -> region = LEAF | PROT; s = 0 :: else -> s = region fi }
       :: else -> break
       od;
       if
       :: region == TABLE ->
          take(0);
          take(1)
       :: else
       fi;
       atomic {
           epoch[0] = epoch[0] || log[0];
           epoch[1] = epoch[1] || log[1];
           log[0] = false;
           log[1] = false
       };
       RELEASE(lock);
       if
       :: epoch[0] || epoch[1] -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch[0] -> image[0] = mem[0] :: else fi;
           if :: epoch[1] -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, image[0] < before[0] || image[1] < before[1]);
           epoch[0] = 0; epoch[1] = 0; before[0] = 0; before[1] = 0; s = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1]);
    MUST_NOT(leaked, deposit && region == TABLE)
}

init {
    atomic {
        run Writer(0);
        run Writer(1);
        run Unmapper();
        run Harvester()
    }
}
