/* SPDX-License-Identifier: MIT
 *
 * crash.c - a walk through a freed table, which the check flavour poisons, ends in addresses that nobody has. Our
 * handler comes after the runtime's and hands on what is not ours, as the header's process contract asks. */
#include "litmus.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

extern const char __executable_start, etext;

static world *watched;
static struct sigaction previous;

static uintptr_t place_of(void *context) {
#if defined(__x86_64__)
  return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#else
  return (uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#endif
}

static void crashed(int signal, siginfo_t *info, void *context) {
  uintptr_t place = place_of(context);
  if (place >= (uintptr_t)&__executable_start && place < (uintptr_t)&etext)
    violation(watched, "touched a freed table: the header or its user stumbled at program address 0x%llx over %p",
              (unsigned long long)(place - (uintptr_t)&__executable_start), info->si_addr);
  if (previous.sa_flags & SA_SIGINFO) previous.sa_sigaction(signal, info, context);
  else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) previous.sa_handler(signal);
  else sigaction(signal, &previous, NULL); /* it happens again, with the usual end */
}

void catch_crashes(world *w) {
  struct sigaction ours;
  memset(&ours, 0, sizeof ours);
  watched = w;
  ours.sa_sigaction = crashed;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  demand(w, gmap_runtime_init(), "gmap_runtime_init");
  sigaction(SIGSEGV, &ours, &previous);
}
