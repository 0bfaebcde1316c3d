/* SPDX-License-Identifier: MIT
 * The judge's guest, C part: for each record in low storage, make the
 * translation tables the current ones, let the machine translate and access,
 * and write down what happened. It never reads a table itself.
 *
 * Absolute storage:
 *   0x00000 - 0x01fff  prefix area
 *   0x02000 - 0x08fff  this program, its data and stack
 *   0x09000 - 0x0ffff  left to QEMU (a -bios file that is no ELF file)
 *   0x10000            struct params
 *   0x11000 - 0x3fffff struct rec[]
 *   0x400000 and up    the caller's: tables and frames
 *
 * How code runs while the tables under test are in use: the PSW selects
 * secondary-space mode, so data accesses translate by CR7 (the ASCE under
 * test) and instruction fetches by CR1, a real-space designation. A record
 * with a stub address instead has the two instructions copied to the frame
 * behind that virtual address, puts the ASCE in CR1 and runs them there in
 * primary-space mode; X records fetch from the address under test this way.
 */

typedef unsigned long u64;

#define MAGIC		0x444154204a554447UL	/* "DAT JUDG" */
#define PARAMS		0x10000UL
#define RECS		0x11000UL
#define RECS_END	0x400000UL

#define PSW_REAL	0x0000000180000000UL	/* 64-bit, DAT off */
#define PSW_DAT		0x0400000000000000UL
#define PSW_PRIMARY	(PSW_REAL | PSW_DAT)
#define PSW_SECONDARY	(PSW_REAL | PSW_DAT | 0x0000800000000000UL)
#define REAL_SPACE	0x20UL			/* ASCE: real-space control */
#define NONCE		0x5ca1ab1e0ddba11UL
#define SVC0		0x0a00UL		/* the instruction SVC 0 */

struct params {
	u64 magic, count, done;
	u64 stfle[3];		/* facility list, bits 0-191 */
};

struct rec {
	/* in */
	u64 op;			/* 'R', 'W' or 'X' */
	u64 vaddr, asce, cr0, stub;
	/* out */
	u64 state;		/* S_* */
	u64 code;		/* 0: access done; else program-interruption code */
	u64 teid, ilc;
	u64 lra;		/* LRAG: cc; 4: it was interrupted */
	u64 lraval;		/* LRAG: register (cc 0: the real address) */
	u64 data;		/* doubleword at the real address, before */
	u64 flags;		/* F_* */
	u64 key;		/* storage key of the frame, after */
	u64 spare[2];
};

enum { S_NONE, S_DONE, S_BADSTUB, S_OURS };	/* S_OURS: real < 4 MiB, not tried */
enum {
	F_REAL = 1,	/* the real address is known and can be accessed */
	F_SAME = 2,	/* access done, and it was this real address */
	F_KEPT = 4,	/* access not done, and storage there is unchanged */
};

struct io { u64 addr, val, cc, teid, ilc; };

extern u64 go(u64 mask, u64 addr, struct io *io);
extern char try_load[], try_store[], try_lra[], try_sske[], try_iske[];

static inline void ctl0(u64 v) { asm volatile("lctlg %%c0,%%c0,%0" :: "Q"(v) : "memory"); }
static inline void ctl1(u64 v) { asm volatile("lctlg %%c1,%%c1,%0" :: "Q"(v) : "memory"); }
static inline void ctl7(u64 v) { asm volatile("lctlg %%c7,%%c7,%0" :: "Q"(v) : "memory"); }
static inline void ptlb(void)  { asm volatile("ptlb" ::: "memory"); }

static u64 real(char *what, u64 addr, u64 *val)
{
	struct io io = { .addr = addr, .val = *val };
	u64 pgm = go(PSW_REAL, (u64)what, &io);

	*val = io.val;
	return pgm;
}

static u64 peek(u64 addr, u64 *val)
{
	*val = 0;
	return real(try_load, addr, val);
}

static u64 poke(u64 addr, u64 val)
{
	return real(try_store, addr, &val);
}

/* LRAG by the ASCE in CR7. */
static u64 lra(u64 vaddr, struct io *io)
{
	u64 pgm;

	*io = (struct io){ .addr = vaddr };
	pgm = go(PSW_SECONDARY, (u64)try_lra, io);
	return pgm ? 4 : (io->cc >> 28) & 3;
}

/* The access, with the tables in use; io->val is the value in and out. */
static u64 access(struct rec *r, char *what, struct io *io)
{
	u64 pgm;

	io->addr = r->vaddr;
	ptlb();
	if (r->op == 'X' || r->stub) {
		ctl1(r->asce);
		ptlb();
		pgm = go(PSW_PRIMARY, r->op == 'X' ? r->vaddr : r->stub, io);
		ctl1(REAL_SPACE);
		ptlb();
	} else {
		pgm = go(PSW_SECONDARY, (u64)what, io);
	}
	return pgm;
}

static void run(struct rec *r)
{
	struct io io;
	char *what = r->op == 'W' ? try_store : try_load;
	u64 real_v = 0, real_s = 0, saved_s = 0, old = 0, now = 0, key;
	u64 nonce = NONCE ^ r->vaddr, at = 0;

	ctl0(r->cr0);
	ctl1(REAL_SPACE);
	ctl7(r->asce);
	ptlb();

	r->lra = lra(r->vaddr, &io);
	r->lraval = io.val;
	if (r->lra == 0) {
		real_v = r->lraval;
		at = real_v & ~7UL;
		if (at < RECS_END) {
			r->state = S_OURS;
			return;
		}
		if (peek(at, &old) == 0) {
			r->flags |= F_REAL;
			r->data = old;
		}
	}
	if (r->stub) {
		if (lra(r->stub, &io) || io.val < RECS_END || peek(io.val, &saved_s)) {
			r->state = S_BADSTUB;
			return;
		}
		real_s = io.val;
		poke(real_s, *(u64 *)what);
	}
	if (r->op == 'X' && r->flags & F_REAL) {
		u64 shift = 48 - (real_v & 6) * 8;

		poke(at, (old & ~(0xffffUL << shift)) | SVC0 << shift);
	}
	if (r->flags & F_REAL) {
		key = 0;
		real(try_sske, at & ~0xfffUL, &key);
	}

	io.val = nonce;
	r->code = access(r, what, &io);
	r->teid = io.teid;
	r->ilc = io.ilc;

	if (r->flags & F_REAL) {
		key = 0;
		real(try_iske, at & ~0xfffUL, &key);
		r->key = key & 0xff;
		peek(at, &now);
		if (r->code) {
			if (now == old || r->op == 'X')
				r->flags |= F_KEPT;
		} else if (r->op == 'W') {
			if (now == nonce)
				r->flags |= F_SAME;
		} else if (r->op == 'R') {
			r->data = io.val;
			poke(at, nonce);
			io.val = 0;
			if (access(r, what, &io) == 0 && io.val == nonce)
				r->flags |= F_SAME;
		} else {
			r->flags |= F_SAME;
		}
		poke(at, old);
	}
	if (r->stub)
		poke(real_s, saved_s);
	r->state = S_DONE;
}

void judge(void)
{
	struct params *p = (struct params *)PARAMS;
	struct rec *r = (struct rec *)RECS;
	register u64 n asm("0") = 2;

	if (p->magic != MAGIC)
		return;
	asm volatile("stfle %1" : "+d"(n), "=Q"(p->stfle) :: "cc", "memory");
	for (; p->done < p->count && (u64)(r + 1) <= RECS_END; r++) {
		run(r);
		p->done++;
	}
}
