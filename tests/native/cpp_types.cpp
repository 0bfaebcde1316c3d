// SPDX-License-Identifier: MIT
//
// cpp_types.cpp - gmap.hpp: who owns what, results, sections, ranges over runs, epochs that abort
// themselves.
#include "fixture.h"
#include "gmap.hpp"

#include <array>
#include <type_traits>

namespace {

constexpr std::uint64_t size = 16 * MIB, pages = size / PAGE;

// Every type moves and does not copy; a result of one, too.
template <class T> constexpr bool owns =
    std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> && !std::is_copy_constructible_v<T> &&
    !std::is_copy_assignable_v<T> && std::is_nothrow_default_constructible_v<T>;
static_assert(owns<gmap::engine> && owns<gmap::space> && owns<gmap::vcpu> && owns<gmap::consumer> && owns<gmap::snapshot> &&
              owns<gmap::notifier> && owns<gmap::backing> && owns<gmap::shadow>);
static_assert(!std::is_copy_constructible_v<gmap::section> && !std::is_move_constructible_v<gmap::section>);
static_assert(!std::is_convertible_v<gmap::status, bool> && !std::is_convertible_v<gmap::engine, bool>);

struct guest {
  unsigned char *memory = guest_memory(size);
  gmap::engine engine = *gmap::engine::create();
  gmap::space space = *gmap::space::create(engine, 1024 * MIB - 1);
  gmap::vcpu vcpu;

  guest() {
    CHECK_OK(space.set_slot(gmap::slot(SLOT, 0, size, memory, GMAP_SLOT_LOG_DIRTY)).value());
    gmap::result<gmap::vcpu> opened = gmap::vcpu::open(space);
    REQUIRE(opened);
    vcpu = std::move(*opened);
  }
  ~guest() { munmap(memory, size); }

  template <class T> void store(std::uint64_t at, T value) {
    gmap::section inside(vcpu);
    gmap::result<T *> where = inside.store<T>(at);
    if (CHECK(where)) **where = value;
  }
};

template <class Runs> std::uint64_t count(Runs &&runs) {
  std::uint64_t found = 0;
  for (const gmap_range &run : runs) found += run.count;
  CHECK_OK(runs.outcome().value());
  return found;
}

void handles() {
  gmap::engine none;
  CHECK(!none && none.get() == 0);
  CHECK_OK(none.close().value());
  CHECK_STATUS(gmap::space::create(none, 4095).status().value(), GMAP_EBADF);
  CHECK(!*gmap::space::create(none, 4095));

  gmap::engine engine = *gmap::engine::create();
  gmap::space space = *gmap::space::create(engine, 4095);
  CHECK_STATUS(engine.close().value(), GMAP_EBUSY);
  CHECK(engine); // refused, so it is still ours
  std::uint64_t number = space.get();
  gmap::space moved = std::move(space);
  CHECK(!space && moved.get() == number);
  moved = gmap::space(); // ends what it had
  CHECK_STATUS(gmap_space_destroy(number), GMAP_EBADF);
  CHECK_OK(engine.close().value());
  CHECK(!engine);

  auto config = gmap::make<gmap_engine_config>();
  config.arena_bytes = 1;
  gmap::result<gmap::engine> refused = gmap::engine::create(config);
  CHECK(!refused && refused.status().is_error() && !refused.status().is_guest_condition());
  CHECK(refused.status() == GMAP_EINVAL && *refused.status().message() != '\0');

  gmap::engine kept = *gmap::engine::create();
  std::uint64_t released = kept.release();
  CHECK(!kept);
  CHECK_OK(gmap_engine_destroy(released));
}

void accesses() {
  guest g;
  g.store<std::uint64_t>(3 * PAGE, 42);
  {
    gmap::section inside(g.vcpu);
    auto word = inside.load<std::uint64_t>(3 * PAGE);
    CHECK(word && **word == 42);
    auto hole = inside.load<int>(2 * size);
    CHECK(!hole && hole.status().is_guest_condition() && *hole == nullptr);
    CHECK_EQUAL(inside.fault().reason, GMAP_REASON_NO_SLOT);
    CHECK(!inside.again());
  }
  std::uint32_t number = 7;
  CHECK_OK(g.space.write(PAGE, &number, sizeof number).value());
  number = 0;
  CHECK_OK(g.space.read(PAGE, &number, sizeof number).value());
  CHECK_EQUAL(number, 7);
  CHECK_OK(g.space.protect(PAGE, PAGE, GMAP_PROT_READ).value());
  gmap::result<gmap_fault_result> refused = g.vcpu.fault(PAGE, GMAP_ACCESS_WRITE);
  gmap_leave(g.vcpu.view());
  CHECK_STATUS(refused.status().value(), GMAP_PIC_PROTECTION);
  CHECK_EQUAL(refused->reason, GMAP_REASON_PROTECTED);
  CHECK(g.space.translate(3 * PAGE, GMAP_ACCESS_READ));
  CHECK_EQUAL(g.space.age(0, size).value_or(0), 256);
  CHECK_OK(g.space.unmap(0, size).value());
  CHECK(!g.space.translate(3 * PAGE, GMAP_ACCESS_READ));
  CHECK_OK(g.space.populate(0, MIB, GMAP_ACCESS_READ).value());
  CHECK_OK(g.space.discard(MIB, MIB).value());
  CHECK(g.space.collapse(0, size) && g.vcpu.rate() && g.space.dirty_rate(SLOT) && g.engine.stats());
  CHECK_EQUAL(g.space.stats()->vcpus, 1);
}

void runs() {
  guest g;
  for (std::uint64_t page = 0; page < 200; page += 2) g.store(page * PAGE, 'x'); // more runs than one fetch has
  std::uint64_t expected = 0;
  for (gmap_range run : g.space.harvest(SLOT, 0, pages)) {
    CHECK_EQUAL(run.first_page, expected);
    CHECK_EQUAL(run.count, 1);
    expected += 2;
  }
  CHECK_EQUAL(expected, 200);
  CHECK_EQUAL(count(g.space.harvest(SLOT, 0, pages)), 0);

  for (std::uint64_t page = 0; page < 200; page += 2) g.store(page * PAGE, 'y');
  std::uint64_t first = 0;
  for (gmap_range run : g.space.harvest(SLOT, 0, pages)) {
    first += run.count;
    break; // what was not fetched stays dirty
  }
  CHECK_EQUAL(first, 1);
  CHECK_EQUAL(count(g.space.harvest(SLOT, 0, pages)), 100 - 64);

  auto wrong = g.space.harvest(SLOT + 1, 0, pages);
  for (gmap_range run : wrong) CHECK_EQUAL(run.count, 0); // nothing comes
  CHECK_STATUS(wrong.outcome().value(), GMAP_ENOENT);

  std::array<std::uint64_t, pages / 64> bitmap{};
  g.store(9 * PAGE, 'z');
  CHECK_EQUAL(*g.space.harvest(SLOT, 0, pages, bitmap.data(), bitmap.size()), 1);
  CHECK(page_is_dirty(bitmap.data(), 9));
}

void epochs() {
  guest g;
  gmap::consumer consumer = *gmap::consumer::open(g.space);
  g.store(PAGE, 'a');
  {
    gmap::epoch epoch = consumer.begin();
    REQUIRE(epoch);
    CHECK_EQUAL(epoch.info().dirty_pages, 1);
    CHECK_STATUS(consumer.begin().status().value(), GMAP_EBUSY); // which ends nothing
    CHECK_EQUAL(count(epoch), 1);
  } // not committed: aborted
  g.store(5 * PAGE, 'b');
  {
    gmap::epoch epoch = consumer.begin();
    CHECK_EQUAL(count(epoch), 2);
    CHECK_OK(epoch.commit().value());
    CHECK(!epoch);
    CHECK_STATUS(epoch.commit().value(), GMAP_EINVAL);
  }
  std::uint64_t bit = 1;
  CHECK_OK(consumer.redirty(SLOT, 64, 1, &bit).value());
  gmap::epoch last = consumer.begin();
  for (gmap_range run : last) CHECK_EQUAL(run.first_page, 64);
  CHECK_OK(last.abort().value());
}

void others() {
  guest g;
  g.store<int>(0, 1);
  gmap::snapshot snapshot = *gmap::snapshot::take(g.space);
  g.store<int>(0, 2);
  CHECK_EQUAL(*snapshot.verify(), 1);
  CHECK_EQUAL(*snapshot.restore(), 1);
  CHECK_EQUAL(*snapshot.verify(), 0);
  CHECK_OK(snapshot.close().value());

  std::uint64_t told = 0;
  auto hears = [&told](std::uint64_t, std::uint64_t first, std::uint64_t last, std::uint32_t kind) {
    told = kind == GMAP_NOTIFY_WRITE ? last - first + 1 : 0;
  };
  gmap::notifier notifier = *gmap::notifier::open(g.space, GMAP_NOTIFY_WRITE, hears);
  CHECK_OK(g.space.protect(2 * PAGE, PAGE, GMAP_PROT_READ | GMAP_PROT_WRITE, GMAP_NOTIFY_WRITE).value());
  g.store(2 * PAGE, 'n');
  CHECK_EQUAL(told, PAGE);
  CHECK_OK(notifier.close().value());

  gmap::shadow shadow = *gmap::shadow::open(g.space, 0x20, GMAP_EDAT_1); // real space: its addresses are the guest's
  CHECK_OK(shadow.is_valid(0x20, GMAP_EDAT_1).value());
  {
    gmap::vcpu inner = *gmap::vcpu::open(shadow);
    gmap::section inside(inner);
    auto word = inside.load<int>(0);
    CHECK(word && **word == 1);
  }
  gmap::shadow again = *gmap::shadow::open(g.space, 0x20, GMAP_EDAT_1);
  CHECK_EQUAL(again.get(), shadow.get());

  gmap::result<gmap::backing> backing = gmap::backing::attach(g.space, SLOT + 1, GMAP_BACKING_MISSING);
  CHECK_STATUS(backing.status().value(), GMAP_ENOENT);
  CHECK(!*backing && !backing->fd() && !backing->service(0) && !backing->provide(0, nullptr, PAGE));
}

} // namespace

int main() {
  handles();
  accesses();
  runs();
  epochs();
  others();
  return check_done("cpp_types");
}
