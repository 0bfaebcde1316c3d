/* SPDX-License-Identifier: MIT
 *
 * gmap.h - GmapNative: guest memory for virtual machine monitors, emulators, fuzzers and record/replay tools.
 *
 * The engine lays out real z/Architecture translation tables in pinned memory, keeps guest memory mapped by 1 MB
 * segments, splits a segment only when a page in it is really written, and tells exactly which 4 KB pages changed.
 *
 * This header is the manual. It is C99, clean as C11 and C++17, and stands alone. The fast path (translate an access
 * and mark its page dirty without a call) is in gmap_inline.h.
 *
 * CONVENTIONS
 *   Status     gmap_status: 0 is done; negative is -errno (Linux's numbers, GMAP_E*); positive is a guest
 *              program-interruption code (GMAP_PIC_*), returned only by functions marked [PIC]. Counts come back
 *              through pointers, never as the result. An error changes nothing unless the function says otherwise.
 *   Handles    uint64_t. A null, stale, foreign or wrong-kind handle is GMAP_EBADF, never a crash.
 *   Structs    Input structs begin with struct_size (the caller's sizeof) and flags. Shorter than the library's: the
 *              rest counts as zero; under 8 bytes: GMAP_EINVAL. Longer with a non-zero tail, or over 4096 bytes:
 *              GMAP_E2BIG. Unknown flag or non-zero reserved field: GMAP_EINVAL. Output structs: set struct_size; the
 *              library fills the smaller of both and zeroes what it does not know; under 8 or over 4096 bytes:
 *              GMAP_EINVAL.
 *   Addresses  Guest addresses and sizes are bytes. A page is 4 KB, a segment 1 MB. Bit i of a bitmap is page i of
 *              the slot (or of the range, where said so), in 64-bit words, least significant bit first; buffers are
 *              whole words.
 *   Pointers   A pointer argument is required unless its text says "may be NULL"; NULL is GMAP_EINVAL. One that
 *              points to no memory is GMAP_EIO or the end of the process: SIGSEGV, or SIGABRT after words on stderr. So
 *              is memory of the library that the host overwrote. The addresses in the words are offsets in its
 *              file: addr2line -fe libgmapnative.so.dbg OFFSET names the lines.
 *
 * PROCESS CONTRACT
 *   Start      The first call starts a small managed runtime (about 2 ms; one more thread, named ".NET Finalizer").
 *              It installs handlers for SIGSEGV, SIGFPE and SIGRTMIN and ignores SIGPIPE, whatever was there before.
 *              Call gmap_runtime_init() first and install yours after it; a SIGSEGV handler of yours must chain to the
 *              previous one for faults that are not its own. (One that was there before is called by the runtime's for
 *              faults that are not the runtime's, on the signal stack if it asked for it.) The runtime reserves 201 MiB
 *              of address space, and for a moment of its start up to 64 MiB more (the C library's arena for the new
 *              thread, before it is trimmed): leave 272 MiB (stacks of 8 MiB). Where RLIMIT_AS leaves less, the first
 *              call may end the process by SIGABRT.
 *   Signals    may arrive at any time, with or without SA_RESTART: no call ends or fails because of one. A handler may
 *              not call this library while its thread is in a call of it, nor jump out of that call. It may jump out of
 *              a section: the next gmap_enter or gmap_fault ends that one. A thread may block all of them: the runtime,
 *              which stops threads by SIGRTMIN where it collects garbage, waits until a call of that thread ends then.
 *   dlclose    is harmless and does nothing (the library is linked -z nodelete).
 *   fork       The tables do not follow (MADV_DONTFORK): a child that touches one gets SIGSEGV. In a forked child call
 *              nothing of this library: exec, or exit. The parent notices nothing, its backings included. vfork and
 *              posix_spawn are no fork in this sense.
 *   Threads    One thread, one view (gmap_vcpu_open). Every function may be called from any thread, at the same time
 *              as any other, unless its text says otherwise. A thread's first call costs about 3 us more. A thread may
 *              end, by pthread_exit or cancellation too, anywhere but in a call of this library (cancellation must be
 *              disabled there). If it was inside, that view holds up what waits until somebody closes its vcpu.
 *   Waiting    Functions marked [WAITS] wait until every thread inside gmap_enter/gmap_leave has left, entered anew or
 *              polled (gmap_again), or for a call that waits for them. Called by a thread that is inside with a view
 *              of its own, of whichever space, or from the kick callback, they return GMAP_EDEADLK before anything
 *              is changed.
 *              GMAP_EPERM: membarrier was there when the library started and is refused now (a filter that came
 *              later); to be taken as GMAP_ETIMEDOUT, for ever.
 *   Calls      System calls, for a seccomp filter; x86-64, glibc 2.36. tests/native/sandboxed.c lives by these lists.
 *              Start (until gmap_runtime_init returns): those of a thread and anywhere, and rt_sigaction, openat,
 *              newfstatat, read, close, getdents64, statfs, get_mempolicy, prctl, clone3, set_robust_list, rseq, and
 *              getrandom if the process has not called malloc before.
 *              A thread's first call: gettid, sched_getaffinity, rt_sigprocmask, mmap, mprotect, madvise, futex; the
 *              main thread's, if it did not start the library, also prlimit64, openat, newfstatat, read and close.
 *              Anywhere: futex, sched_yield, clock_nanosleep, mmap, munmap, mprotect, madvise, mlock, brk, membarrier.
 *              A thread that only faults, marks, reads and writes needs of these futex, sched_yield, mprotect and mlock;
 *              and rt_sigreturn, getpid and gettid when it is stopped for what follows.
 *              From time to time, at calls that create, open, configure or end something, the runtime collects garbage:
 *              membarrier, tgkill and rt_sigreturn (to stop the other threads), getpid, gettid, prlimit64, sysinfo;
 *              and it reads /proc/meminfo or the control group's memory file: openat, newfstatat, read, close. These
 *              four may be made to fail with an errno; it goes on without.
 *              gmap_backing_* and the first gmap_features: userfaultfd, ioctl, openat, close, msync; of the synchronous kind
 *              also eventfd2, ppoll, read, write; and where pages are missing, of these eventfd2, ppoll, read, write, close.
 *   Output     Nothing is printed. No environment variable of the engine's exists.
 *   Windows    No signals and no fork. The runtime adds a vectored exception handler, which leaves alone what is not its own;
 *              FreeLibrary does nothing (the runtime pins the DLL). "Calls" and the backings are Linux's.
 *   Two .NET   A process that already runs .NET can load the library from .NET 10 on; the runtimes share SIGRTMIN.
 */
#ifndef GMAP_H
#define GMAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define GMAP_API __declspec(dllimport)
#else
#define GMAP_API __attribute__((visibility("default")))
#endif

/* The version of this header: major << 16 | minor. A library with the same major and an equal or higher minor serves
 * it. */
#define GMAP_ABI_VERSION 0x00010000u

typedef int32_t gmap_status;

/* Negative results: Linux errno values on every platform. */
#define GMAP_EPERM (-1)
#define GMAP_ENOENT (-2)
#define GMAP_EIO (-5)
#define GMAP_E2BIG (-7)
#define GMAP_EBADF (-9)
#define GMAP_EAGAIN (-11)
#define GMAP_ENOMEM (-12)
#define GMAP_EFAULT (-14)
#define GMAP_EBUSY (-16)
#define GMAP_EEXIST (-17)
#define GMAP_EINVAL (-22)
#define GMAP_EDEADLK (-35)
#define GMAP_EOPNOTSUPP (-95)
#define GMAP_ENOBUFS (-105)
#define GMAP_ETIMEDOUT (-110)

/* Positive results: program-interruption codes (z/Architecture Principles of Operation, chapter 6). */
#define GMAP_PIC_PROTECTION 0x04
#define GMAP_PIC_ADDRESSING 0x05
#define GMAP_PIC_SEGMENT_TRANSLATION 0x10
#define GMAP_PIC_PAGE_TRANSLATION 0x11
#define GMAP_PIC_TRANSLATION_SPECIFICATION 0x12
#define GMAP_PIC_ASCE_TYPE 0x38
#define GMAP_PIC_REGION_FIRST 0x39
#define GMAP_PIC_REGION_SECOND 0x3A
#define GMAP_PIC_REGION_THIRD 0x3B

#define GMAP_PAGE_SIZE 4096u
#define GMAP_SEGMENT_SIZE 0x100000u

/* ---- Library --------------------------------------------------------------------------------------------------- */

/* The library's ABI version, major << 16 | minor. Compare the major with GMAP_ABI_VERSION's. */
GMAP_API uint32_t gmap_abi_version(void);

/* "0.1.0": static, UTF-8. */
GMAP_API const char *gmap_version_string(void);

/* What a status or program-interruption code means: static, UTF-8, never NULL. */
GMAP_API const char *gmap_strerror(int32_t status);

#define GMAP_FEATURE_ISA_V3 0x1ull              /* compiled for x86-64-v3 (AVX2, BMI) */
#define GMAP_FEATURE_ISA_V4 0x2ull              /* compiled for x86-64-v4 (AVX-512) */
#define GMAP_FEATURE_TRACE 0x4ull               /* the tracing flavour */
#define GMAP_FEATURE_USERFAULTFD_ASYNC 0x8ull   /* this kernel has asynchronous write-protect and PAGEMAP_SCAN */
#define GMAP_FEATURE_MEMBARRIER 0x10ull         /* enter and leave are plain stores */
#define GMAP_FEATURE_USERFAULTFD_SYNC 0x20ull   /* this kernel can stop stores until they are told: GMAP_BACKING_USERFAULTFD_SYNC */

/* Bit set of GMAP_FEATURE_*. */
GMAP_API uint64_t gmap_features(void);

/* Starts the runtime now, so that its signal handlers go in before yours. Idempotent; returns 0. */
GMAP_API gmap_status gmap_runtime_init(void);

/* ---- Engine: the pinned arena that all spaces of a host share -------------------------------------------------- */

/* Refuse to create the engine, or to grow its arena, when the memory cannot be locked. Without it pinning is best
 * effort and bytes_locked of the statistics tells how far it went. */
