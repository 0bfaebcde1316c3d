// SPDX-License-Identifier: MIT
//
// gmap.hpp - GmapNative for C++17: gmap.h's handles as types that own them, its statuses as results.
//
// Header only, over gmap.h and gmap_inline.h, whose texts are the manual: what a function does, waits for and answers stands
// there, and is not repeated here. Nothing here throws, allocates or needs RTTI; -fno-exceptions -fno-rtti is fine.
//
//     auto engine = gmap::engine::create();
//     if (!engine) return complain(engine.status().message());
//     auto space = gmap::space::create(*engine, size - 1);
//     space->set_slot(gmap::slot(1, 0, size, memory, GMAP_SLOT_LOG_DIRTY));
//     auto vcpu = gmap::vcpu::open(*space);
//     {
//       gmap::section inside(*vcpu);
//       auto word = inside.store<std::uint64_t>(0x1000);                       // a result<std::uint64_t *>
//       if (word) **word = 42;
//     }
//     for (gmap_range run : space->harvest(1, 0, size / GMAP_PAGE_SIZE)) send(run.first_page, run.count);
//
// Ownership. A handle type is empty or owns one handle; it moves, and does not copy. Its destructor ends the handle; where
// the library refuses (GMAP_EBUSY: something of it is still open) the handle stays alive in the library, so destroy in the
// reverse order of creation, as members and locals do by themselves, or call close(), which says what it answers and stays
// the owner of what was refused.
//
// Threads. As for the functions below: a type is not a lock. Two threads may call const functions of one object at once.
#ifndef GMAP_HPP
#define GMAP_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <utility>

#include "gmap.h"
#include "gmap_inline.h"

namespace gmap {

// ---- Results --------------------------------------------------------------------------------------------------------

// What a call answered: done, an error (negative), or a program-interruption code for the guest (positive).
class [[nodiscard]] status {
public:
  constexpr status() noexcept = default;
  constexpr status(gmap_status value) noexcept : value_(value) {}

  constexpr explicit operator bool() const noexcept { return value_ == 0; } // done
  constexpr bool is_error() const noexcept { return value_ < 0; }
  constexpr bool is_guest_condition() const noexcept { return value_ > 0; }
  constexpr gmap_status value() const noexcept { return value_; }
  const char *message() const noexcept { return gmap_strerror(value_); }
  void ignore() const noexcept {} // said out loud

  friend constexpr bool operator==(status a, status b) noexcept { return a.value_ == b.value_; }
  friend constexpr bool operator!=(status a, status b) noexcept { return a.value_ != b.value_; }

private:
  gmap_status value_ = 0;
};

// A value, or why there is none. The value of a result that is not done is T's default: an empty handle, a null pointer.
template <class T> class [[nodiscard]] result {
public:
  result(gmap::status why) noexcept : status_(why) {}
  result(gmap::status answer, T value) noexcept : status_(answer), value_(std::move(value)) {}

  explicit operator bool() const noexcept { return static_cast<bool>(status_); }
  gmap::status status() const noexcept { return status_; }

  T &operator*() & noexcept { return value_; }
  const T &operator*() const & noexcept { return value_; }
  T &&operator*() && noexcept { return std::move(value_); }
  T *operator->() noexcept { return &value_; }
  const T *operator->() const noexcept { return &value_; }
  T value_or(T other) && noexcept { return status_ ? std::move(value_) : std::move(other); }

private:
  gmap::status status_;
  T value_{};
};

// A struct of gmap.h with its struct_size set and all else zero.
template <class T> T make() noexcept {
  static_assert(std::is_trivial_v<T>, "a struct of gmap.h");
  T made;
  std::memset(&made, 0, sizeof made);
  made.struct_size = sizeof made;
  return made;
}

inline gmap_slot slot(std::uint32_t id, std::uint64_t guest_addr, std::uint64_t size, const void *host,
                      std::uint32_t flags = 0) noexcept {
  auto made = make<gmap_slot>();
  made.id = id;
  made.flags = flags;
  made.guest_addr = guest_addr;
  made.size = size;
  made.host_addr = reinterpret_cast<std::uintptr_t>(host);
  return made;
}

// ---- Handles --------------------------------------------------------------------------------------------------------

// Owns one handle that Close ends.
template <gmap_status (*Close)(std::uint64_t)> class handle {
public:
  handle() noexcept = default;
  explicit handle(std::uint64_t owned) noexcept : value_(owned) {}
  handle(handle &&other) noexcept : value_(other.release()) {}
  handle &operator=(handle &&other) noexcept {
    if (this != &other) {
      close().ignore();
      value_ = other.release();
    }
    return *this;
  }
  handle(const handle &) = delete;
  handle &operator=(const handle &) = delete;
  ~handle() { close().ignore(); }

  explicit operator bool() const noexcept { return value_ != 0; }
  std::uint64_t get() const noexcept { return value_; } // still owned here
  std::uint64_t release() noexcept { return std::exchange(value_, 0); } // no longer

  // Ends it now. Empty afterwards; after an error it is as it was.
  gmap::status close() noexcept {
    if (value_ == 0) return {};
    gmap::status answer = Close(value_);
    if (answer || answer == GMAP_EBADF) value_ = 0; // gone; after GMAP_ETIMEDOUT it may be: the next close says so
    return answer;
  }

private:
  std::uint64_t value_ = 0;
};

class engine : public handle<gmap_engine_destroy> {
public:
  using handle::handle;

