/* SPDX-License-Identifier: MIT
 * The virtual machine as a guest of the migration (guest.h). */
#ifndef VMGUEST_H
#define VMGUEST_H

#include "guest.h"
#include "vm.h"

#define VMGUEST_FOREVER (1ull << 62) /* steps: it does not end by itself */

/* Which of KVM's logs is on, for virtual machines made from here on; none at first. */
void vmguest_use_log(enum vm_log log);
struct vm *vmguest_vm(const struct guest *guest);
/* How many pages the guest found that were not as it had left them. */
uint64_t vmguest_wrong(const struct guest *guest);
/* A digest of all partitions after the last step, from a plain C run on ordinary memory. */
int vmguest_answer(const struct guest_header *header, uint64_t *answer);

#endif