#define GMAP_ENGINE_REQUIRE_MLOCK 0x1u
/* Commit the arena in steps of 2 MiB, so that its transparent huge pages are there from the start. */
#define GMAP_ENGINE_HUGE_ARENA 0x2u

#define GMAP_LOG_ERROR 1
#define GMAP_LOG_WARNING 2
#define GMAP_LOG_INFO 3

typedef struct gmap_engine_config {
  uint32_t struct_size;
  uint32_t flags;            /* GMAP_ENGINE_* */
  uint64_t arena_bytes;      /* limit of table, log and view memory: reserved, committed as needed; 256 KiB to 1 TiB,
                                rounded up to 64 KiB; 0 stands for 1 GiB */
  uint64_t grace_timeout_ns; /* how long a [WAITS] call waits for readers before GMAP_ETIMEDOUT; 0: for ever */
  /* Told what went wrong and the way out. On the thread of the call, no lock held: it may call anything, and destroy
   * what the call was about. Memory that could not be locked is told once an engine, by gmap_engine_create,
   * gmap_space_create or gmap_slot_set: faults call nobody. Must return. May be NULL. */
  void (*log)(void *user, int32_t level, const char *message);
  /* A [WAITS] call has waited 1 ms for this vcpu to leave: make its thread leave or enter anew (by a signal, say).
   * Called again each 10 ms; a lock of the space may be held; it may call nothing of this library ([WAITS] functions
   * return GMAP_EDEADLK), and must return, not jump. While it runs, faults, stores and marks go on; the call that waits
   * looks at its timeout when it has returned. The vcpu may be closed meanwhile, by its thread or, if that has ended,
   * by another: its handle is GMAP_EBADF then. Never called with a timeout under 1 ms. May be NULL. */
  void (*kick)(void *user, uint64_t vcpu);
  void *user;                /* handed to both callbacks */
  int32_t log_level;         /* the highest GMAP_LOG_* that is reported; 0 stands for GMAP_LOG_WARNING */
  uint32_t reserved;
} gmap_engine_config;

/* Creates an engine. config may be NULL (all defaults).
 * GMAP_ENOMEM: no address space or no memory. GMAP_EPERM: REQUIRE_MLOCK and the memory cannot be locked
 * (RLIMIT_MEMLOCK; on Windows the process's minimal working set). */
GMAP_API gmap_status gmap_engine_create(const gmap_engine_config *config, uint64_t *engine);

/* Destroys an engine and returns its memory, the views of its vcpus included. GMAP_EBUSY while spaces live. */
GMAP_API gmap_status gmap_engine_destroy(uint64_t engine);

typedef struct gmap_engine_stats {
  uint32_t struct_size;
  uint32_t flags;                  /* 0 */
  uint64_t reserved_bytes;         /* address space, guard pages not included */
  uint64_t limit_bytes;            /* arena_bytes */
  uint64_t committed_bytes;        /* backed by memory, logs included: the sum of those below but limbo_bytes, spaces */
  uint64_t locked_bytes;           /* equal to committed_bytes where everything could be pinned */
  uint64_t region_table_bytes;     /* 16 KB each; region-third tables of spaces with GMAP_HUGE_2G 32 KB */
  uint64_t segment_table_bytes;    /* 16 KB each and 8 KB of summary words, in blocks of 32 KB */
  uint64_t page_table_bytes;       /* 2 KB each, those with PGSTEs 4 KB */
  uint64_t limbo_bytes;            /* unlinked tables that wait for grace; contained in the bytes of their kinds */
  uint64_t log_bytes;              /* dirty logs of slots, and what backings remember */
  uint64_t view_bytes;             /* views, closed ones included, and control words */
  uint64_t free_bytes;             /* committed and unused */
  uint64_t spaces;                 /* spaces that live, shadows and kept ones of them included, a number */
  uint64_t dense_bytes;            /* of spaces that track by generation: 128 KB a segment table */
  uint64_t watch_bytes;            /* what gmap_protect knows of pages: 4 KB for 8 MB, and 4 KB for 2 GB; where 2 GB
                                    * are or may be one leaf, 1,028 KB for them */
} gmap_engine_stats;

/* Fills stats. The figures are read one by one, while other threads go on. */
GMAP_API gmap_status gmap_engine_get_stats(uint64_t engine, gmap_engine_stats *stats);

/* ---- Space: one guest address space ---------------------------------------------------------------------------- */

#define GMAP_TABLE_2K 0u       /* page tables of 256 entries */
#define GMAP_TABLE_4K_PGSTE 1u /* and 2 KB behind each entry the page's PGSTE: tables of 4 KB; see gmap_pgste_get */

#define GMAP_SPLIT_LAZY 0u  /* the first write after arming splits one segment; dirty per 4 KB (the default) */
#define GMAP_SPLIT_NEVER 1u /* leaves stay; a write to an armed leaf makes all its pages dirty */
#define GMAP_SPLIT_EAGER 2u /* as LAZY, and gmap_protect splits each leaf that it is about a part of, also to notify */

#define GMAP_HUGE_1M 0u   /* 1 MB leaves where they fit (the default) */
#define GMAP_HUGE_NONE 1u /* 4 KB pages only */
/* 2 GB leaves too, where 2 GB (aligned) lie wholly in one slot and guest and host address agree modulo 2 GB. A leaf is
 * split into 1 MB leaves where a part of it has to differ, without taking memory: what that needs (32 KB) is set aside
 * when it is installed. Where logging is on: LAZY and EAGER split it at the first write, and go on as with 1 MB leaves;
 * NEVER makes all of its 524288 pages dirty. 2 GB that were split stay so while the slot logs. They become one leaf
 * again when logging ends, and by gmap_collapse, if all of them are mapped in 1 MB leaves by then and no page is
 * watched; in a space with PGSTEs they stay split as long as the slot is there. With GMAP_TRACK_GENERATION the flag is
 * accepted, and leaves are of 1 MB. */
#define GMAP_HUGE_2G 2u

#define GMAP_DIRTY_PER_SLOT 0u /* a slot logs if it was set with GMAP_SLOT_LOG_DIRTY */
/* As long as one slot is set with GMAP_SLOT_LOG_DIRTY every slot of the space logs; see gmap_slot_set. */
#define GMAP_DIRTY_GLOBAL 1u

#define GMAP_TRACK_ENTRIES 0u    /* the tables are the truth (or the kernel, for a slot with a backing) */
/* For hosts that walk the tables themselves: entries are never armed and leaves stay whole. The truth is one bit a
 * page, set by the inline header and by gmap_fault, and a harvest re-arms by the generation that ends cached rights.
 * The tables tell another machine nothing of clean pages. No backings: GMAP_EOPNOTSUPP. */
#define GMAP_TRACK_GENERATION 1u

typedef struct gmap_space_config {
  uint32_t struct_size;
  uint32_t flags;        /* 0 */
  uint64_t limit;        /* highest valid guest address; under 2 GiB: a segment table on top; under 4 TiB: a
                            region-third, under 8 PiB: a region-second, else a region-first table. Rounded up to the end
                            of its page. */
  uint32_t table_format; /* GMAP_TABLE_* */
  uint32_t split_policy; /* GMAP_SPLIT_* */
  uint32_t huge;         /* GMAP_HUGE_* */
  uint32_t dirty_scope;  /* GMAP_DIRTY_* */
  uint32_t tracking;     /* GMAP_TRACK_* */
  uint32_t max_shadows;  /* how many shadows there may be over it (gmap_shadow_open); 0 stands for 64 */
  uint64_t shadow_bytes; /* what their tables may take; 0 stands for a quarter of arena_bytes. Each space has its own: that
                            what all spaces may take leaves the arena room for the others is the host's business */
} gmap_space_config;

/* Creates a space, empty. GMAP_ENOMEM: the arena is exhausted. GMAP_EINVAL: an unknown value. */
GMAP_API gmap_status gmap_space_create(uint64_t engine, const gmap_space_config *config, uint64_t *space);

/* [WAITS] Destroys a space, its slots and backings. GMAP_EBUSY while vcpus, consumers, snapshots, notifiers or open
 * shadows are there. */
GMAP_API gmap_status gmap_space_destroy(uint64_t space);

/* [WAITS] Changes the highest valid guest address. Growing past 2 GiB, 4 TiB, 8 PiB adds a region table above the old
 * top, shrinking below removes it; walkers go on. GMAP_EBUSY: a slot lies beyond. GMAP_ENOMEM: nothing changed.
 * GMAP_ETIMEDOUT: done, but readers did not leave; a table taken away is freed with the next grace. */
GMAP_API gmap_status gmap_space_set_limit(uint64_t space, uint64_t limit);

/* The address-space-control element: table origin (a host address), designation type, length, and P, S, X = 1. */
GMAP_API gmap_status gmap_space_get_asce(uint64_t space, uint64_t *asce);