  static result<engine> create() noexcept { return make_from(nullptr); }
  static result<engine> create(const gmap_engine_config &config) noexcept { return make_from(&config); }

  result<gmap_engine_stats> stats() const noexcept {
    auto filled = make<gmap_engine_stats>();
    gmap::status answer = gmap_engine_get_stats(get(), &filled);
    return {answer, filled};
  }

private:
  static result<engine> make_from(const gmap_engine_config *config) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_engine_create(config, &made);
    return {answer, engine(made)};
  }
};

// ---- Runs of dirty pages --------------------------------------------------------------------------------------------

// What a range-for goes through: input iterators over runs that Source fetches, some at a time. Ends where there is nothing
// more, or at an error, which the range's outcome() tells: look at it afterwards.
template <class Source> class run_iterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = gmap_range;
  using difference_type = std::ptrdiff_t;
  using pointer = const gmap_range *;
  using reference = const gmap_range &;

  run_iterator() noexcept = default; // the end
  explicit run_iterator(Source *source) noexcept : source_(source->advance() ? source : nullptr) {}

  reference operator*() const noexcept { return source_->current(); }
  pointer operator->() const noexcept { return &source_->current(); }
  run_iterator &operator++() noexcept {
    if (!source_->advance()) source_ = nullptr;
    return *this;
  }
  void operator++(int) noexcept { ++*this; }
  friend bool operator==(const run_iterator &a, const run_iterator &b) noexcept { return a.source_ == b.source_; }
  friend bool operator!=(const run_iterator &a, const run_iterator &b) noexcept { return a.source_ != b.source_; }

private:
  Source *source_ = nullptr;
};

// Runs fetched by Derived::fetch(gmap_range *, capacity, count *), which says whether there is more behind them.
template <class Derived> class run_source {
public:
  using iterator = run_iterator<run_source>;

  iterator begin() noexcept { return iterator(this); } // once
  iterator end() noexcept { return iterator(); }
  gmap::status outcome() const noexcept { return outcome_; }

  bool advance() noexcept {
    for (++at_; at_ >= count_; at_ = 0) {
      if (!more_ || !outcome_) return false;
      count_ = 0;
      outcome_ = static_cast<Derived *>(this)->fetch(runs_, at_once, &count_, &more_);
      if (!outcome_ || (count_ == 0 && !more_)) return false;
    }
    return true;
  }
  const gmap_range &current() const noexcept { return runs_[at_]; }

protected:
  run_source() noexcept = default;
  run_source(const run_source &) = delete;
  run_source &operator=(const run_source &) = delete;

private:
  static constexpr std::size_t at_once = 64;
  gmap_range runs_[at_once];
  std::size_t at_ = 0, count_ = 0;
  bool more_ = true;
  gmap::status outcome_;
};

// gmap_dirty_harvest_ranges, piece by piece: what the loop has not come to stays dirty in the library.
class harvest_runs : public run_source<harvest_runs> {
public:
  harvest_runs(std::uint64_t space, std::uint32_t slot, std::uint64_t first_page, std::uint64_t n, std::uint32_t flags) noexcept
      : space_(space), next_(first_page), end_(first_page + n), slot_(slot), flags_(flags) {}

