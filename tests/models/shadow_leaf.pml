/* MODEL rules 1, 11, 16, 28, 34, 35: a leaf of two pages is shadowed as a whole, without LOCK: beside a grant of the whole, a split by hand, a harvest, an arming, an unmap */
/* TWIN one_byte (lost): only the page that is accessed is armed: the leaf is split, and the other page is taken */
/* TWIN looked_up_exactly (lost): what hangs on the other pages of a shadow leaf is not found */
/* TWIN marker_first (lost): the bytes come after the marker */
/* TWIN loaded_first (lost): the leaf is not loaded again after the bytes, where it has a marker already */
/* TWIN marker_left_out (mapped): the bytes alone */
/* TWIN summary_left (lost): P = 0 is believed to have its summary bits */
/* TWIN dropped (mapped): a grant drops a marker for which it saw no byte */
/* TWIN protect_alone (untold): gmap_protect publishes and walks without the family lock, by what the bytes were */
/* TWIN drops_in_section (stuck): a grant takes the family lock, to drop a marker, in its section */
#include "common.inc"

#define MARK 16
#define TABLE 32 /* the segment entry is a table; VALID is not set there */

/* The bytes of the pages. */
#define CHANGE 1
#define DUE 2
#define WRITE 4

byte segment, page[2], watch[2];
bool watched, summary, turn;
bool family, record;
byte shadow;                  /* a leaf of the nested guest: none, for loads, for stores */
bool slot = true;
byte mem[2], image[2], done;
bool log, gone, armed;

#define TAKE(i) if :: watch[i] & CHANGE -> watch[i] = (watch[i] & ~CHANGE) | DUE :: else fi
#define TAKE_LEAF if :: (watch[0] | watch[1]) & CHANGE -> watch[0] = (watch[0] & ~CHANGE) | DUE; watch[1] = (watch[1] & ~CHANGE) | DUE :: else fi
#ifdef looked_up_exactly
#define HANGS watch[0]
#else
#define HANGS (watch[0] | watch[1])
#endif

inline empty_due() {
    if
    :: (watch[0] | watch[1]) & DUE ->
       ACQUIRE(family);
       if
       :: record && (HANGS & DUE) -> atomic { shadow = 0; record = false }
       :: else
       fi;
       atomic { watch[0] = watch[0] & ~DUE; watch[1] = watch[1] & ~DUE; family = false }
    :: else
    fi
}

/* Grants the leaf as a whole (policy never), in a section. `e`: what was seen; `ok`: it grants now. */
inline grant_leaf() {
    atomic { e = segment; ok = false };
    if
    :: (e & (VALID | PROT)) == (VALID | PROT) ->
       none = !(watch[0] | watch[1]);
       if
       :: (watch[0] | watch[1]) & WRITE /* told first: not here */
       :: else ->
#ifdef dropped
          atomic { if :: segment == e -> segment = VALID | SD | (none -> 0 : (e & MARK)); ok = true :: else fi }
#else
#ifdef drops_in_section
          if
          :: none && (e & MARK) ->
             ACQUIRE(family);
             atomic { if :: segment == e -> segment = VALID | SD | ((watch[0] | watch[1]) -> MARK : 0); ok = true :: else fi };
             RELEASE(family)
          :: else -> atomic { if :: segment == e -> segment = VALID | SD | (e & MARK); ok = true :: else fi }
          fi
#else
          atomic { if :: segment == e -> segment = VALID | SD | (e & MARK); ok = true :: else fi }
#endif
#endif
       fi
    :: else -> ok = (e & (VALID | PROT)) == VALID
    fi
}