typedef struct gmap_space_stats {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  uint64_t read_faults;       /* faults resolved for a read; populate counts one a leaf or page */
  uint64_t write_faults;      /* faults resolved for a write, counted the same way */
  uint64_t guest_conditions;  /* faults that ended with a program-interruption code (translate's are not counted) */
  uint64_t segments_mapped;   /* 1 MB leaves installed; a 2 GB leaf counts 2048 */
  uint64_t pages_mapped;      /* 4 KB pages installed by faults, not by splits */
  uint64_t splits;            /* leaves split: of 1 MB, and of 2 GB into those */
  uint64_t splits_lost;       /* splits that another thread did first: a spare table was made for nothing */
  uint64_t pages_granted;     /* clean pages made dirty by faults (the inline header's are not counted) */
  uint64_t segments_granted;  /* clean leaves made dirty as a whole (policy NEVER, or logging off); one of 2 GB: 2048 */
  uint64_t pages_unmapped;    /* 4 KB pages whose mapping was taken away, all of a leaf */
  uint64_t armings;           /* times logging was turned on for a slot, or a slot was made or moved with it */
  uint64_t harvests;          /* calls of harvest and clear with valid arguments, those that timed out too */
  uint64_t pages_harvested;   /* 4 KB pages delivered by harvests, and contained in the epochs of consumers */
  uint64_t pages_taken;       /* 4 KB pages re-armed by harvest and clear, all of a leaf */
  uint64_t pages_marked;      /* 4 KB pages newly set in a log by gmap_mark_dirty* and gmap_write; two calls that mark
                               * one page at the same moment may both count it */
  uint64_t grace_periods;     /* times a call of this space waited until all readers had left, or tried to */
  uint64_t grace_wait_ns;     /* nanoseconds spent in them */
  uint64_t harvest_ns;        /* nanoseconds spent in harvest and clear, waiting included */
  uint64_t backing_scans;     /* PAGEMAP_SCAN calls of the kernel that succeeded */
  uint64_t region_tables;     /* tables now linked; those in limbo are not counted */
  uint64_t segment_tables;    /* likewise; and those set aside for the split of a 2 GB leaf */
  uint64_t page_tables;       /* likewise */
  uint64_t table_bytes;       /* of the three kinds: 16 KB a region (region-third tables with
                                 GMAP_HUGE_2G: 32 KB), 32 KB a segment, 2 KB a page table, 4 KB with PGSTEs;
                                 128 KB more a segment table with GMAP_TRACK_GENERATION */
  uint64_t vcpus;             /* open ones, a number */
  uint64_t collapses;         /* tables that became a leaf again, of 1 MB or 2 GB */
  uint64_t pages_discarded;   /* dirty 4 KB pages dropped by gmap_discard */
  uint64_t pages_aged;        /* 4 KB pages found young by gmap_age */
  uint64_t consumers;         /* open ones, a number */
  uint64_t epochs;            /* epochs that consumers began */
  uint64_t notifiers;         /* registered ones, a number */
  uint64_t notifications;     /* calls of callbacks of notifiers */
  uint64_t pages_protected;   /* 4 KB pages that gmap_protect restricted, freed, armed or disarmed, each time */
  uint64_t shadows;           /* shadows over the space, kept ones that nobody has open included, a number */
  uint64_t shadow_entries;    /* pages and leaves that they map now */
  uint64_t shadow_bytes;      /* of their tables, and of what is known of them */
  uint64_t unshadows;         /* times something of a shadow went because a page that it hung on was taken away or written */
} gmap_space_stats;

/* Fills stats. Counters only rise; they are read one by one, while other threads go on. */
GMAP_API gmap_status gmap_space_get_stats(uint64_t space, gmap_space_stats *stats);

typedef struct gmap_image_frame_map { /* where the frames of a slot are in the image's real storage */
  uint32_t slot;
  uint32_t reserved;
  uint64_t real_addr; /* of the slot's first page; page aligned; leaves must keep their alignment */
} gmap_image_frame_map;

#define GMAP_IMAGE_CLEAR_SOFTWARE 0x1u /* clear software bits, hole tokens become plain invalid entries */

typedef struct gmap_image_sink {
  uint32_t struct_size;
  uint32_t flags;                     /* GMAP_IMAGE_* */
  void *buffer;                       /* receives the bytes for real_base onward; may be NULL if capacity is 0 */
  uint64_t capacity;
  uint64_t *size;                     /* out: bytes the image has, also when the buffer is too small */
  const gmap_image_frame_map *frames; /* may be NULL: frames keep their host addresses */
  uint64_t frame_count;
} gmap_image_sink;

/* [WAITS] Writes all tables as a z/Architecture machine would have them in real storage from real_base (a multiple of
 * 16 KB) on: big-endian, origins relocated, top table first. Page tables have the space's format, PGSTEs never their
 * lock bit; with CLEAR_SOFTWARE what only software looks at is clear in them, too. Runs while vcpus run: each entry is read once. asce
 * receives the image's ASCE.
 * What a machine finds there is what gmap_translate says at that moment: the frame; for GMAP_PIC_PROTECTION of a store (read-only, clean,
 * armed for a write) a protection exception, so it has to ask; where nothing is mapped, or what is mapped is aged, the same translation
 * exception. A page that has no slot (GMAP_PIC_ADDRESSING), or that gmap_protect does not let it read, is to a machine a translation
 * exception, of whichever level; GMAP_PIC_ASCE_TYPE is the same. With GMAP_TRACK_GENERATION stores to clean pages go through. 1 MB
 * leaves need EDAT-1 there, 2 GB leaves EDAT-2. `./build.sh judge` has it judged.
 * GMAP_ENOBUFS: the buffer is too small (*size says what it takes; nothing written).
 * GMAP_EINVAL: misaligned or wrapped, or a frame map entry that moves a leaf off its alignment.
 * GMAP_ENOENT: frames are mapped whose slot is not in the map. GMAP_ENOMEM: no memory to make it in,
 * or slots of about 1 TiB and more in all (their tables could take 2 GiB). */
GMAP_API gmap_status gmap_image_export(uint64_t space, uint64_t real_base, const gmap_image_sink *sink, uint64_t *asce);

#define GMAP_SLOT_READONLY 0x1u        /* guest writes are GMAP_PIC_PROTECTION */
#define GMAP_SLOT_LOG_DIRTY 0x2u       /* dirty pages are tracked */
/* With LOG_DIRTY being turned on: every page is dirty until it is first harvested or cleared. For a slot that is there
 * and has no backing nothing is armed and nobody waited for, so that turning logging on costs next to nothing: what is
 * mapped stays writable, and each harvest or clear of a range arms that range (KVM_DIRTY_LOG_INITIALLY_SET: clear in
 * chunks). No way of arming stops the vcpus: the longest store of one that ran beside the arming of 1 TiB took 19 us without this
 * flag, 27 us with it and one harvest, and 265 us where it was harvested by 1 GiB (the worst of nine runs each, on a quiet machine of
 * two processors; usually 7, 17 and 38 us: perf/STUDY.md). */
#define GMAP_SLOT_INITIALLY_DIRTY 0x4u

typedef struct gmap_slot {
  uint32_t struct_size;
  uint32_t flags;         /* GMAP_SLOT_* */
  uint32_t id;            /* any number but GMAP_ALL_SLOTS, unique in the space */
  uint32_t reserved;
  uint64_t guest_addr;    /* page aligned */
  uint64_t size;          /* page aligned; 0 deletes the slot */
  uint64_t host_addr;     /* page aligned; not dereferenced except by gmap_read, gmap_write, gmap_snapshot_* and faults of
                             shadows (guests' tables); must stay mapped while the slot lives and vcpus use it */
  uint64_t *final_bitmap; /* delete, move, resize, logging off: receives the last dirty bits of a slot that logged, else
                             is left alone; may be NULL */
  uint64_t final_words;   /* capacity of final_bitmap in 64-bit words */
} gmap_slot;

/* [WAITS] Creates, changes or deletes a slot. While a slot is moved or resized, accesses to it find no slot. 1 MB
 * leaves are used where guest and host address agree modulo 1 MB and the leaf lies inside the slot (see also
 * GMAP_HUGE_2G). Turning logging on arms: no write goes unseen after the return. Turning it off, moving or resizing
 * hands out the last dirty bits.
 * Two slots may show the same host memory; each is tracked on its own. GMAP_EEXIST: overlaps another slot.
 * GMAP_EINVAL: misaligned, wrapped, beyond the limit, or the last page of 2^64. GMAP_ENOENT: deleting what is not
 * there. GMAP_ENOBUFS: final_bitmap too short. GMAP_EBUSY: move or resize of a slot with a backing (deleting it ends the backing).
 * GMAP_ENOMEM. GMAP_ETIMEDOUT: the change is made, but readers did not leave in time: their last writes may be
 * missing from final_bitmap; where logging was turned on every page counts as dirty. Where the kernel tracked
 * and cannot tell any more (gmap_backing_attach), final_bitmap has every page; turning logging on is GMAP_EFAULT.
 * In a space of GMAP_DIRTY_GLOBAL a slot logs also while any other one is set with GMAP_SLOT_LOG_DIRTY: the first call
 * that sets one so turns logging on for all (INITIALLY_DIRTY then means all of them; an error means none), slots made
 * later begin to log by themselves, and the call that takes the last one's flag away, or deletes it, ends logging for
 * all: final_bitmap is this slot's only, consumers get the last pages of each. */
GMAP_API gmap_status gmap_slot_set(uint64_t space, const gmap_slot *slot);

/* ---- Threads --------------------------------------------------------------------------------------------------- */

struct gmap_view; /* gmap_inline.h */

typedef struct gmap_vcpu_config {
  uint32_t struct_size;
  uint32_t flags;          /* 0 */
  uint32_t inline_version; /* GMAP_INLINE_VERSION of the gmap_inline.h compiled into the host; 0 if it is not used. A
                              version the library does not speak gets a view on which every inline call says "ask the
                              library" */
  uint32_t reserved;
} gmap_vcpu_config;

/* [WAITS] Opens a vcpu for the calling thread, which is the one that will walk (a vcpu that moves to another thread
 * is known there from its next gmap_fault on). view may be NULL for a host that only calls functions: then gmap_fault
 * leaves no section open. GMAP_ENOMEM. GMAP_EINVAL. */
GMAP_API gmap_status gmap_vcpu_open(uint64_t space, const gmap_vcpu_config *config, uint64_t *vcpu,
                                    struct gmap_view **view);

/* Closes a vcpu; counts as gmap_leave. May be called by another thread when the owner has ended, never while
 * the owner is in a call, of the inline header either. An owner that is inside and goes on must not use host addresses
 * that it has: nobody waits for it any more. The view stays mapped, and answers "ask the library" (hits of the inline
 * cache from the next gmap_enter on), gmap_fault then GMAP_EBADF, until the engine is destroyed (128 bytes each). */
GMAP_API gmap_status gmap_vcpu_close(uint64_t vcpu);

/* ---- Faults and host access ------------------------------------------------------------------------------------ */

#define GMAP_ACCESS_READ 0x1u
#define GMAP_ACCESS_WRITE 0x2u

#define GMAP_REASON_NONE 0u
#define GMAP_REASON_NO_SLOT 1u       /* nothing there: an x86 host's MMIO */
#define GMAP_REASON_READONLY_SLOT 2u /* a write to a slot that is read-only */
#define GMAP_REASON_PROTECTED 3u     /* gmap_protect forbids it */
#define GMAP_REASON_BEYOND_LIMIT 4u  /* above the space's limit */
#define GMAP_REASON_NOT_MAPPED 5u    /* gmap_translate: a slot is there, a fault would map it */
#define GMAP_REASON_NEEDS_FAULT 6u   /* gmap_translate: the page is aged, or clean and to be written: a fault helps */
#define GMAP_REASON_GUEST_TABLES 7u  /* of a shadow: tables of a guest say so; `depth` tells whose */
#define GMAP_REASON_MISSING 8u       /* beside GMAP_EAGAIN: the page is still to come (GMAP_BACKING_MISSING) */

#define GMAP_DONE_MAPPED 0x1u  /* a leaf or page was installed */
#define GMAP_DONE_SPLIT 0x2u   /* a leaf was split */
#define GMAP_DONE_GRANTED 0x4u /* a clean page or leaf became dirty */

typedef struct gmap_fault_result {
  uint32_t struct_size;
  uint32_t flags;     /* GMAP_DONE_* */
  uint64_t host_addr; /* of the byte asked for */
  uint64_t leaf_size; /* 4 KB, 1 MB or 2 GB: the mapping that now serves the address */
  uint32_t rights;    /* GMAP_ACCESS_*: what the next access may do without a fault; 0: this access only, keep nothing */
  uint32_t reason;    /* GMAP_REASON_*, beside a positive status */
  uint32_t depth;     /* of a shadow: whose condition it is, so many spaces below; 0: the asked one's */
  uint32_t reserved;
  uint64_t table_addr; /* GMAP_REASON_GUEST_TABLES: where the entry is that ended the walk, an address of the space that holds
                          those tables; 0: none was looked at */
} gmap_fault_result;

/* [PIC] Resolves an access: maps the largest leaf allowed, or splits, or makes the page dirty. Ends the caller's
 * section on entry and leaves the caller inside a new one on return, whatever the result (except on GMAP_EBADF and
 * GMAP_EINVAL, and for a vcpu opened without a view): the host address may be used until gmap_leave, the next
 * gmap_enter, the next gmap_again that returns 1, or the next gmap_fault. To be called by the vcpu's thread. access is
 * GMAP_ACCESS_READ, _WRITE or both. result may be NULL. GMAP_PIC_ADDRESSING: no slot, or above the limit;
 * GMAP_PIC_ASCE_TYPE: beyond the reach of the top table (2 GiB, 4 TiB, 8 PiB). GMAP_PIC_PROTECTION: a write to a read-only
 * slot, or what gmap_protect forbids. result->reason tells more. GMAP_ENOMEM: the arena is exhausted; nothing became
 * dirty or writable (a clean leaf may have been mapped), and the same call succeeds after memory came back.
 * A write to a page armed for GMAP_NOTIFY_WRITE or _SHADOW calls the notifiers between two sections, or waits for another
 * thread that does: GMAP_EDEADLK if the thread is inside with another view, or must not wait (gmap_notifier). */
GMAP_API gmap_status gmap_fault(uint64_t vcpu, uint64_t guest_addr, uint32_t access, gmap_fault_result *result);

typedef struct gmap_fault_request { /* fixed layout */
  uint64_t guest_addr; /* in */
  uint32_t access;     /* in: GMAP_ACCESS_* */
  int32_t status;      /* out: as gmap_fault's, for the requests looked at */
  uint64_t host_addr;  /* out */
  uint32_t done;       /* out: GMAP_DONE_* */
  uint32_t reason;     /* out: GMAP_REASON_* */
} gmap_fault_request;

/* [PIC] gmap_fault for n requests, `stride` bytes apart (sizeof(gmap_fault_request) or more), in one section. Stops
 * at the first that fails and returns its status; *done receives the number of requests that were resolved before it.
 * Where one has to wait, or to tell notifiers first, the batch begins anew in a later section: what is answered is of
 * the section that the caller is left in. */
GMAP_API gmap_status gmap_fault_many(uint64_t vcpu, gmap_fault_request *requests, size_t n, size_t stride,
                                     size_t *done);

/* [PIC] What the tables say, without side effect. GMAP_PIC_ADDRESSING with a reason where no slot is;
 * GMAP_PIC_SEGMENT_TRANSLATION or GMAP_PIC_PAGE_TRANSLATION (or _REGION_THIRD) where nothing is mapped yet or what is
 * mapped is aged;
 * GMAP_PIC_PROTECTION where a write would fault, or gmap_protect forbids it (of a page that is mapped; nobody is told).
 * The answer may be out of date when it arrives, unless the caller's view is inside. result may be NULL. */
GMAP_API gmap_status gmap_translate(uint64_t space, uint64_t guest_addr, uint32_t access, gmap_fault_result *result);

/* [PIC] Copies from and to guest memory through the slots; nothing is mapped or split. gmap_write marks the pages
 * dirty (marked and copied in one section). All or nothing: if a byte of the range has no slot or may not be written,
 * nothing is copied and the code is returned. size 0 does nothing. What gmap_protect forbids the guest is the host's to
 * do. Only gmap_write to pages armed for GMAP_NOTIFY_WRITE or _SHADOW waits: it tells the notifiers before it copies;
 * GMAP_EDEADLK, nothing copied: the thread is inside with a view of its own, or must not wait (gmap_notifier).
 * GMAP_EAGAIN, nothing copied: pages of the range are still to come (GMAP_BACKING_MISSING), and wanted from now on. */
GMAP_API gmap_status gmap_read(uint64_t space, uint64_t guest_addr, void *data, size_t size);
GMAP_API gmap_status gmap_write(uint64_t space, uint64_t guest_addr, const void *data, size_t size);

/* Marks for external writers (devices, DMA, plugins, a vhost log). Call after the write is visible in memory. They
 * set bits in the slot's log, touch no table, never wait, allocate nothing. Where logging is off they do nothing. They
 * tell no notifier: what was to be told before the write comes too late.
 * gmap_mark_dirty: every page that the range touches; GMAP_EFAULT if a page of it has no slot (nothing is marked);
 * size 0 does
 *   nothing; GMAP_EINVAL: wrapped.
 * gmap_mark_dirty_bitmap: OR-in; bit i is page first_page + i. GMAP_ENOENT: no such slot; GMAP_EINVAL: outside the
 * slot. gmap_mark_dirty_batch: n byte addresses; those without a slot (MMIO) are passed over. */
GMAP_API gmap_status gmap_mark_dirty(uint64_t space, uint64_t guest_addr, uint64_t size);
GMAP_API gmap_status gmap_mark_dirty_bitmap(uint64_t space, uint32_t slot, uint64_t first_page, uint64_t n,
                                            const uint64_t *bitmap);
GMAP_API gmap_status gmap_mark_dirty_batch(uint64_t space, const uint64_t *guest_addrs, size_t n);

/* [WAITS] The host's pages of the range are going away: unmaps it. Dirty state survives (it goes to the log). Page
 * aligned. A leaf that is only partly in the range is split (under GMAP_SPLIT_NEVER it is unmapped as a whole). When
 * it returns, no thread uses a mapping of the range any more, and notifiers were told (gmap_protect). flags: 0. next
 * (may be NULL) receives the end of the range, or where to go on after an error: GMAP_ENOMEM (a split), GMAP_ETIMEDOUT
 * (unmapped, but readers did not leave). GMAP_EINVAL: misaligned, wrapped, beyond the limit. */
GMAP_API gmap_status gmap_unmap(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t flags, uint64_t *next);

/* [WAITS] The contents of the range are worthless (a balloon took it, the guest freed it): as gmap_unmap, and its dirty
 * state is dropped too: its pages are not reported until they are written or marked again. What is stored there while
 * the call runs is worthless too. Page aligned; errors and next as gmap_unmap's: after one, the pages that were not
 * done keep their dirty state, and so does everything after GMAP_ETIMEDOUT. Where a backing is the truth, the kernel
 * goes on reporting what it saw written. */
GMAP_API gmap_status gmap_discard(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t flags, uint64_t *next);

/* Splits every leaf that the range touches into pages (of a 2 GB leaf the rest into 1 MB leaves), ahead of a write.
 * Neither rights nor dirty state change and nobody is waited for. What is not mapped is passed over. Page aligned.
 * flags: 0. next (may be NULL) receives where to go on.
 * With GMAP_TRACK_GENERATION nothing needs it: leaves are tracked by pages. GMAP_ENOMEM: what was split before stays.
 * GMAP_EOPNOTSUPP: the space's policy is GMAP_SPLIT_NEVER. GMAP_EINVAL. */
GMAP_API gmap_status gmap_split(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t flags, uint64_t *next);

/* [WAITS] The other way: each segment wholly in the range becomes a 1 MB leaf again where one fits and its 256 pages
 * are mapped alike: the same rights and, in a slot that logs, all clean or all dirty. Others are passed over. The
 * mapping stays usable throughout; no store and no dirty bit is lost. The leaf is aged if all its pages were, else it
 * counts as used. Then 2 GB wholly in the range become one leaf, if the slot does not log: see GMAP_HUGE_2G. Turning
 * logging off does the same to the whole slot. Segments with a watched page (gmap_protect) are
 * passed over. Page aligned. flags: 0. collapsed (may be NULL)
 * receives how many. GMAP_EOPNOTSUPP: a space of GMAP_HUGE_NONE.
 * GMAP_ETIMEDOUT: what was collapsed stays so, but readers did not leave: the tables are freed with the next grace.
 * GMAP_EINVAL: misaligned, wrapped, beyond the limit. */
GMAP_API gmap_status gmap_collapse(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t flags,
                                   uint64_t *collapsed);

/* Was the range used? young (may be NULL) receives how many of its mapped pages were used since they were mapped or
 * last aged; then all of them are aged: the next use of each comes as a fault and makes it young. A leaf is aged as a
 * whole, and counts by the pages of it that are in the range: ask for whole segments. Dirty state and rights stay.
 * Nobody is waited for: what a thread that is inside while the call runs uses until it leaves may be missed (host
 * addresses, the inline cache), as with any processor's reference bits. Pages armed for GMAP_NOTIFY_CHANGE or _SHADOW
 * (a leaf with one of them as a whole) count as used and are not aged. Page aligned. flags: 0. GMAP_EINVAL. */
GMAP_API gmap_status gmap_age(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t flags, uint64_t *young);

