/* MODEL rules 18, 19: the limit grows and shrinks: a top table comes above a segment table and goes again while a fault runs */
/* TWIN reuse_early (freed): the old top is used again before the grace */
/* TWIN linked_late (lost): the new top is published, then the segment table is linked below it: a fault makes a second one */
/* TWIN asce_in_parts (freed): origin and type of the top are two words, read one after the other */
#include "common.inc"

/* Tops: 0 the segment table itself, 1 a region table above it. A segment table has one page, in entry e[table]. */
byte asce;             /* 0: segment table 0 is the top; 1: the region table is */
byte child = 9;        /* what the region table points to; 9: nothing */
bool usedRegion;
byte page[2];          /* the page's entry in segment table 0 and in a second one, which nobody should need */
bool summary[2];
byte mem, image, done;
#ifdef asce_in_parts
byte origin;
#endif

proctype Fault(byte i; byte n) {
    byte a, t;
#ifdef asce_in_parts
    byte o;
#endif
    do
    :: n ->
       ENTER(i);
       a = asce;
#ifdef asce_in_parts
       o = origin;
       MUST_NOT(freed, a != o); /* a region table walked as a segment table, or the other way round */
#endif
       if
       :: a == 0 -> t = 0
       :: else ->
          atomic {
              MUST_NOT(freed, !usedRegion);
              if
              :: child == 9 -> child = 1 /* unreached: it is linked before it is published */
              :: else
              fi;
              t = child
          }
       fi;
       atomic { page[t] = SD };
       summary[t] = true;
       mem++;
       LEAVE(i);
       atomic { n--; a = 0; t = 0 }
    :: else -> break
    od;
    done++
}

proctype Limit() {
    byte n;
    do
    :: n < 2 ->
       if
       :: asce == 0 -> /* grow */
          atomic { usedRegion = true; child = 9 };
#ifdef linked_late
          asce = 1;
          if
          :: child == 9 -> child = 0
          :: else
          fi;
#else
          child = 0;
          asce = 1;
#endif
#ifdef asce_in_parts
          origin = 1;
#endif
          GRACE(1)
       :: else -> /* shrink */
          asce = 0;
#ifdef asce_in_parts
          origin = 0;
#endif
#ifndef reuse_early
          GRACE(1);
#endif
          usedRegion = false
       fi;
       n++
    :: else -> break
    od;
    done++
}

proctype Harvester() {
    byte n, a, t, before;
    bool last, epoch;
    do
    :: n < 1 || done == 3 ->
       atomic { last = (done == 3); before = mem };
       ENTER(2);
       a = asce;
       if
       :: a == 0 -> t = 0
       :: else -> atomic { MUST_NOT(freed, !usedRegion); t = child }
       fi;
       if
       :: t != 9 && summary[t] ->
          summary[t] = false;
          atomic { if :: page[t] & SD -> epoch = true; page[t] = PROT :: else fi }
       :: else
       fi;
       LEAVE(2);
       if
       :: epoch -> GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch -> image = mem :: else fi;
           MUST_NOT(lost, image < before);
           epoch = 0; before = 0; a = 0; t = 0; n++
       }
       if
       :: last -> break
       :: else
       fi
    :: else -> done == 3
    od;
    MUST_NOT(lost, image != mem)
}

init {
    atomic {
        run Fault(0, 2);
        run Fault(1, 1);
        run Limit();
        run Harvester()
    }
}