/* Of a nested guest: an access to page p, a store or a load, and then perhaps one to the other. */
proctype Inner(byte p; byte access; bool both) {
    byte e;
    bool ok, none, refused;
again:
    do
    :: ENTER(0);
       if
       :: shadow >= access -> break
       :: else
       fi;
       LEAVE(0);
       if
       :: access == 2 ->
          atomic { CALL(3); ENTER(3) };
          grant_leaf();
#ifdef summary_left
          if
          :: ok && (e & PROT) -> summary = true
          :: else
          fi;
#else
          if
          :: ok -> summary = true
          :: else
          fi;
#endif
          atomic { LEAVE(3); RETURNED(3) }
       :: else -> ok = true
       fi;
       if
       :: ok ->
          ACQUIRE(family);
          atomic { CALL(3); ENTER(3); ok = slot };
          if
          :: ok ->
             atomic { e = segment; ok = false };
#ifndef marker_first
             watch[p] = watch[p] | CHANGE;
#ifndef one_byte
             watch[1 - p] = watch[1 - p] | CHANGE;
#endif
#endif
#ifdef loaded_first
             atomic { if :: e & MARK -> skip :: else -> e = segment fi };
#else
             e = segment;
#endif
             if
             :: (e & VALID) && (access == 1 || !(e & PROT)) ->
#ifdef marker_left_out
                atomic { ok = (segment == e) };
#else
                if
                :: e & MARK -> ok = true
                :: else -> atomic { if :: segment == e -> segment = e | MARK; ok = true :: else fi }
                fi;
#endif
#ifdef marker_first
                watch[0] = watch[0] | CHANGE;
                watch[1] = watch[1] | CHANGE;
#endif
#ifndef summary_left
                if
                :: ok && access == 2 -> summary = true
                :: else
                fi
#endif
             :: else
             fi;
             if
             :: ok -> atomic { record = true; shadow = access }
             :: else
             fi
          :: else
          fi;
          refused = !slot || !(segment & VALID);
          atomic { LEAVE(3); RETURNED(3) };
          RELEASE(family)
       :: else -> refused = true /* another fault in a moment, perhaps: not here */
       fi;
       atomic { e = 0; ok = false; none = false };
       if
       :: refused -> break
       :: else
       fi
    od;
    if
    :: refused
    :: else -> atomic { MUST_NOT(mapped, gone); if :: access == 2 -> MUST_NOT(untold, armed && p == 1); mem[p]++ :: else fi }
    fi;
    LEAVE(0);
    if
    :: both && !refused -> both = false; p = 1 - p; goto again
    :: else
    fi;
    done++
}

/* The outer guest stores to page 1, or only to what it had granted before. */
proctype Outer(bool stores; bool granted) {
    byte e;
    bool ok, none;
    if
    :: stores || granted ->
       if
       :: granted -> ok = true /* it is inside; its summary bit is missing */
       :: else ->
          atomic { ENTER(1); CALL(1) };
          grant_leaf();
          RETURNED(1)
       fi;
       if
       :: ok -> summary = true; atomic { MUST_NOT(mapped, gone); mem[1]++ }
       :: else
       fi;
       LEAVE(1)
    :: else
    fi;
    done++
}

/* gmap_split; the outer guest writes page 1 of the table afterwards. */
proctype Splitter(bool splits) {
    byte e;
    if
    :: splits ->
       atomic { ENTER(2); CALL(2) };
       do
       :: e = segment;
          if
          :: e & VALID ->
             atomic {
                 if
                 :: segment == e -> page[0] = e; page[1] = e; watched = (e & MARK) != 0; segment = TABLE; e = 0; break
                 :: else
                 fi
             }
          :: else -> break
          fi
       od;
       atomic { LEAVE(2); RETURNED(2) }
    :: else
    fi;
    done++
}

inline take_page(i) {
    atomic { e = page[i]; if :: e & SD -> page[i] = (e & ~SD) | PROT; epoch[i] = true :: else -> e = 0 fi };
    if
    :: e && !(e & PROT) && (watched || (e & MARK)) -> atomic { TAKE(i) }
    :: else
    fi
}

