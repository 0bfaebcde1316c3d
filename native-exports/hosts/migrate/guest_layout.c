/* SPDX-License-Identifier: MIT
 * The guests of gmap-migrate: where everything goes in their memory, and what is believed of it on the other side. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "guest_nested.h"

#define MAGIC 0x31545345554750ull /* "PGUEST1" */
#define FIRST SEGMENT

/* Where everything goes; image_bytes is known. */
static int lay_out(struct guest_header *header, const struct options *options) {
  uint64_t image = round_up(header->image_bytes, PAGE);
  uint64_t nested = header->kind == GUEST_NESTED ? nested_overhead(header->memory) : 0;
  uint64_t least = header->kind == GUEST_SQLITE ? 31ull << 20 : nested + options->threads * 4ull * SEGMENT;
  if (image > header->memory || header->memory - image < FIRST + least)
    return complain("image and guest do not fit: the image has %llu MiB; give --memory %lluM or more",
                    (unsigned long long)(image >> 20),
                    (unsigned long long)((image + FIRST + least + SEGMENT - 1) >> 20));
  header->image_at = header->memory - image;
  if (header->kind != GUEST_SQLITE) {
    header->threads = options->threads;
    header->partition = (header->image_at - FIRST - nested) / options->threads / SEGMENT * SEGMENT;
    header->steps = options_steps(options) / options->threads + 1;
  } else {
    header->rows = options->rows;
    header->database = header->image_at - FIRST;
  }
  return DONE;
}

static int read_image(struct guest *guest, const char *path, int fd) {
  uint8_t *at = guest->machine->memory + guest->header.image_at;
  for (uint64_t done = 0; done < guest->header.image_bytes;) {
    ssize_t n = read(fd, at + done, guest->header.image_bytes - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return complain("--image %s: %s", path, n ? strerror(errno) : "became shorter while it was read");
    done += (uint64_t)n;
  }
  guest->header.image_digest = digest_pages(at, guest->header.memory - guest->header.image_at);
  return DONE;
}

static int load(struct guest *guest, const struct options *options) {
  int fd = -1, result;
  if (options->image) {
    struct stat stat;
    if ((fd = open(options->image, O_RDONLY | O_CLOEXEC)) < 0)
      return complain("--image %s: %s", options->image, strerror(errno));
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
      close(fd);
      return complain("--image %s: not a regular file", options->image);
    }
    guest->header.image_bytes = (uint64_t)stat.st_size;
  }
  result = lay_out(&guest->header, options);
  if (result == DONE && fd >= 0) result = read_image(guest, options->image, fd);
  if (fd >= 0) close(fd);
  return result;
}

bool guest_known(uint32_t kind) { return kind == GUEST_THREADS || kind == GUEST_SQLITE || kind == GUEST_NESTED; }

int guest_create(struct guest *guest, struct machine *machine, enum guest_kind kind, const struct options *options) {
  *guest = (struct guest){.ops = kind == GUEST_SQLITE ? &guest_sqlite : &guest_threads, .machine = machine};
  guest->header = (struct guest_header){.magic = MAGIC, .kind = kind, .memory = machine->size, .seed = options->seed};
  pacer_init(&guest->pacer, options_rate(options, kind), kind == GUEST_SQLITE ? 1 : options->threads);
  if (load(guest, options) != DONE) return FAILED;
  memcpy(machine->memory, &guest->header, sizeof guest->header);
  return guest->ops->prepare(guest);
}

/* The header came over the wire: nothing in it is believed before it fits. */
static bool plausible(const struct guest_header *h, const struct machine *machine, uint32_t kind) {
  if (h->magic != MAGIC || h->kind != kind || h->memory != machine->size) return false;
  if (h->image_at > h->memory || h->image_at < FIRST || h->image_at % PAGE) return false;
  if (h->image_bytes > h->memory - h->image_at) return false;
  uint64_t room = h->image_at - FIRST, nested = kind == GUEST_NESTED ? nested_overhead(h->memory) : 0;
  if (nested > room) return false;
  room -= nested;
  if (kind == GUEST_SQLITE) return h->database == room && h->rows >= 1 && h->rows <= 10000000;
  return h->threads >= 1 && h->threads <= 256 && h->partition >= 4 * SEGMENT && h->partition % SEGMENT == 0 &&
         h->partition <= room / h->threads;
}

bool guest_image_right(const struct guest *guest) {
  const struct guest_header *h = &guest->header;
  if (!h->image_bytes || digest_pages(guest->machine->memory + h->image_at, h->memory - h->image_at) == h->image_digest) return true;
  return complain("the guest's image is damaged"), false;
}

int guest_adopt(struct guest *guest, struct machine *machine, uint32_t kind, const struct guest_state *outside) {
  *guest = (struct guest){.ops = kind == GUEST_SQLITE ? &guest_sqlite : &guest_threads, .machine = machine};
  memcpy(&guest->header, machine->memory, sizeof guest->header);
  pacer_init(&guest->pacer, 0, 1);
  if (outside->size || !plausible(&guest->header, machine, kind)) return complain("the guest's header is damaged");
  if (!machine->missing && !guest_image_right(guest)) return FAILED;
  return guest->ops->adopt(guest);
}
