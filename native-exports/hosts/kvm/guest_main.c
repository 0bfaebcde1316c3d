/* SPDX-License-Identifier: MIT
 * The guest: 64-bit code in ring 3, linked to GUEST_CODE, entered once by each vCPU. It uses no library, no data section and no
 * floating point but xmm7, in which it carries its chain: so the vCPU's vector registers have to arrive, too. */
#include "guest_program.h"
#include "layout.h"

static inline void out(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

static inline void chain_add(uint64_t value) {
  uint64_t chain;
  __asm__ volatile("movq %%xmm7, %0" : "=r"(chain));
  __asm__ volatile("movq %0, %%xmm7" : : "r"(program_mix(chain ^ value)));
}

static inline uint64_t chain_get(void) {
  uint64_t chain;
  __asm__ volatile("movq %%xmm7, %0" : "=r"(chain));
  return chain;
}

static void print(const char *text) {
  while (*text) out(PORT_SERIAL, (uint8_t)*text++);
}

static void print_number(uint64_t value) {
  char digits[21], *at = digits + 20;
  *at = 0;
  do *--at = (char)('0' + value % 10);
  while (value /= 10);
  print(at);
}

/* One line at a time, from whichever vCPU. */
static void say(volatile uint32_t *lock, uint64_t cpu, const char *what, uint64_t value) {
  while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE)) __asm__ volatile("pause");
  print("cpu ");
  print_number(cpu);
  print(what);
  print_number(value);
  print("\n");
  __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

__attribute__((section(".text.start"), noreturn)) void guest_start(uint64_t cpu, const struct boot *boot);

void guest_start(uint64_t cpu, const struct boot *boot) {
  struct program p = program_at((uint8_t *)boot->partitions + cpu * boot->partition, boot->partition, boot->seed + cpu,
                                (const volatile uint64_t *)boot->round);
  volatile uint64_t *control = (volatile uint64_t *)p.control;
  volatile uint32_t *lock = (volatile uint32_t *)boot->lock;
  uint64_t steps = boot->steps, told = 0;
  for (uint64_t step = 0; step < steps;) {
    for (unsigned i = 0; i < PROGRAM_BATCH; i++, step++) chain_add(program_step(&p, step));
    control[CONTROL_STEP] = step;
    control[CONTROL_CHAIN] = chain_get();
    out(PORT_DOORBELL, (uint8_t)cpu);
    if (control[CONTROL_WRONG] != told) say(lock, cpu, " finds a page that is not as it was left: ", control[CONTROL_WRONG_PAGE]);
    told = control[CONTROL_WRONG];
    if (step % 0x2000 == 0) say(lock, cpu, " at step ", step);
  }
  say(lock, cpu, " done after ", steps);
  for (;;) out(PORT_DONE, (uint8_t)cpu);
}