proctype Harvester(byte n) {
    byte e, before[2];
    bool last, epoch[2];
    do
    :: n || done == 4 ->
       atomic { last = (n == 0); before[0] = mem[0]; before[1] = mem[1] };
       ACQUIRE(turn);
       if
       :: summary ->
          e = segment;
          if
          :: (e & VALID) && (e & SD) ->
             atomic { epoch[0] = true; epoch[1] = true };
             summary = false;
             atomic {
                 e = segment;
                 if
                 :: (e & VALID) && (e & SD) -> segment = (e & ~SD) | PROT
                 :: else
                 fi
             };
             if
             :: !(e & VALID) -> summary = true
             :: (e & VALID) && (e & MARK) && !(e & PROT) -> atomic { TAKE_LEAF }
             :: else
             fi
          :: else
          fi;
          if
          :: segment & TABLE ->
             if
             :: last -> summary = false; take_page(0)
             :: !last /* of page 1 only */
             fi;
             take_page(1)
          :: else
          fi;
          e = 0
       :: else
       fi;
       atomic { if :: log -> epoch[0] = true; epoch[1] = true; log = false :: else fi; turn = false };
       if
       :: epoch[0] || epoch[1] -> empty_due(); GRACE(0)
       :: else
       fi;
       atomic {
           if :: epoch[0] -> image[0] = mem[0] :: else fi;
           if :: epoch[1] -> image[1] = mem[1] :: else fi;
           MUST_NOT(lost, (last && image[0] < before[0]) || image[1] < before[1]);
           epoch[0] = false; epoch[1] = false; before[0] = 0; before[1] = 0
       };
       if
       :: last -> break
       :: else -> n--
       fi
    :: else -> done == 4
    od;
    MUST_NOT(lost, image[0] != mem[0] || image[1] != mem[1])
}

/* The slot goes; or page 1 is armed for writes, which splits no leaf. */
proctype Changer(bool ends; bool arms) {
    byte e, old;
    if
    :: ends ->
       slot = false;
       WAIT_FOR_CALLS;
       ACQUIRE(turn);
       atomic { e = segment; log = (e & SD) != 0; segment = 0 };
       if
       :: e & MARK -> atomic { TAKE_LEAF }
       :: else
       fi;
       RELEASE(turn)
    :: arms ->
       ACQUIRE(turn);
#ifndef protect_alone
       ACQUIRE(family);
#endif
       atomic { old = watch[0] | watch[1]; watch[1] = watch[1] | WRITE };
       WAIT_FOR_CALLS;
       atomic { e = segment; segment = e | MARK | PROT };
       if
       :: !(e & PROT) && (old & CHANGE) -> atomic { TAKE_LEAF }
       :: else
       fi;
#ifndef protect_alone
       RELEASE(family);
#endif
       RELEASE(turn)
    :: else
    fi;
    if
    :: ends || arms -> empty_due(); GRACE(1); atomic { gone = ends; armed = arms; e = 0; old = 0 }
    :: else
    fi;
    done++
}

init {
    byte p, access = 2, harvests = 1;
    bool both, outer, granted, splits, ends, arms;
    atomic {
        if
        :: segment = VALID | SD | MARK; summary = true
        :: segment = VALID | SD; summary = true; splits = true; both = true
        :: segment = VALID | SD; granted = true; p = 1; ENTER(1) /* every harvest looks for page 1 */
        :: segment = VALID | PROT | MARK; outer = true; ends = true; access = 1; harvests = 0
        :: segment = VALID | PROT; ends = true; access = 1; harvests = 0
        :: segment = VALID | SD | MARK; summary = true; arms = true; p = 1; harvests = 0
        :: segment = VALID | PROT | MARK; outer = true; arms = true; p = 1; harvests = 0
        fi;
        run Inner(p, access, both);
        run Outer(outer, granted);
        run Splitter(splits);
        run Harvester(harvests);
        run Changer(ends, arms)
    }
}
