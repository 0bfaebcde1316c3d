// SPDX-License-Identifier: MIT
//
// cpp_host.cpp - the life of a host in C++17: both headers as C++, handles owned by objects, exact dirty pages over 1
// MB leaves.
#include "fixture.h"

#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace {

// Owns a handle; what closes it is part of its type.
template <gmap_status (*Close)(uint64_t)>
class handle {
 public:
  handle() = default;
  handle(const handle &) = delete;
  handle &operator=(const handle &) = delete;
  handle(handle &&other) noexcept : value_(std::exchange(other.value_, 0)) {}
  ~handle() {
    if (value_ != 0) CHECK_OK(Close(value_));
  }
  uint64_t *out() { return &value_; }
  operator uint64_t() const { return value_; }

 private:
  uint64_t value_ = 0;
};

struct guest {
  static constexpr uint64_t size = 16 * MIB, base = 3072 * MIB;
  std::unique_ptr<unsigned char, void (*)(unsigned char *)> memory{guest_memory(size),
                                                                   [](unsigned char *p) { munmap(p, size); }};
  handle<gmap_engine_destroy> engine;
  handle<gmap_space_destroy> space;
  handle<gmap_vcpu_close> vcpu;
  gmap_view *view = nullptr;

  guest() {
    gmap_space_config config = space_config(4096 * MIB - 1); // a region-third table on top
    REQUIRE_OK(gmap_engine_create(nullptr, engine.out()));
    REQUIRE_OK(gmap_space_create(engine, &config, space.out()));
    REQUIRE_OK(set_slot(space, SLOT, GMAP_SLOT_LOG_DIRTY, base, size, memory.get()));
    REQUIRE_OK(open_vcpu(space, GMAP_INLINE_VERSION, vcpu.out(), &view));
  }

  template <typename T>
  void store(uint64_t at, const T &value) {
    void *host = nullptr;
    gmap_enter(view);
    if (CHECK_OK(gmap_store_resolve(view, base + at, sizeof value, &host, nullptr)))
      std::memcpy(host, &value, sizeof value);
    gmap_leave(view);
  }

  std::vector<uint64_t> harvest() {
    std::array<uint64_t, size / PAGE / 64> bitmap{};
    std::vector<uint64_t> pages;
    uint64_t dirty = 0;
    CHECK_OK(gmap_dirty_harvest(space, SLOT, 0, size / PAGE, 0, bitmap.data(), bitmap.size(), &dirty));
    for (uint64_t page = 0; page < size / PAGE; page++)
      if (page_is_dirty(bitmap.data(), page)) pages.push_back(page);
    CHECK_EQUAL(dirty, pages.size());
    return pages;
  }
};

} // namespace

int main() {
  guest g;
  g.store(5 * MIB + 37 * PAGE, uint64_t{0x0123456789ABCDEF});
  g.store(5 * MIB + 38 * PAGE - 2, uint32_t{0xDEADBEEF}); // both sides of a page
  CHECK(g.harvest() == (std::vector<uint64_t>{5 * 256 + 37, 5 * 256 + 38}));
  CHECK(g.harvest().empty());
  g.store(5 * MIB + 39 * PAGE, 'x'); // a clean page of a split segment: no call
  const gmap_space_stats stats = space_stats(g.space);
  CHECK_EQUAL(stats.splits, 1);
  CHECK(g.harvest() == std::vector<uint64_t>{5 * 256 + 39});
  CHECK_EQUAL(g.memory.get()[5 * MIB + 39 * PAGE], 'x');
  return check_done("cpp_host");
}
