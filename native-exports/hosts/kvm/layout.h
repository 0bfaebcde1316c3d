/* SPDX-License-Identifier: MIT
 * Guest memory below 1 MB, and the ports. Guest addresses are guest-physical addresses: its page tables map each page to
 * itself. Above 1 MB: one partition a vCPU (guest_program.h). Shared with the guest's code, so nothing of the VMM is in here. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <stdint.h>

#define GUEST_CPUS 2u

#define GUEST_HEADER 0x0u     /* struct guest_header of the migration */
#define GUEST_BOOT 0x1000u    /* struct boot */
#define GUEST_ROUND 0x2000u   /* the number of the round: stored by the VMM while the guest is there */
#define GUEST_LOCK 0x3000u    /* of the serial port */
#define GUEST_TABLES 0x8000u  /* top, third and second level, one page each; then */
#define GUEST_PTES 0x40000u   /* the page tables: one for 2 MB */
#define GUEST_CODE 0x10000u
#define GUEST_STACKS 0x20000u /* one page a vCPU, growing down to it */
#define GUEST_LOW 0x100000u
#define GUEST_MOST (256ull << 20) /* the page tables end below GUEST_LOW */

#define PORT_SERIAL 0x3F8u
#define PORT_SERIAL_STATUS 0x3FDu
#define PORT_DOORBELL 0x3FFu  /* the serial port's scratch register: rung after each batch of steps */
#define PORT_DONE 0xF4u

struct boot {
  uint64_t partitions, partition; /* address of the first, bytes of one */
  uint64_t steps;                 /* of each vCPU, a multiple of PROGRAM_BATCH */
  uint64_t seed, round, lock;
};

#endif