/* [PIC] Maps a range before it is used: leaves and pages as a fault for `access` would. With GMAP_ACCESS_WRITE the
 * pages of a logging slot become dirty; to map without that, ask for GMAP_ACCESS_READ. Page aligned. Holes end it
 * with GMAP_PIC_ADDRESSING, pages that gmap_protect forbids with GMAP_PIC_PROTECTION. Notifiers that are to be told
 * before a write are told: GMAP_EDEADLK as gmap_write's. flags: 0. next (may be NULL) receives where to go on.
 * GMAP_ENOMEM: what was mapped before stays. */
GMAP_API gmap_status gmap_populate(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t access, uint32_t flags,
                                   uint64_t *next);

/* ---- Protection and notifiers ---------------------------------------------------------------------------------- */

/* A page may be restricted, and armed for notifications: it is watched. That belongs to the guest address, not to the
 * mapping: it stays while the page is unmapped, mapped again, split, aged or discarded, and goes with the slot (deleted,
 * moved, resized; flags may change). It costs 4 KB for 8 MB of guest memory in which a page was ever watched, and 4 KB
 * for 2 GB (gmap_engine_stats.watch_bytes), until the slots of those 2 GB are gone. What is not watched costs nothing.
 *
 * Notifications are one-shot: told once for each time a page was armed; pages side by side in one call, and what happens
 * to a leaf for all pages of it.
 *   CHANGE  after the mapping was weakened: taken away, made read-only or aged where it was not; by gmap_unmap,
 *           gmap_discard, gmap_protect, gmap_slot_set, and by whatever re-arms dirty pages (harvest, clear, a consumer's
 *           open and begin, a snapshot's take and restore): told by that call before it returns, after the change is
 *           visible to every thread (or they did not leave in time). A store or a load never tells it, and it survives
 *           being made writable.
 *   WRITE   before the first store through the mapping, gmap_fault, gmap_populate, gmap_write or gmap_snapshot_restore
 *           makes the page writable or copies into it: on the thread that wants to write, whose bytes are still the old
 *           ones then. Others that want to write there wait until it is told; loads go on. It stays armed while the page
 *           is unmapped and mapped again. gmap_mark_dirty does not tell it: that write has happened.
 *   SHADOW  both: before the first write, or after a weakening, whichever comes first. For tables of a guest that the host
 *           shadows.
 * Aging passes over pages armed for CHANGE or SHADOW and counts them as used; gmap_collapse passes over segments with a
 * watched page; gmap_read does not look at them. Snapshots do not hold what is watched, and a restore leaves it. */

#define GMAP_PROT_NONE 0u
#define GMAP_PROT_READ 1u
#define GMAP_PROT_WRITE 2u

#define GMAP_NOTIFY_CHANGE 0x1u
#define GMAP_NOTIFY_WRITE 0x2u
#define GMAP_NOTIFY_SHADOW 0x4u
#define GMAP_NOTIFY_CANCEL 0x100u /* the kinds named are disarmed, and not told */
#define GMAP_NOTIFY_MAPPED 0x200u /* only if every page is mapped now with the rights of prot: see gmap_protect */

/* [WAITS] Restricts the guest's accesses to a range, and arms notifications. Page aligned; size 0 does nothing.
 *   prot    What is allowed from now on: GMAP_PROT_READ | GMAP_PROT_WRITE (no restriction), GMAP_PROT_READ, or
 *           GMAP_PROT_NONE. What is refused is GMAP_PIC_PROTECTION with GMAP_REASON_PROTECTED. It stays until changed. It
 *           binds gmap_fault, gmap_populate and the inline header; the host itself (gmap_read, gmap_write, snapshots) is
 *           not bound, and a read-only slot stays read-only (GMAP_REASON_READONLY_SLOT).
 *   notify  GMAP_NOTIFY_* to be armed beside what is armed. With GMAP_NOTIFY_CANCEL they are disarmed instead. With
 *           GMAP_NOTIFY_MAPPED the call is refused (GMAP_EAGAIN, nothing changed) unless each page is mapped now, and
 *           where prot has GMAP_PROT_WRITE writable without a fault: fault it in, and try again. So a page is armed while
 *           it is known to be usable, and CHANGE tells when it no longer is. GMAP_NOTIFY_MAPPED wants GMAP_PROT_READ.
 * When it returns no thread uses an access that is refused, or that must be told first; what is lifted comes back by
 * faults. What was armed for CHANGE or SHADOW before, and is weakened by the call, is told by it; what the call itself
 * arms is not. Pages are armed one after another, and vcpus may write those whose turn has not come: for a picture of the
 * memory at one instant (WRITE, and each callback saves the old bytes) the vcpus must stand still during the one call
 * that arms everything.
 * Leaves: a restriction of whole segments, and notifications of any size, leave them (notifications are told for the leaf
 * then). A restriction of less than a leaf: GMAP_SPLIT_LAZY splits it, GMAP_SPLIT_NEVER refuses where a leaf fits
 * (GMAP_EOPNOTSUPP, nothing changed). With GMAP_SPLIT_EAGER notifications of less than a leaf split it, too.
 * GMAP_EFAULT: a page of the range has no slot. GMAP_EINVAL: misaligned, wrapped, beyond the limit, an unknown flag,
 * GMAP_PROT_WRITE alone. GMAP_ENOMEM: nothing changed, but leaves may have been split. GMAP_EOPNOTSUPP also: the space
 * tracks by generation, or a slot has a backing. GMAP_ETIMEDOUT: done and told, but readers did not leave. */
GMAP_API gmap_status gmap_protect(uint64_t space, uint64_t guest_addr, uint64_t size, uint32_t prot, uint32_t notify);

typedef struct gmap_notifier {
  uint32_t struct_size;
  uint32_t flags;    /* 0 */
  uint32_t kinds;    /* GMAP_NOTIFY_CHANGE, _WRITE, _SHADOW; 0: all */
  uint32_t reserved; /* 0 */
  /* Guest addresses first to last (inclusive) were armed for `kind` (one GMAP_NOTIFY_*; a page with several is told
   * several times), and are armed no longer. On the thread of the call that is told of, outside of sections and with no
   * lock held; on several threads at the same time. It may call anything of this library, arm the pages again included,
   * but gmap_notifier_unregister (GMAP_EDEADLK). It must return, not jump. For WRITE, and SHADOW before a write, the page
   * is written when it has returned: it may read the old bytes. gmap_write of its own to these pages copies
   * untold; a gmap_fault or gmap_populate of its own that wants to write there returns GMAP_EDEADLK, since the page would
   * be open to every vcpu. Where it would have to wait for what another thread is just telling, a call of its own returns
   * GMAP_EDEADLK (writes), or returns without having waited (all others). */
  void (*callback)(void *user, uint64_t space, uint64_t first, uint64_t last, uint32_t kind);
  void *user;
} gmap_notifier;

/* Registers a callback, which hears of all pages of the space that are armed for its kinds, whoever armed them. Where
 * nobody hears of a kind, what is armed for it is dropped when it would be told. *notifier receives its handle.
 * GMAP_EINVAL: an unknown kind, callback NULL. GMAP_EDEADLK, GMAP_ENOMEM. */
GMAP_API gmap_status gmap_notifier_register(uint64_t space, const gmap_notifier *config, uint64_t *notifier);

/* [WAITS] Ends it: when this returns, its callback does not run and is not called again. GMAP_EDEADLK: from inside a
 * callback of any notifier, too. */
GMAP_API gmap_status gmap_notifier_unregister(uint64_t notifier);

/* ---- Nested guests --------------------------------------------------------------------------------------------- */
/* A guest that runs guests keeps translation tables for them in its own memory: z/Architecture tables, big-endian, which it
 * changes whenever it likes. A shadow is the space of such an inner guest: tables of ours that combine the guest's own with
 * those of the space below. gmap_vcpu_open, gmap_fault*, gmap_translate, gmap_space_get_stats, gmap_space_get_asce, gmap_inline.h
 * and gmap_shadow_open (a shadow of a shadow, three deep at most) take a shadow's handle where they take a space's; for all other
 * calls it is GMAP_EBADF, as there are no slots: memory, logs, notifications are the space's below.
 *   Faults   walk the guest's tables in the machine's order of checks (Principles of Operation, "Dynamic Address Translation").
 *            What they find wrong is the program-interruption code for the inner guest, or, with result->depth > 0, for a guest
 *            below it. What they lead to is resolved in the space below: a store makes the page dirty there, once, as any store
 *            does. Storage keys, low-address protection, prefixing and instruction fetches are the host's.
 *   Tables   of the guest are write-protected below. The store that touches one takes away what hung on that page, at every
 *            depth, and waits until no inner vcpu uses it, before it is granted. By gmap_fault, the inline header, gmap_write,
 *            gmap_populate and snapshots; not seen, as by a machine without a purge: stores of the host or a device through a
 *            pointer of its own, and through another slot over the same memory.
 *   Memory   of the inner guest is whatever its tables name. When the space below takes a mapping away or re-arms it (harvest,
 *            unmap, gmap_protect, a slot's end), the shadow's entries for it go, and when that call returns nobody uses them.
 *   Reach    of real space is that of the space below: where that grows, a fault raises the shadow's top table, and its ASCE is another.
 *   Leaves   are as large as the guest's and the space's both allow. Shadowing 4 KB of a larger leaf splits it in the space below
 *            (GMAP_SPLIT_NEVER: the fault is GMAP_EOPNOTSUPP).
 *   Notifiers of the space below hear of what hosts armed there, and of nothing that only shadows did. Where shadows make a page
 *            of tables read-only that was writable, they weaken its mapping: CHANGE, if a host armed it.
 *   Dirty    tracking, consumers and snapshots of the space below need not know of shadows. A harvest there waits for inner vcpus
 *            as for its own; what it re-arms comes back to a shadow by a fault.
 * A fault on a shadow may wait for readers: GMAP_EDEADLK if the calling thread is inside with another view. A guest that
 * rewrites its tables at every step of a fault makes it GMAP_EAGAIN: run the vcpu again. GMAP_EOPNOTSUPP: a page of tables or
 * memory lies in a slot with a backing. A store into one of the very tables that lead to it is granted for that access only:
 * result->rights is 0. In gmap_fault_many such a store ends the batch with GMAP_EAGAIN: ask for it alone. */

#define GMAP_EDAT_NONE 0u /* no leaves above 4 KB; P of region entries is ignored */
#define GMAP_EDAT_1 1u    /* 1 MB leaves */
#define GMAP_EDAT_2 2u    /* and 2 GB leaves */

/* [WAITS] Finds the shadow of a guest's ASCE and facility over a space, or makes it; any number of threads at once get the same
 * one. ASCEs that differ only in bits that translation does not look at (G, S, X) are the same. Close it as often as it was opened. It
 * keeps its tables when it is closed, until others need the room: a guest that switches between a few address spaces finds
 * them warm. GMAP_EINVAL: an unknown edat. GMAP_EOPNOTSUPP: the space tracks by generation, or more than three deep.
 * GMAP_EBUSY: max_shadows are open. GMAP_ENOMEM, GMAP_EDEADLK. */
GMAP_API gmap_status gmap_shadow_open(uint64_t space, uint64_t guest_asce, uint32_t edat, uint64_t *shadow);

/* 0: this shadow is still the one for that ASCE and facility. GMAP_EAGAIN: it is another's, open that. What the guest's tables
 * say never makes a shadow invalid. */
GMAP_API gmap_status gmap_shadow_is_valid(uint64_t shadow, uint64_t guest_asce, uint32_t edat);

/* Gives one opening back; with the last the handle is no good any more. GMAP_EBUSY: vcpus are open, and this is the last. */
GMAP_API gmap_status gmap_shadow_close(uint64_t shadow);

/* ---- PGSTEs ---------------------------------------------------------------------------------------------------- */

/* In a space of GMAP_TABLE_4K_PGSTE each page of a slot has a page-status-table entry: what a host knows of it that is
 * not its mapping, a guest's storage key, say, or what the guest said of its use. It is zero until it is changed, and lasts
 * as long as the slot: through split, unmap, discard and mapping anew, harvests and changes of the slot's flags; when the
 * slot is moved, resized or deleted it is zero again. A discard keeps it, since a key belongs to the place and not to
 * what is stored there. The engine looks at no field of it. While one of a segment's is not zero the segment keeps its
 * page table: it does not collapse, and what is mapped there is mapped by 4 KB pages. */

#define GMAP_PGSTE_ACC 0xF000000000000000ull       /* access-control bits of the key */
#define GMAP_PGSTE_FETCH 0x0800000000000000ull     /* fetch protection */
#define GMAP_PGSTE_LOCK 0x0080000000000000ull      /* PCL: the library's while it changes the word */
#define GMAP_PGSTE_HOST_REF 0x0040000000000000ull
#define GMAP_PGSTE_HOST_CHANGE 0x0020000000000000ull
#define GMAP_PGSTE_GUEST_REF 0x0004000000000000ull
#define GMAP_PGSTE_GUEST_CHANGE 0x0002000000000000ull
#define GMAP_PGSTE_PROGRAM 0x0000FFFF00000000ull   /* for the host's own use */
#define GMAP_PGSTE_ZERO 0x0000000080000000ull      /* logically zero */
#define GMAP_PGSTE_NODAT 0x0000000040000000ull
#define GMAP_PGSTE_USAGE 0x0000000003000000ull     /* 0 stable, 1 unused, 2 potentially volatile, 3 volatile */
#define GMAP_PGSTE_CMMA_DIRTY 0x8000ull            /* this and the next three: KVM's, for the host's use as the others */
#define GMAP_PGSTE_NOTIFY 0x4000ull
#define GMAP_PGSTE_SHADOW 0x2000ull
#define GMAP_PGSTE_GUEST_MEMORY 0x1000ull

/* Reads the PGSTE of the page that holds guest_addr, without GMAP_PGSTE_LOCK; 0 where the segment has no page table. Any
 * thread, inside too; never waits. Code that walks the tables itself may load it as well, inside a section, but not
 * change it. GMAP_EFAULT: no slot. GMAP_EOPNOTSUPP: a space of GMAP_TABLE_2K. GMAP_EINVAL: pgste is NULL. */
GMAP_API gmap_status gmap_pgste_get(uint64_t space, uint64_t guest_addr, uint64_t *pgste);

/* Makes the bits of mask those of value (other bits of value are ignored), in one atomic step beside others of these
 * calls. before (may be NULL) receives what it was. The change is no write: where it is one for the guest (a key), call
 * gmap_mark_dirty. A segment without page table gets one if a bit is to be set: a leaf is split, rights and dirty state
 * stay; where no bit is to be set nothing is made, and *before is 0. Any thread, inside too; it may wait for a harvest
 * that edits the segment just then, not for readers. GMAP_EINVAL: mask has GMAP_PGSTE_LOCK. GMAP_EFAULT: no slot.
 * GMAP_EOPNOTSUPP: a space of GMAP_TABLE_2K; or the page is part of a leaf and the policy is GMAP_SPLIT_NEVER.
 * GMAP_ENOMEM: no page table could be made; the same call succeeds after memory came back. */
GMAP_API gmap_status gmap_pgste_update(uint64_t space, uint64_t guest_addr, uint64_t mask, uint64_t value,
                                       uint64_t *before);

/* ---- Dirty pages ----------------------------------------------------------------------------------------------- */

/* All three: GMAP_ENOENT: no such slot, or it does not log. GMAP_EINVAL: the range is not inside the slot, or an
 * unknown flag. bit i of the bitmap is page first_page + i of the slot; bits past n in the last word are zero (or
 * kept, with OR). */

/* KVM's GET_DIRTY_LOG under manual protect: the dirty bits, nothing re-armed or consumed. flags: 0. bitmap has
 * (n + 63) / 64 words and may be NULL to count only; dirty_pages may be NULL. */
GMAP_API gmap_status gmap_dirty_get(uint64_t space, uint32_t slot, uint64_t first_page, uint64_t n, uint32_t flags,
                                    uint64_t *bitmap, uint64_t *dirty_pages);

/* [WAITS] KVM's CLEAR_DIRTY_LOG: marks clean and re-arms exactly the pages whose bits are set. KVM's rules:
 * first_page is a multiple of 64, n too unless the range ends with the slot; otherwise GMAP_EINVAL. flags: 0. Copy
 * the pages after it returned. GMAP_ETIMEDOUT: readers did not leave; the pages stay dirty: clear again. */
GMAP_API gmap_status gmap_dirty_clear(uint64_t space, uint32_t slot, uint64_t first_page, uint64_t n, uint32_t flags,
                                      const uint64_t *bitmap);

#define GMAP_HARVEST_OR 0x1u       /* OR into the caller's bitmap instead of overwriting it */
#define GMAP_HARVEST_NO_REARM 0x2u /* last round, guest stopped: entries stay writable and marked; if the guest goes on
                                      after all, these pages are reported again */

/* [WAITS] Get and clear in one atomic step per page: a bit is set if and only if the page was written (or marked)
 * since it was last harvested. Copy the pages after it returned: the copies then hold every store that was reported.
 * words is the capacity of bitmap; GMAP_ENOBUFS if it is less than (n + 63) / 64, nothing consumed. dirty_pages may
 * be NULL. GMAP_ETIMEDOUT: readers did not leave; nothing is delivered, nothing lost: the pages come with the next
 * harvest. */
GMAP_API gmap_status gmap_dirty_harvest(uint64_t space, uint32_t slot, uint64_t first_page, uint64_t n, uint32_t flags,
                                        uint64_t *bitmap, size_t words, uint64_t *dirty_pages);

typedef struct gmap_range { /* fixed layout */
  uint64_t first_page; /* of the slot */
  uint64_t count;      /* pages, 1 or more */
  uint32_t slot;
  uint32_t flags;      /* GMAP_RANGE_* */
} gmap_range;

#define GMAP_RANGE_GONE 0x1u /* gmap_consumer_read_ranges: of a slot that does not log any more, was moved or deleted */

/* [WAITS] gmap_dirty_harvest with runs instead of a bitmap: each range is as long as can be, in rising order. Where the
 * array is too short, what found no room stays dirty, and *next is the page to go on with (a harvest of its own, which
 * finds what was written meanwhile, too); else *next is first_page + n. flags: GMAP_HARVEST_NO_REARM. *count receives
 * how many ranges were filled. On an error nothing is delivered, nothing lost. */
GMAP_API gmap_status gmap_dirty_harvest_ranges(uint64_t space, uint32_t slot, uint64_t first_page, uint64_t n,
                                               uint32_t flags, gmap_range *ranges, size_t capacity, size_t *count,
                                               uint64_t *next);

/* ---- Consumers: any number of independent readers of dirty pages ----------------------------------------------- */

/* Each consumer (a migration, a snapshot, a display, a backup) has a history of its own in each of its slots: whoever
 * takes a page from the tables gives it to all of them, gmap_dirty_* included, which are the built-in consumer. A
 * consumer costs two bitmaps a slot (gmap_engine_stats.log_bytes); nothing after gmap_consumer_open can fail for lack
 * of memory. Calls may come from any thread; two at once on the same consumer are GMAP_EBUSY while one of them waits.
 *
 *     gmap_consumer_begin(consumer, 0, &info);                 freeze what was written since the last epoch
 *     do { gmap_consumer_read_ranges(consumer, 0, ranges, 64, &n, &resume); copy(ranges, n); } while (~resume);
 *     gmap_consumer_commit(consumer);                          or gmap_consumer_abort: the pages come again
 */

#define GMAP_ALL_SLOTS 0xFFFFFFFFu

#define GMAP_CONSUMER_INITIALLY_DIRTY 0x1u /* every page of every slot is in its first epoch */

/* [WAITS] Opens a consumer of one slot, or of all that log, now or later (GMAP_ALL_SLOTS). Without INITIALLY_DIRTY it
 * sees what is written after the return, exactly. It follows a slot by its id: where logging is turned on again, or
 * the slot is made anew, the new one belongs to it (gmap_slot_set is GMAP_ENOMEM if there is no memory for its logs).
 * GMAP_ENOENT: no such slot, or it does not log. GMAP_ENOMEM. GMAP_EFAULT: the kernel cannot tell (a backing).
 * GMAP_ETIMEDOUT: readers did not leave. After an error there is no consumer, and nothing is lost for the others. */