  gmap::status fetch(gmap_range *runs, std::size_t capacity, std::size_t *count, bool *more) noexcept {
    gmap_status answer = gmap_dirty_harvest_ranges(space_, slot_, next_, end_ - next_, flags_, runs, capacity, count, &next_);
    *more = answer == 0 && next_ < end_;
    return answer;
  }

private:
  std::uint64_t space_, next_, end_;
  std::uint32_t slot_, flags_;
};

// ---- Space ----------------------------------------------------------------------------------------------------------

class space : public handle<gmap_space_destroy> {
public:
  using handle::handle;

  static result<space> create(const engine &engine, const gmap_space_config &config) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_space_create(engine.get(), &config, &made);
    return {answer, space(made)};
  }
  // Defaults, up to the highest valid guest address.
  static result<space> create(const engine &engine, std::uint64_t limit) noexcept {
    auto config = make<gmap_space_config>();
    config.limit = limit;
    return create(engine, config);
  }

  gmap::status set_slot(const gmap_slot &slot) const noexcept { return gmap_slot_set(get(), &slot); }
  gmap::status set_limit(std::uint64_t limit) const noexcept { return gmap_space_set_limit(get(), limit); }

  gmap::status read(std::uint64_t guest_addr, void *data, std::size_t size) const noexcept {
    return gmap_read(get(), guest_addr, data, size);
  }
  gmap::status write(std::uint64_t guest_addr, const void *data, std::size_t size) const noexcept {
    return gmap_write(get(), guest_addr, data, size);
  }
  gmap::status mark_dirty(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    return gmap_mark_dirty(get(), guest_addr, size);
  }

  gmap::status unmap(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    return gmap_unmap(get(), guest_addr, size, 0, nullptr);
  }
  gmap::status discard(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    return gmap_discard(get(), guest_addr, size, 0, nullptr);
  }
  gmap::status split(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    return gmap_split(get(), guest_addr, size, 0, nullptr);
  }
  gmap::status populate(std::uint64_t guest_addr, std::uint64_t size, std::uint32_t access) const noexcept {
    return gmap_populate(get(), guest_addr, size, access, 0, nullptr);
  }
  gmap::status protect(std::uint64_t guest_addr, std::uint64_t size, std::uint32_t prot, std::uint32_t notify = 0) const noexcept {
    return gmap_protect(get(), guest_addr, size, prot, notify);
  }
  // How many segments became leaves.
  result<std::uint64_t> collapse(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    std::uint64_t collapsed = 0;
    gmap::status answer = gmap_collapse(get(), guest_addr, size, 0, &collapsed);
    return {answer, collapsed};
  }
  // How many pages were used since the last time.
  result<std::uint64_t> age(std::uint64_t guest_addr, std::uint64_t size) const noexcept {
    std::uint64_t young = 0;
    gmap::status answer = gmap_age(get(), guest_addr, size, 0, &young);
    return {answer, young};
  }
  result<gmap_fault_result> translate(std::uint64_t guest_addr, std::uint32_t access) const noexcept {
    auto found = make<gmap_fault_result>();
    gmap::status answer = gmap_translate(get(), guest_addr, access, &found);
    return {answer, found};
  }

  // The runs of a slot that were written since the last harvest, for a range-for; then outcome().
  harvest_runs harvest(std::uint32_t slot, std::uint64_t first_page, std::uint64_t n, std::uint32_t flags = 0) const noexcept {
    return {get(), slot, first_page, n, flags};
  }
  // The same into a bitmap; how many pages.
  result<std::uint64_t> harvest(std::uint32_t slot, std::uint64_t first_page, std::uint64_t n, std::uint64_t *bitmap,
                                std::size_t words, std::uint32_t flags = 0) const noexcept {
    std::uint64_t pages = 0;
    gmap::status answer = gmap_dirty_harvest(get(), slot, first_page, n, flags, bitmap, words, &pages);
    return {answer, pages};
  }
  result<gmap_rate> dirty_rate(std::uint32_t slot) const noexcept {
    auto rate = make<gmap_rate>();
    gmap::status answer = gmap_dirty_rate(get(), slot, &rate);
    return {answer, rate};
  }
  result<gmap_space_stats> stats() const noexcept {
    auto filled = make<gmap_space_stats>();
    gmap::status answer = gmap_space_get_stats(get(), &filled);
    return {answer, filled};
  }
};

// The space of a guest's guest. Closing gives one opening back.
class shadow : public handle<gmap_shadow_close> {
public:
  using handle::handle;

  template <class Below> static result<shadow> open(const Below &below, std::uint64_t guest_asce, std::uint32_t edat) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_shadow_open(below.get(), guest_asce, edat, &made);
    return {answer, shadow(made)};
  }
  gmap::status is_valid(std::uint64_t guest_asce, std::uint32_t edat) const noexcept {
    return gmap_shadow_is_valid(get(), guest_asce, edat);
  }
};

// ---- Threads --------------------------------------------------------------------------------------------------------

// One thread's vcpu in a space or a shadow, with the view of the inline header.
class vcpu : public handle<gmap_vcpu_close> {
public:
  using handle::handle;

  template <class Space> static result<vcpu> open(const Space &space) noexcept {
    auto config = make<gmap_vcpu_config>();
    config.inline_version = GMAP_INLINE_VERSION;
    std::uint64_t made = 0;
    gmap_view *view = nullptr;
    gmap::status answer = gmap_vcpu_open(space.get(), &config, &made, &view);
    vcpu opened(made);
    opened.view_ = view;
    return {answer, std::move(opened)};
  }

  gmap_view *view() const noexcept { return view_; }
  // Leaves the thread inside: for hosts that keep sections themselves. Others use section.
  result<gmap_fault_result> fault(std::uint64_t guest_addr, std::uint32_t access) const noexcept {
    auto found = make<gmap_fault_result>();
    gmap::status answer = gmap_fault(get(), guest_addr, access, &found);
    return {answer, found};
  }
  result<gmap_rate> rate() const noexcept {
    auto rate = make<gmap_rate>();
    gmap::status answer = gmap_vcpu_rate(get(), &rate);
    return {answer, rate};
  }

private:
  gmap_view *view_ = nullptr; // the library's; stays mapped as long as the engine
};

// gmap_enter to gmap_leave. What load and store give may be used until the next load, store or again of the section, or its end: each
// may fault, which ends what came before.
class section {
public:
  explicit section(const vcpu &vcpu) noexcept : view_(vcpu.view()) { gmap_enter(view_); }
  ~section() { gmap_leave(view_); }
  section(const section &) = delete;
  section &operator=(const section &) = delete;

  // Where the bytes of a T may be read. By gmap_fault where the tables do not answer; then the reason is in fault().
  template <class T> result<const T *> load(std::uint64_t guest_addr) noexcept {
    void *host = nullptr;
    gmap::status answer = gmap_load_resolve(view_, guest_addr, sizeof(T), &host, fresh());
    return {answer, static_cast<const T *>(host)};
  }
  // Where a T may be stored: the page is marked before.
  template <class T> result<T *> store(std::uint64_t guest_addr) noexcept {
    void *host = nullptr;
    gmap::status answer = gmap_store_resolve(view_, guest_addr, sizeof(T), &host, fresh());
    return {answer, static_cast<T *>(host)};
  }
  // Ends the section and begins one if somebody waits, or rights went: host addresses are no good then.
  bool again() noexcept { return gmap_again(view_) != 0; }
  // Of the last load or store; host_addr is null if it needed no fault.
  const gmap_fault_result &fault() const noexcept { return fault_; }

private:
  gmap_fault_result *fresh() noexcept {
    fault_ = make<gmap_fault_result>();
    return &fault_;
  }

  gmap_view *view_;
  gmap_fault_result fault_ = make<gmap_fault_result>();
};

// ---- Consumers ------------------------------------------------------------------------------------------------------

// A part of a consumer's history: a range of runs. commit() says that they were dealt with; an epoch that ends without it is
// aborted, and its pages come again.
class epoch : public run_source<epoch> {
public:
  epoch(std::uint64_t consumer, std::uint32_t flags) noexcept : begun_(gmap_consumer_begin(consumer, flags, &info_)) {
    consumer_ = begun_ ? consumer : 0;
  }
  ~epoch() {
    if (consumer_ != 0) (void)gmap_consumer_abort(consumer_);
  }

  explicit operator bool() const noexcept { return consumer_ != 0; } // begun, and not over
  gmap::status status() const noexcept { return begun_; }
  const gmap_epoch_info &info() const noexcept { return info_; }

  gmap::status commit() noexcept { return end(gmap_consumer_commit); }
  gmap::status abort() noexcept { return end(gmap_consumer_abort); }
  using run_source::end;

  gmap::status fetch(gmap_range *runs, std::size_t capacity, std::size_t *count, bool *more) noexcept {
    gmap_status answer = consumer_ == 0 ? GMAP_EINVAL : gmap_consumer_read_ranges(consumer_, 0, runs, capacity, count, &resume_);
    *more = answer == 0 && ~resume_ != 0;
    return answer;
  }

private:
  gmap::status end(gmap_status (*how)(std::uint64_t)) noexcept {
    std::uint64_t ended = std::exchange(consumer_, 0);
    return ended == 0 ? GMAP_EINVAL : how(ended);
  }

  std::uint64_t consumer_ = 0, resume_ = 0;
  gmap_epoch_info info_ = make<gmap_epoch_info>();
  gmap::status begun_;
};

class consumer : public handle<gmap_consumer_close> {
public:
  using handle::handle;

  static result<consumer> open(const space &space, std::uint32_t slot = GMAP_ALL_SLOTS, std::uint32_t flags = 0) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_consumer_open(space.get(), slot, flags, &made);
    return {answer, consumer(made)};
  }

  // Freezes what was written since the last epoch that was committed.
  gmap::epoch begin(std::uint32_t flags = 0) const noexcept { return {get(), flags}; }
  gmap::status redirty(std::uint32_t slot, std::uint64_t first_page, std::uint64_t n, const std::uint64_t *bitmap) const noexcept {
    return gmap_consumer_redirty(get(), slot, first_page, n, 0, bitmap);
  }
};

// ---- Snapshots, notifiers, backings ---------------------------------------------------------------------------------

class snapshot : public handle<gmap_snapshot_free> {
public:
  using handle::handle;

  static result<snapshot> take(const space &space) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_snapshot_take(space.get(), nullptr, &made);
    return {answer, snapshot(made)};
  }
  // How many pages were put back.
  result<std::uint64_t> restore() const noexcept {
    std::uint64_t pages = 0;
    gmap::status answer = gmap_snapshot_restore(get(), &pages);
    return {answer, pages};
  }
  // How many pages differ.
  result<std::uint64_t> verify() const noexcept {
    std::uint64_t wrong = 0;
    gmap::status answer = gmap_snapshot_verify(get(), &wrong);
    return {answer, wrong};
  }
};

// Calls told(space, first, last, kind) of an object, which must outlive it, not move, and not throw.
class notifier : public handle<gmap_notifier_unregister> {
public:
  using handle::handle;

  template <class Told> static result<notifier> open(const space &space, std::uint32_t kinds, Told &told) noexcept {
    auto config = make<gmap_notifier>();
    config.kinds = kinds;
    config.user = &told;
    config.callback = [](void *user, std::uint64_t where, std::uint64_t first, std::uint64_t last, std::uint32_t kind) {
      (*static_cast<Told *>(user))(where, first, last, kind);
    };
    std::uint64_t made = 0;
    gmap::status answer = gmap_notifier_register(space.get(), &config, &made);
    return {answer, notifier(made)};
  }
};

class backing : public handle<gmap_backing_detach> {
public:
  using handle::handle;

  static result<backing> attach(const space &space, std::uint32_t slot, const gmap_backing_config &config) noexcept {
    std::uint64_t made = 0;
    gmap::status answer = gmap_backing_attach(space.get(), slot, &config, &made);
    return {answer, backing(made)};
  }
  static result<backing> attach(const space &space, std::uint32_t slot, std::uint32_t kind) noexcept {
    auto config = make<gmap_backing_config>();
    config.kind = kind;
    return attach(space, slot, config);
  }
  result<std::int32_t> fd() const noexcept {
    std::int32_t found = -1;
    gmap::status answer = gmap_backing_fd(get(), &found);
    return {answer, found};
  }
  // How many stores were answered.
  result<std::uint32_t> service(std::uint64_t timeout_ns) const noexcept {
    std::uint32_t served = 0;
    gmap::status answer = gmap_backing_service(get(), timeout_ns, &served);
    return {answer, served};
  }
  gmap::status provide(std::uint64_t guest_addr, const void *data, std::uint64_t size) const noexcept {
    return gmap_backing_provide(get(), guest_addr, data, size);
  }
};

} // namespace gmap

#endif // GMAP_HPP
