// SPDX-License-Identifier: MIT
//
// crt.cpp - a stand-in for the C runtime that Microsoft's linker adds to a DLL (libcmt, vcruntime), as far as NativeAOT's runtime
// library asks for it: so that a DLL can be linked where there is no Visual C++, and tried. Never shipped. Compiled by clang for
// x86_64-pc-windows-msvc, which gives the names their Microsoft form and knows Windows' thread-local storage.

#define PUT_IN(name) __attribute__((section(name), used))

using size = unsigned long long;
using initializer = void (*)();
using tls_callback = void (*)(void *module, unsigned reason, void *reserved);

enum : unsigned { PROCESS_ATTACH = 1, THREAD_ATTACH = 2 }; // of DllMain

extern "C" {
void *malloc(size); // the universal runtime's, a part of Windows
void free(void *);
int DllMain(void *module, unsigned reason, void *reserved);

// ---- checks that a compiler puts in ----

int _fltused = 0x9875;
unsigned long long __security_cookie = 0x2B992DDFA232; // Microsoft's default; no secret is kept here
void __security_check_cookie(unsigned long long) {}
int __GSHandlerCheck() { return 1; } // ExceptionContinueSearch
[[noreturn]] void __report_rangecheckfailure() { __builtin_trap(); }
[[noreturn]] int _purecall() { __builtin_trap(); }
int atexit(initializer) { return 0; } // the library stays until the process ends

// Calls by a pointer, unchecked: no control-flow guard.
void jump_to_target();
asm(".text\n.globl jump_to_target\njump_to_target:\n  jmp *%rax\n");
initializer __guard_dispatch_icall_fptr = jump_to_target;

// ---- memory ----

void *memcpy(void *to, const void *from, size n) {
  void *at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
  return to;
}

void *memset(void *to, int byte, size n) {
  void *at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(byte) : "memory");
  return to;
}

void *memmove(void *to, const void *from, size n) {
  auto *target = static_cast<unsigned char *>(to);
  auto *source = static_cast<const unsigned char *>(from);
  if (static_cast<size>(target - source) >= n) return memcpy(to, from, n);
  while (n-- != 0) {
    target[n] = source[n];
    asm volatile("" ::: "memory"); // not a call of memmove
  }
  return to;
}

int memcmp(const void *a, const void *b, size n) {
  auto *left = static_cast<const unsigned char *>(a), *right = static_cast<const unsigned char *>(b);
  for (; n != 0; n--, left++, right++) {
    if (*left != *right) return *left - *right;
    asm volatile("" ::: "memory");
  }
  return 0;
}

const char *strstr(const char *text, const char *part) {
  for (;; text++) {
    size i = 0;
    while (part[i] != 0 && text[i] == part[i]) i++;
    if (part[i] == 0) return text;
    if (*text == 0) return nullptr;
  }
}

const wchar_t *wcsrchr(const wchar_t *text, wchar_t letter) {
  const wchar_t *last = nullptr;
  for (;; text++) {
    if (*text == letter) last = text;
    if (*text == 0) return last;
  }
}

// ---- thread-local storage, and what runs when a module or a thread begins: lists that the linker sorts by name ----

unsigned _tls_index;
PUT_IN(".tls") char _tls_start = 0;
PUT_IN(".tls$ZZZ") char _tls_end = 0;
PUT_IN(".CRT$XIA") int (*__xi_a)() = nullptr; // C's initializers, which may fail
PUT_IN(".CRT$XIZ") int (*__xi_z)() = nullptr;
PUT_IN(".CRT$XCA") initializer __xc_a = nullptr; // C++'s
PUT_IN(".CRT$XCZ") initializer __xc_z = nullptr;
PUT_IN(".CRT$XDA") initializer __xd_a = nullptr; // a thread's
PUT_IN(".CRT$XDZ") initializer __xd_z = nullptr;
PUT_IN(".CRT$XLA") tls_callback __xl_a = nullptr;
PUT_IN(".CRT$XLZ") tls_callback __xl_z = nullptr;

__declspec(thread) bool __tls_guard = false;

void __dyn_tls_on_demand_init() {
  if (__tls_guard) return;
  __tls_guard = true;
  for (initializer *one = &__xd_a + 1; one < &__xd_z; one++)
    if (*one) (*one)();
}

void __dyn_tls_init(void *, unsigned reason, void *) {
  if (reason == PROCESS_ATTACH || reason == THREAD_ATTACH) __dyn_tls_on_demand_init();
}
PUT_IN(".CRT$XLC") tls_callback __xl_c = __dyn_tls_init;

// IMAGE_TLS_DIRECTORY64, which the linker finds by its name.
struct tls_directory {
  char *start, *end;
  unsigned *index;
  tls_callback *callbacks;
  unsigned zeroes, characteristics;
};
extern const tls_directory _tls_used = {&_tls_start, &_tls_end, &_tls_index, &__xl_a + 1, 0, 0};

int _DllMainCRTStartup(void *module, unsigned reason, void *reserved) {
  if (reason == PROCESS_ATTACH) {
    for (int (**one)() = &__xi_a + 1; one < &__xi_z; one++)
      if (*one && (*one)() != 0) return 0;
    for (initializer *one = &__xc_a + 1; one < &__xc_z; one++)
      if (*one) (*one)();
  }
  return DllMain(module, reason, reserved);
}
} // extern "C"

// ---- new and delete ----

namespace std {
struct nothrow_t {};
extern const nothrow_t nothrow{};
} // namespace std

void *operator new(size n, const std::nothrow_t &) noexcept { return malloc(n); }
void *operator new[](size n, const std::nothrow_t &) noexcept { return malloc(n); }
void operator delete[](void *memory) noexcept { free(memory); }
void operator delete(void *memory, size) noexcept { free(memory); }
