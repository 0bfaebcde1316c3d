/* MODEL rules 10, 12, 17, 19: logging ends with a last take beside a harvest that began before; every store is in one of the two */
/* TWIN no_refresh (freed): the harvest delivers without looking whether the slot still logs, whose logs are given back */
/* TWIN epoch_forgotten (lost): the log is handed out, not what the harvest moved out of it */
/* TWIN collapse_first (lost): the table becomes a dirty leaf before the last take, which drops its marks */
#include "common.inc"

/* One page. The guest is told to stop when logging ends: what it stored before that is in the image or in the last bits. */
byte entry = PROT;
bool summary, log, epoch, gate, locked;
bool logs = true;
bool over; /* log and epoch are given back */
byte mem, image;

proctype Writer(byte i; byte n) {
    do
    :: n ->
       ENTER(i);
       atomic { if :: entry & PROT -> entry = SD :: else fi };
       if
       :: summary
       :: !summary -> summary = true
       fi;
       mem++;
       LEAVE(i);
       n--
    :: else -> break
    od
}

/* The taker's steps, under LOCK: clear the summary bit, look, pour, arm. */
inline take(into) {
    if
    :: summary ->
       ACQUIRE(locked);
       summary = false;
       e = entry;
       if
       :: e & SD ->
          into = true;
          atomic { if :: entry == e -> entry = PROT :: else fi }
       :: else
       fi;
       e = 0;
       RELEASE(locked)
    :: else
    fi
}

proctype Harvester() {
    byte e;
    bool any, has;
    ACQUIRE(gate);
    has = logs;
    if
    :: has ->
       take(epoch);
       if
       :: log -> epoch = true; log = false
       :: else
       fi;
       any = epoch
    :: else
    fi;
    RELEASE(gate);
    if
    :: any ->
       GRACE(0);
       ACQUIRE(gate);
#ifndef no_refresh
       has = logs;
#endif
       if
       :: has && epoch -> atomic { MUST_NOT(freed, over); epoch = false; image = mem }
       :: else /* -ENOENT: it stays in the epoch */
       fi;
       RELEASE(gate)
    :: else
    fi
}

proctype End() {
    byte e, told;
    bool bits;
    told = mem; /* the promise is about what was stored before, and about what its marks say */
    logs = false;
#ifdef collapse_first
    atomic { entry = 0; summary = true };
#endif
    take(log);
    GRACE(1);
    ACQUIRE(gate);
#ifdef epoch_forgotten
    bits = log;
#else
    bits = log || epoch;
#endif
    over = true;
    RELEASE(gate);
    atomic {
        if :: bits -> image = mem :: else fi;
        MUST_NOT(lost, image < told)
    }
}

init {
    atomic {
        run Writer(0, 1);
        run Writer(1, 2);
        run Harvester();
        run End()
    }
}