GMAP_API gmap_status gmap_consumer_open(uint64_t space, uint32_t slot, uint32_t flags, uint64_t *consumer);

/* [WAITS] Closes it. An epoch that was begun is dropped. GMAP_EBUSY: another thread is in gmap_consumer_begin. */
GMAP_API gmap_status gmap_consumer_close(uint64_t consumer);

typedef struct gmap_epoch_info {
  uint32_t struct_size;
  uint32_t flags;       /* 0 */
  uint64_t epoch;       /* 1 for the first that began, then rising by 1 */
  uint64_t dirty_pages; /* in all slots */
  uint64_t slots;       /* how many it looked at, those included that are gone */
} gmap_epoch_info;

/* [WAITS] Begins an epoch: the pages written (or marked) since the last one that was committed. Copy them after it
 * returned: the copies hold every store that made a page part of it. flags: GMAP_HARVEST_NO_REARM (see
 * gmap_dirty_harvest). info may be NULL. A slot that went (logging off, moved, resized, deleted) is in it once more
 * with its last pages. Where nothing was written nobody is waited for. GMAP_EBUSY: an epoch is begun already, or
 * being begun. GMAP_ETIMEDOUT, GMAP_EFAULT (a backing): no epoch is begun, the pages come with the next. */
GMAP_API gmap_status gmap_consumer_begin(uint64_t consumer, uint32_t flags, gmap_epoch_info *info);

/* A part of the epoch as a bitmap, as often as wanted. flags: GMAP_HARVEST_OR. words is the capacity of bitmap;
 * GMAP_ENOBUFS if it is less than (n + 63) / 64. dirty_pages may be NULL. GMAP_ENOENT: not a slot of this consumer.
 * GMAP_EINVAL: no epoch is begun, or the range is not inside the slot. Of two slots of the epoch that had the id one
 * after the other this is the later one; gmap_consumer_read_ranges tells both. A slot that was made, or logs, only since
 * the epoch began is not part of it. */
GMAP_API gmap_status gmap_consumer_read_bitmap(uint64_t consumer, uint32_t slot, uint64_t first_page, uint64_t n,
                                               uint32_t flags, uint64_t *bitmap, size_t words, uint64_t *dirty_pages);

/* The epoch as runs, slot by slot, in as many calls as the array is small: *resume is 0 for the first, and all ones
 * when everything was read. flags: 0. *count receives how many ranges were filled. GMAP_EINVAL: no epoch is begun. */
GMAP_API gmap_status gmap_consumer_read_ranges(uint64_t consumer, uint32_t flags, gmap_range *ranges, size_t capacity,
                                               size_t *count, uint64_t *resume);

/* Ends the epoch: its pages are done with. GMAP_EINVAL: no epoch is begun. */
GMAP_API gmap_status gmap_consumer_commit(uint64_t consumer);

/* Ends the epoch and gives its pages back: they are part of the next one. GMAP_EINVAL: no epoch is begun. */
GMAP_API gmap_status gmap_consumer_abort(uint64_t consumer);

/* Makes pages part of this consumer's next epoch (a page that could not be sent); the others do not see it. Bit i is
 * page first_page + i. flags: 0. At any time. GMAP_ENOENT, GMAP_EINVAL as gmap_consumer_read_bitmap. */
GMAP_API gmap_status gmap_consumer_redirty(uint64_t consumer, uint32_t slot, uint64_t first_page, uint64_t n,
                                           uint32_t flags, const uint64_t *bitmap);

/* ---- Snapshots ------------------------------------------------------------------------------------------------- */

/* A copy of the memory of a space, put back by copying the pages that were written since: for fuzzers, and for whoever
 * tries something out. It is a consumer of its own: other consumers lose nothing, and see what a restore writes. While
 * one of these calls runs the guest stands still: every vcpu has left (gmap_leave), no device writes. */

typedef struct gmap_snapshot_config {
  uint32_t struct_size;
  uint32_t flags;    /* 0 */
  uint64_t reserved; /* 0 */
} gmap_snapshot_config;

/* [WAITS] Copies every slot that logs, into memory of its own outside the arena: as much as the slots have, but pages
 * of zeroes take none. config may be NULL. Read-only slots that do not log are not part of it; GMAP_EINVAL: any other
 * slot that does not log. GMAP_ENOMEM. GMAP_EFAULT (a backing), GMAP_ETIMEDOUT: as gmap_consumer_open. */
GMAP_API gmap_status gmap_snapshot_take(uint64_t space, const gmap_snapshot_config *config, uint64_t *snapshot);

/* [WAITS] Puts the memory back as it was, as often as wanted: what was written, marked or discarded since the snapshot or
 * the last restore is copied, nothing else is looked at (a slot with a backing: and the kernel scans what is mapped of
 * it). Writes that the engine is not told of are not undone. pages (may be NULL) receives how many were copied. Vcpu
 * state is the host's. Pages armed for GMAP_NOTIFY_WRITE or _SHADOW are told before they are copied; the callback may not
 * use this snapshot (GMAP_EBUSY). GMAP_ENOENT: a slot of the snapshot was moved, deleted, or does not log any more: free
 * it and take another one; nothing was copied. GMAP_ETIMEDOUT: a vcpu did not leave; nothing was copied, restore again. */
GMAP_API gmap_status gmap_snapshot_restore(uint64_t snapshot, uint64_t *pages);

/* [WAITS] Compares everything: *wrong receives the number of pages that differ from the snapshot, 0 after a restore. More than
 * 0 there: somebody wrote without telling. GMAP_ENOENT as above. */
GMAP_API gmap_status gmap_snapshot_verify(uint64_t snapshot, uint64_t *wrong);

/* [WAITS] Frees it. GMAP_EBUSY: another thread is in gmap_snapshot_restore or gmap_snapshot_verify. */
GMAP_API gmap_status gmap_snapshot_free(uint64_t snapshot);

#define GMAP_FORMAT_VHOST_LOG 1u /* vhost and vhost-user: page gfn is bit gfn % 8 of byte gfn / 8 */

/* Drains a log in shared memory that other processes set bits in by atomic ORs (vhost-user backends, used rings
 * included): each bit is taken out of it, then the page is marked as by gmap_mark_dirty. A bit that is set meanwhile is
 * marked too or stays; so drain, then harvest, and when the device has stopped drain once more before the last harvest.
 * Bits of pages that no slot has, or whose slot does not log, are taken out and dropped. format: GMAP_FORMAT_VHOST_LOG.
 * flags: 0. log: 8-byte aligned, of `bytes` bytes, a multiple of 8 (a mapped page is both); longer or shorter than the
 * guest. pages (may be NULL) receives how many were marked, those that were marked before too. Any thread; never waits,
 * allocates nothing. GMAP_EINVAL: another format or flag, misaligned, wrapped. GMAP_EBADF: also where the space ended
 * meanwhile. */
GMAP_API gmap_status gmap_dirty_drain(uint64_t space, uint32_t format, uint32_t flags, void *log, uint64_t bytes,
                                      uint64_t *pages);

/* The other way: ORs the epoch of a consumer atomically into such a log, which others may set bits in or drain at the
 * same time; as often as wanted. An epoch must have begun, and goes on. flags: 0. log and bytes as above. pages (may be
 * NULL) receives how many pages the epoch has. GMAP_ENOBUFS: the log is too short for the highest of them; nothing was
 * set. GMAP_EINVAL: as above, or no epoch is begun. */
GMAP_API gmap_status gmap_dirty_export(uint64_t consumer, uint32_t format, uint32_t flags, void *log, uint64_t bytes,
                                       uint64_t *pages);

typedef struct gmap_rate {
  uint32_t struct_size;
  uint32_t flags;            /* 0 */
  uint64_t pages;            /* 4 KB pages that became dirty; only rises: divide the differences of two readings */
  uint64_t time_ns;          /* of CLOCK_MONOTONIC: when it was read */
  uint64_t pages_per_second; /* see each function */
} gmap_rate;

/* How fast the pages of a slot become dirty, counted where pages are taken and marked: nothing is looked at, nothing
 * taken, no consumer disturbed. pages: since logging began, each page once between two harvests or clears, whoever
 * wrote or marked it, and not while it is dirty since logging began (GMAP_SLOT_INITIALLY_DIRTY, a time-out). What
 * vcpus wrote is known when it is harvested, cleared or looked at, so the figure is exact right after a harvest; a
 * harvest with GMAP_HARVEST_NO_REARM does not count. pages_per_second: between the last two harvests or clears; those
 * of parts, one behind the other, count as one of everything when the last of them is done; 0 before the first. Any
 * thread, inside too. GMAP_ENOENT: no such slot, or it does not log. GMAP_EINVAL. */
GMAP_API gmap_status gmap_dirty_rate(uint64_t space, uint32_t slot, gmap_rate *rate);

/* How fast one vcpu makes pages dirty. pages: since it was opened, clean pages that became writable by its stores
 * through the inline header or by its own gmap_fault and gmap_fault_many: each once until it is harvested or cleared,
 * and only for the vcpu that came first; 256 for a leaf (GMAP_SPLIT_NEVER). Not counted: slots with a backing; slots
 * that do not log, but for what is made writable of what was armed before, and by generation
 * (GMAP_TRACK_GENERATION) the first store to each page. pages_per_second: the mean
 * since the last call for this vcpu, by whichever thread, at first since it was opened. Any thread, while the vcpu
 * runs. GMAP_EINVAL. */
GMAP_API gmap_status gmap_vcpu_rate(uint64_t vcpu, gmap_rate *rate);

/* ---- Backings: slots whose truth is the kernel ----------------------------------------------------------------- */

/* Asynchronous write-protect and PAGEMAP_SCAN: plain stores and system calls of code that knows nothing of this library
 * are tracked, without root. */
#define GMAP_BACKING_USERFAULTFD_ASYNC 1u

/* Synchronous write-protect: the first store to a page, by whoever makes it, stops until a thread of the host answers
 * (gmap_backing_service, gmap_backing_fault). For hosts that must act before a write; each first store costs two
 * changes of threads. */
#define GMAP_BACKING_USERFAULTFD_SYNC 2u

