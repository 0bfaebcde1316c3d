// SPDX-License-Identifier: MIT
//
// tracking.cpp - tracking.c in C++17, by gmap.hpp.
//
//   c++ -std=c++17 tracking.cpp $(pkg-config --cflags --libs gmapnative) -o tracking
#include <cstdint>
#include <iostream>
#include <memory>
#include <new>

#include "gmap.hpp"

namespace {

constexpr std::align_val_t page{GMAP_PAGE_SIZE};

struct page_delete {
  void operator()(void *memory) const { ::operator delete(memory, page); }
};

int complain(const char *what, gmap::status why) {
  std::cerr << what << ": " << why.message() << '\n';
  return 1;
}

} // namespace

int main() {
  constexpr std::size_t size = std::size_t{64} << 20;
  const std::unique_ptr<void, page_delete> memory(::operator new(size, page)); // longer than the engine below

  auto engine = gmap::engine::create();
  if (!engine) return complain("engine", engine.status());
  auto space = gmap::space::create(*engine, size - 1);
  if (!space) return complain("space", space.status());
  if (auto set = space->set_slot(gmap::slot(1, 0, size, memory.get(), GMAP_SLOT_LOG_DIRTY)); !set) return complain("slot", set);
  auto vcpu = gmap::vcpu::open(*space);
  if (!vcpu) return complain("vcpu", vcpu.status());

  for (std::uint64_t address : {0x5000, 0x2345678}) {
    gmap::section inside(*vcpu);
    auto word = inside.store<std::uint64_t>(address);
    if (!word) return complain("store", word.status());
    **word = address;
  }

  auto runs = space->harvest(1, 0, size / GMAP_PAGE_SIZE);
  for (const gmap_range &run : runs) std::cout << "page " << run.first_page << ", " << run.count << " of them\n";
  return runs.outcome() ? 0 : complain("harvest", runs.outcome());
}
