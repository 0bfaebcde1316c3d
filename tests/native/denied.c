/* SPDX-License-Identifier: MIT
 *
 * denied.c - kernels without what the engine asks for, made by a seccomp filter: no userfaultfd, no asynchronous
 * write-protect, no PAGEMAP_SCAN, no membarrier. The documented answer comes, the log callback names the way out, and
 * the engine works without. One that is taken away later, membarrier, is told by the calls that need it.
 * usage: denied WHAT */
#include "fixture.h"
#include "sandbox.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#define PAGEMAP_SCAN_REQUEST 0xC0606610u

static char told[512];
static int times_told;

static void on_log(void *user, int32_t level, const char *message) {
  CHECK(user == told);
  CHECK_EQUAL(level, GMAP_LOG_ERROR);
  snprintf(told, sizeof told, "%s", message);
  times_told++;
}

/* What is dirty is found without the facility all the same. */
static void still_works(uint64_t space, const char *what) {
  static uint64_t bitmap[16 * 256 / 64];
  uint64_t dirty = 0, vcpu, backing = 7;
  gmap_view *view;
  void *host;
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is, .inline_version = GMAP_INLINE_VERSION};
  gmap_backing_config backing_is = {.struct_size = sizeof backing_is, .kind = GMAP_BACKING_USERFAULTFD_ASYNC};
  gmap_status expected = strcmp(what, "refused") == 0 ? GMAP_EPERM : GMAP_EOPNOTSUPP;
  REQUIRE_OK(gmap_vcpu_open(space, &vcpu_is, &vcpu, &view));
  if (strcmp(what, "membarrier") == 0) {
    CHECK_EQUAL(view->need_fence, 1);
    CHECK_EQUAL(gmap_features() & GMAP_FEATURE_MEMBARRIER, 0);
  } else {
    CHECK_STATUS(gmap_backing_attach(space, SLOT, &backing_is, &backing), expected);
    CHECK_EQUAL(backing, 7);
    CHECK_EQUAL(times_told, 1);
    CHECK(strstr(told, "gmap_mark_dirty") != NULL); /* the way out */
    CHECK_EQUAL(gmap_features() & GMAP_FEATURE_USERFAULTFD_ASYNC, 0);
    if (strcmp(what, "refused") == 0) CHECK_EQUAL(gmap_features() & GMAP_FEATURE_USERFAULTFD_SYNC, 0);
  }
  gmap_enter(view);
  CHECK_OK(gmap_store_resolve(view, GUEST + 9 * PAGE, 8, &host, NULL));
  gmap_leave(view);
  CHECK_OK(gmap_dirty_harvest(space, SLOT, 0, 16 * 256, 0, bitmap, sizeof bitmap / 8, &dirty));
  CHECK_EQUAL(dirty, 1);
  CHECK_EQUAL(bitmap[0], 1u << 9);
  CHECK_OK(gmap_vcpu_close(vcpu));
}

/* Enter and leave are plain stores, and the other half is refused from now on: nothing can be promised. */
static void without_the_other_half(uint64_t space) {
  uint64_t bitmap[16 * 256 / 64], dirty = 0, vcpu;
  gmap_view *view;
  gmap_vcpu_config vcpu_is = {.struct_size = sizeof vcpu_is, .inline_version = GMAP_INLINE_VERSION};
  if (!(gmap_features() & GMAP_FEATURE_MEMBARRIER)) skip("membarrier");
  REQUIRE_OK(gmap_vcpu_open(space, &vcpu_is, &vcpu, &view));
  CHECK_OK(store8(view, GUEST + 9 * PAGE, 1, NULL));
  gmap_leave(view);
  sandbox_deny(SYS_membarrier, EPERM);
  memset(bitmap, 0, sizeof bitmap);
  CHECK_STATUS(gmap_dirty_harvest(space, SLOT, 0, 16 * 256, 0, bitmap, sizeof bitmap / 8, &dirty), GMAP_EPERM);
  CHECK_EQUAL(bitmap[0], 0);
  CHECK_STATUS(gmap_unmap(space, GUEST, MIB, 0, NULL), GMAP_EPERM);
  CHECK_OK(gmap_dirty_get(space, SLOT, 0, 16 * 256, 0, bitmap, &dirty));
  CHECK_EQUAL(dirty, 1); /* nothing is lost */
  CHECK_EQUAL(bitmap[0], 1u << 9);
  CHECK_OK(gmap_vcpu_close(vcpu));
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  gmap_engine_config engine_is = {.struct_size = sizeof engine_is, .log = on_log, .user = told};
  gmap_space_config space_is = space_config(GUEST + 16 * MIB - 1);
  uint64_t engine, space;
  if (strcmp(what, "userfaultfd") == 0)
    sandbox_deny(SYS_userfaultfd, ENOSYS);
  else if (strcmp(what, "refused") == 0)
    sandbox_deny(SYS_userfaultfd, EPERM);
  else if (strcmp(what, "async") == 0)
    sandbox_deny_where(SYS_ioctl, 1, (uint32_t)UFFDIO_API, EINVAL);
  else if (strcmp(what, "scan") == 0)
    sandbox_deny_where(SYS_ioctl, 1, PAGEMAP_SCAN_REQUEST, ENOTTY);
  else if (strcmp(what, "membarrier") == 0)
    sandbox_deny(SYS_membarrier, ENOSYS);
  else if (strcmp(what, "later") != 0)
    REQUIRE(!"usage: denied userfaultfd|refused|async|scan|membarrier|later");
  REQUIRE_OK(gmap_engine_create(&engine_is, &engine));
  REQUIRE_OK(gmap_space_create(engine, &space_is, &space));
  REQUIRE_OK(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, GUEST, 16 * MIB, guest_memory(16 * MIB)));
  if (strcmp(what, "later") == 0) without_the_other_half(space);
  else still_works(space, what);
  CHECK_OK(gmap_space_destroy(space));
  CHECK_OK(gmap_engine_destroy(engine));
  return check_done("denied");
}