/* Pages that come later: postcopy, or a snapshot that is read on demand. No page of the slot is mapped before
 * gmap_backing_provide has brought it: gmap_fault says GMAP_EAGAIN. For hosts whose every access goes through this library. */
#define GMAP_BACKING_MISSING 3u

/* The same, and the kernel stops plain accesses to pages that have not come, of code that knows nothing of this library. */
#define GMAP_BACKING_USERFAULTFD_MISSING 4u

/* flags, of the synchronous kind */
#define GMAP_BACKING_OWN_FD 1u /* userfaultfd is the host's, and stays so */
#define GMAP_BACKING_TELLS 2u  /* notifiers hear GMAP_NOTIFY_WRITE of each page before its first store is let go */

typedef struct gmap_backing_config {
  uint32_t struct_size;
  uint32_t flags;      /* GMAP_BACKING_OWN_FD, GMAP_BACKING_TELLS; 0 for the asynchronous kind */
  uint32_t kind;       /* GMAP_BACKING_* */
  int32_t userfaultfd; /* with GMAP_BACKING_OWN_FD; else 0 */
  const uint64_t *missing; /* GMAP_BACKING_*MISSING: a bit for each page that is to come; NULL: all of them. Else NULL */
  uint64_t missing_words;  /* of it; GMAP_ENOBUFS: less than (pages + 63) / 64 */
} gmap_backing_config;

/* [WAITS] Makes the kernel the truth for a slot. Its entries stay 1 MB leaves and are never armed; harvest asks the
 * kernel. The slot's host memory must be mapped, anonymous or shared memory of this process, whole pages of the host,
 * registered with no other userfaultfd. Not seen, by the kernel's design: writes through pins taken earlier (io_uring
 * fixed buffers, O_DIRECT reads in flight, vhost, VFIO) and other processes through a shared mapping: mark those with
 * gmap_mark_dirty at completion. The memory must stay mapped and registered: where the descriptor was closed, a part
 * unregistered, or something else mapped there, gmap_dirty_* of the slot return GMAP_EFAULT, nothing delivered: detach,
 * and every page counts as dirty. A part that is unmapped and not mapped again has nothing to report. MADV_DONTNEED is
 * no store. GMAP_EOPNOTSUPP: the space tracks by generation; or the kernel has
 * none of it, as everywhere but on Linux (the log callback says what is missing and the way out).
 * GMAP_EBUSY: the slot has a backing already, a page of it is watched (gmap_protect), or the memory is registered
 * elsewhere. GMAP_EFAULT: the memory is not
 * mapped or of a kind that cannot be tracked. GMAP_ENOENT: no such slot. GMAP_EPERM: refused (log callback).
 * GMAP_ENOMEM: no memory, or no file descriptor: two are taken (log callback). GMAP_ETIMEDOUT: attached, *backing is
 * set, but readers still use old mappings.
 *
 * Of the synchronous kind: after the call every page counts as written, nothing is protected yet, and no store stops:
 * start the threads that serve, then harvest or clear, which protects what it takes (so does turning logging on). From
 * there on a store to a page stops until it is answered; then the page counts as written until the next harvest. A
 * harvest loses no page, whatever is answered meanwhile; a page that several threads stored to at once may be reported,
 * and told, once more by the next. Every store stops: of vcpus, inside too, of
 * the host's devices, gmap_write's. So a thread that serves stores nothing into such a slot, and does not wait for one
 * that does: it does not harvest, unmap, or call anything else that [WAITS]; leave that to others. System calls that
 * store there (read, recv) are stopped too if the process may use userfaultfd for the kernel (CAP_SYS_PTRACE or
 * vm.unprivileged_userfaultfd=1); else they fail with EFAULT: go through gmap_write. MADV_DONTNEED forgets the
 * protection: call gmap_discard after it, or stores there are not seen. gmap_snapshot_* answers GMAP_EOPNOTSUPP.
 *   GMAP_BACKING_TELLS: a background snapshot copies a page in the notifier, as it was; each page is told once for each
 *   time it was protected, by the thread that answers; others that store there wait for it. gmap_protect is not needed.
 *   GMAP_BACKING_OWN_FD: the range is registered with it, UFFDIO_REGISTER_MODE_WP and whatever else the host likes, and
 *   has UFFD_FEATURE_WP_UNPOPULATED or is populated. The host reads it, and hands each message that has
 *   UFFD_PAGEFAULT_FLAG_WP and lies in the slot to gmap_backing_fault. What it maps there by UFFDIO_COPY it maps with
 *   UFFDIO_COPY_MODE_WP. It stays open, and registered, until after the detach. GMAP_EFAULT: not registered so. */
GMAP_API gmap_status gmap_backing_attach(uint64_t space, uint32_t slot, const gmap_backing_config *config,
                                         uint64_t *backing);

/* The userfaultfd, of GMAP_BACKING_MISSING an eventfd; it stays the library's. Closing it ends the tracking, and its
 * number may be another file's by the time the library closes it. */
GMAP_API gmap_status gmap_backing_fd(uint64_t backing, int32_t *fd);

/* Answers the stores that were stopped, and waits up to timeout_ns for one if there is none: GMAP_OK, *served (may be
 * NULL) says how many. Of a backing of the synchronous kind with the library's own descriptor. Any number of threads,
 * not inside: GMAP_EDEADLK, and in a callback. GMAP_EBADF: the backing ended, also while the call was waiting. GMAP_EIO:
 * the descriptor cannot be read: it was closed. GMAP_EINVAL: of another kind. */
GMAP_API gmap_status gmap_backing_service(uint64_t backing, uint64_t timeout_ns, uint32_t *served);

/* Answers one store that was stopped at host_addr, any byte of the page: by GMAP_BACKING_OWN_FD, or of the library's
 * descriptor, from which the host reads then instead of calling gmap_backing_service. GMAP_EFAULT: not in the slot, or
 * its memory is not registered any more. GMAP_EDEADLK, GMAP_EBADF, GMAP_EINVAL as above. */
GMAP_API gmap_status gmap_backing_fault(uint64_t backing, uint64_t host_addr);

/* ---- Pages that come later (GMAP_BACKING_MISSING, GMAP_BACKING_USERFAULTFD_MISSING) ----
 *
 * After gmap_backing_attach nothing of the slot is mapped, and of the pages that are to come nothing will be: gmap_fault
 * answers GMAP_EAGAIN with GMAP_REASON_MISSING, gmap_fault_many and gmap_populate end there, gmap_read and gmap_write
 * copy nothing. Nobody waits inside the library, so nobody holds a harvest up: leave, gmap_backing_wait, ask again. Leaves
 * are mapped where all of their pages have come (gmap_collapse makes them of what was mapped before). A page that is
 * there stays there. Dirty tracking goes on by the tables; what is brought is no write of the guest. GMAP_EBUSY and
 * GMAP_EOPNOTSUPP as for the other kinds: gmap_protect, shadows, snapshots, another backing, moves.
 *   GMAP_BACKING_USERFAULTFD_MISSING: the memory is anonymous or shared, not hugetlb, and holds nothing where pages are to come
 *   (MADV_DONTNEED, or a hole in a shared file): the kernel stops only the first access to an empty page. A thread that it has
 *   stopped goes on when the page comes; inside, it holds harvests up so long: fault first. System calls as for the synchronous kind.
 *   What is thrown away later (a balloon) comes back as zeros, through gmap_backing_wanted.
 * None of these calls waits for readers. All: GMAP_EBADF: the backing ended, also while the call was waiting; GMAP_EINVAL: of
 * another kind. */

/* Brings pages: size bytes from data, or zeros (NULL). Page aligned, in the slot (GMAP_EFAULT). Each page comes once: of two
 * calls for a page one fills it, and a store of the guest's after that is safe from the other. GMAP_EEXIST: a page was there, or
 * another thread is just bringing it; it is left alone, the others have come. GMAP_ENOMEM, GMAP_EFAULT (the kernel refuses: the
 * memory was unmapped): the pages before that one have come, the others may be brought again. data is not part of the slot. Any
 * thread, inside too. */
GMAP_API gmap_status gmap_backing_provide(uint64_t backing, uint64_t guest_addr, const void *data, uint64_t size);

#define GMAP_WANTED_AGAIN 1u /* also what was handed out before and has not come: after a connection broke */

/* Pages that somebody waits for: their guest addresses, each once, up to capacity (1 or more); *count says how many. Waits up to
 * timeout_ns if there is none: GMAP_OK and 0. Some thread has to call it, or nobody's page is ever asked for. Any number of threads.
 * GMAP_EDEADLK: inside. GMAP_EIO: the descriptor was closed. GMAP_EINVAL: a null pointer, an unknown flag. */
GMAP_API gmap_status gmap_backing_wanted(uint64_t backing, uint64_t timeout_ns, uint32_t flags, uint64_t *guest_addrs,
                                         uint64_t capacity, uint64_t *count);

/* Wants a page, and waits up to timeout_ns until it is there. GMAP_ETIMEDOUT: it is not. GMAP_EDEADLK: inside. GMAP_EFAULT: not
 * in the slot. */
GMAP_API gmap_status gmap_backing_wait(uint64_t backing, uint64_t guest_addr, uint64_t timeout_ns);

/* Which of n pages from first_page on have not come: bits as gmap_dirty_get's (bitmap may be NULL), *missing (may be NULL) how many.
 * What two sides exchange after a connection broke. GMAP_EINVAL: not in the slot. */
GMAP_API gmap_status gmap_backing_missing(uint64_t backing, uint64_t first_page, uint64_t n, uint64_t *bitmap, uint64_t *missing);

/* [WAITS] Collects the last dirty pages into the slot's log, unregisters the memory and returns the slot to the tables.
 * GMAP_ETIMEDOUT: detached, but readers did not leave: every page counts as dirty. GMAP_EFAULT: detached, but the
 * kernel cannot tell any more (see gmap_backing_attach): every page counts as dirty. GMAP_EBUSY: pages are missing still: bring
 * them, or delete the slot; threads that the kernel has stopped read zeros then: end them first. */
GMAP_API gmap_status gmap_backing_detach(uint64_t backing);

#ifdef __cplusplus
}
#endif

#endif /* GMAP_H */
