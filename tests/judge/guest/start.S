/* SPDX-License-Identifier: MIT
 * The judge's guest, assembly part: the entry point, the "try it" primitive
 * that runs a few instructions under a given PSW and comes back by SVC or by
 * program interruption, and the few instructions it is used with.
 *
 * Absolute 0x0000-0x1fff is the prefix area (the prefix register stays 0).
 */

	/* prefix-area locations, z/Architecture mode */
	.set	PGM_ILC,  0x8d
	.set	PGM_CODE, 0x8e
	.set	TEID,     0xa8
	.set	NEW_EXT,  0x1b0
	.set	NEW_SVC,  0x1c0
	.set	NEW_PGM,  0x1d0
	.set	NEW_MCK,  0x1e0
	.set	NEW_IO,   0x1f0

	.section .text.start, "ax"
	.globl	_start
_start:
	lhi	%r1, 1			/* z/Architecture mode: QEMU is there     */
	lhi	%r2, 0			/* already, a machine started by RESTART  */
	sigp	%r1, %r2, 0x12		/* may not be                             */
	sam64
	larl	%r15, stack_top
	aghi	%r15, -160
	larl	%r1, psw_bad
	lmg	%r2, %r3, 0(%r1)
	lghi	%r1, 0
	stmg	%r2, %r3, NEW_EXT(%r1)	/* nothing is expected before go() arms   */
	stmg	%r2, %r3, NEW_SVC(%r1)	/* SVC and program: stop                  */
	stmg	%r2, %r3, NEW_PGM(%r1)
	stmg	%r2, %r3, NEW_MCK(%r1)
	stmg	%r2, %r3, NEW_IO(%r1)
	brasl	%r14, judge
	larl	%r1, psw_done
	lpswe	0(%r1)

/*
 * u64 go(u64 psw_mask, u64 psw_addr, struct io *io)
 *
 * Loads %r2 from io->addr and %r4 from io->val, then the PSW. What runs
 * there ends with SVC, or a program interruption ends it. Returns 0 after
 * SVC, else the program-interruption code, and fills io: val (%r4),
 * cc (%r5 as IPM left it), teid, ilc.
 */
	.globl	go
go:
	stmg	%r6, %r15, 48(%r15)
	larl	%r1, frame
	stg	%r15, 0(%r1)
	stg	%r4, 8(%r1)
	stg	%r2, 16(%r1)
	stg	%r3, 24(%r1)
	lghi	%r3, 0
	stg	%r3, TEID(%r3)
	larl	%r5, psw_back
	lmg	%r6, %r9, 0(%r5)
	stmg	%r6, %r7, NEW_SVC(%r3)
	stmg	%r8, %r9, NEW_PGM(%r3)
	lg	%r2, 0(%r4)
	lg	%r4, 8(%r4)
	lghi	%r5, 0
	lpswe	16(%r1)

back_svc:
	lghi	%r2, 0
	j	back
back_pgm:
	lghi	%r3, 0
	llgh	%r2, PGM_CODE(%r3)
back:
	larl	%r1, frame
	lg	%r3, 8(%r1)
	stg	%r4, 8(%r3)
	stg	%r5, 16(%r3)
	lghi	%r5, 0
	lg	%r4, TEID(%r5)
	stg	%r4, 24(%r3)
	llgc	%r4, PGM_ILC(%r5)
	stg	%r4, 32(%r3)
	larl	%r4, psw_bad
	lmg	%r6, %r7, 0(%r4)
	stmg	%r6, %r7, NEW_SVC(%r5)
	stmg	%r6, %r7, NEW_PGM(%r5)
	lg	%r15, 0(%r1)
	lmg	%r6, %r15, 48(%r15)
	br	%r14

/* What go() is used with. Position independent; %r2 address, %r4 value. */
	.balign	8
	.globl	try_load
try_load:				/* 8 bytes */
	lg	%r4, 0(%r2)
	svc	0
	.globl	try_store
try_store:				/* 8 bytes */
	stg	%r4, 0(%r2)
	svc	0
	.globl	try_lra
try_lra:
	lrag	%r4, 0(%r2)
	ipm	%r5
	svc	0
	.globl	try_sske
try_sske:
	sske	%r4, %r2
	svc	0
	.globl	try_iske
try_iske:
	iske	%r4, %r2
	svc	0

	.section .data, "aw"
	.balign	16
psw_bad:	.quad	0x0002000180000000, 0x00000000bad00000	/* disabled wait */
psw_done:	.quad	0x0002000180000000, 0x0000000000000fff	/* QEMU: clean exit */
psw_back:	.quad	0x0000000180000000, back_svc
		.quad	0x0000000180000000, back_pgm
frame:		.quad	0, 0, 0, 0	/* stack, io, PSW mask, PSW address */

	.section .bss, "aw", @nobits
	.balign	16
	.skip	8192
stack_top:
