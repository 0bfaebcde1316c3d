/* MODEL rules 7, 8, 13: who waits for whom: two vCPUs that fault, a harvest, a change of configuration, a reader that stays */
/* TWIN harvest_inside (stuck): a thread that is inside harvests, and is not told EDEADLK */
/* TWIN fault_inside (stuck): a fault keeps its caller's section while it waits for a host lock */
/* TWIN grace_in_section (stuck): the harvest waits for grace in the section of its own walk */
/* TWIN grace_under_gate (stuck): the harvest waits for grace under the slot's harvest lock, a vCPU in a section waits for that */
/* TWIN grace_under_lock (stuck): the change waits for grace under LOCK, a fault in a section waits for LOCK */
/* TWIN order_reversed (stuck): a harvest takes the configuration lock under the slot's harvest lock */
/* TWIN always_waits (stuck): a harvest that finds nothing waits for a reader that stays */
#define WAITERS 3
#include "common.inc"

/* Only what blocks. Sections: 0 and 1 the vCPUs', 2 the harvest's walk, 3 the reader's. */
bool configuration, gate, segment, hostLock;
byte found; /* whether there is something to harvest; the reader stays only where there is nothing */
byte finished;

proctype Vcpu(byte i) {
    ENTER(i);
    if
    :: true -> /* a fault: the section ends and a new one begins, LOCK is taken and given back in it */
       ENTER(i);
       ACQUIRE(segment);
       RELEASE(segment)
    :: true -> /* GET looks, inside or not: it waits for a harvest lock that is held by nobody who waits */
       ACQUIRE(gate);
       RELEASE(gate)
    :: i == 0 -> /* a device model wants a lock whose holder waits for grace */
#ifndef fault_inside
       LEAVE(i);
#endif
       ACQUIRE(hostLock);
       RELEASE(hostLock);
       ENTER(i)
    :: i == 1 -> /* this thread harvests: not from inside (rule 7: -EDEADLK, and it leaves) */
#ifndef harvest_inside
       LEAVE(i);
#endif
       if
       :: found -> GRACE(1)
       :: else
       fi
    fi;
    LEAVE(i);
    finished++
}

proctype Harvest() {
    ACQUIRE(hostLock); /* the host's own: its holder may wait for grace */
    ACQUIRE(gate);
    ENTER(2);
    ACQUIRE(segment);
    RELEASE(segment);
#ifndef grace_in_section
    LEAVE(2);
#endif
#ifdef order_reversed
    ACQUIRE(configuration);
    RELEASE(configuration);
#endif
#ifndef grace_under_gate
    RELEASE(gate);
#endif
    if
#ifdef always_waits
    :: true -> GRACE(0)
#else
    :: found -> GRACE(0)
#endif
    :: else
    fi;
#ifdef grace_in_section
    LEAVE(2);
#endif
#ifdef grace_under_gate
    RELEASE(gate);
#endif
    RELEASE(hostLock);
    finished++
}

proctype Change() {
    ACQUIRE(configuration);
    ACQUIRE(gate);
    ACQUIRE(segment);
#ifdef grace_under_lock
    RELEASE(gate);
    if
    :: found -> GRACE(2)
    :: else
    fi;
    RELEASE(segment);
#else
    RELEASE(segment);
    RELEASE(gate);
    if
    :: found -> GRACE(2)
    :: else
    fi;
#endif
    RELEASE(configuration);
    finished++
}

init {
    atomic {
        if
        :: found = 1
        :: within = 8 /* a reader that stays inside for ever */
        fi;
        run Vcpu(0);
        run Vcpu(1);
        run Harvest();
        run Change()
    }
    (finished == 4)
}
