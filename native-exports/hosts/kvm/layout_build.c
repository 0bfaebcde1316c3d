/* SPDX-License-Identifier: MIT */
#include "layout_build.h"

#include <string.h>

#include "guest_program.h"
#include "layout.h"

#define PRESENT_WRITABLE_USER 7u

extern const uint8_t guest_code[], guest_code_end[];

static uint64_t *at(uint8_t *memory, uint64_t guest_addr) { return (uint64_t *)(memory + guest_addr); }

/* Every page mapped to itself by an entry of its own, so that the processor's accessed and dirty bits are kept by pages. */
static void build_tables(uint8_t *memory, uint64_t size) {
  uint64_t third = GUEST_TABLES + PAGE, second = third + PAGE;
  *at(memory, GUEST_TABLES) = third | PRESENT_WRITABLE_USER;
  *at(memory, third) = second | PRESENT_WRITABLE_USER;
  for (uint64_t i = 0; i * 512 < size / PAGE; i++) at(memory, second)[i] = (GUEST_PTES + i * PAGE) | PRESENT_WRITABLE_USER;
  for (uint64_t page = 0; page < size / PAGE; page++) at(memory, GUEST_PTES)[page] = page * PAGE | PRESENT_WRITABLE_USER;
}

void layout_build(uint8_t *memory, const struct guest_header *header) {
  struct boot boot = {.partitions = GUEST_LOW, .partition = header->partition, .steps = header->steps, .seed = header->seed,
                      .round = GUEST_ROUND, .lock = GUEST_LOCK};
  memcpy(memory + GUEST_HEADER, header, sizeof *header);
  memcpy(memory + GUEST_BOOT, &boot, sizeof boot);
  memcpy(memory + GUEST_CODE, guest_code, (size_t)(guest_code_end - guest_code));
  build_tables(memory, header->memory);
  for (uint64_t cpu = 0; cpu < header->threads; cpu++) {
    struct program program = program_at(memory + GUEST_LOW + cpu * header->partition, header->partition, header->seed + cpu, NULL);
    program_fill(&program);
  }
}

bool layout_is_table(const struct guest_header *header, uint64_t page) {
  uint64_t address = page * PAGE, tables = (header->memory / PAGE + 511) / 512;
  return (address >= GUEST_TABLES && address < GUEST_TABLES + 3 * PAGE) ||
         (address >= GUEST_PTES && address < GUEST_PTES + tables * PAGE);
}

bool layout_is_data(const struct guest_header *header, uint64_t page) {
  uint64_t address = page * PAGE;
  if (address < GUEST_LOW || address >= GUEST_LOW + header->threads * header->partition) return false;
  uint64_t offset = (address - GUEST_LOW) % header->partition, first = program_data_offset(header->partition);
  return offset >= first && offset < first + program_pages(header->partition) * PAGE;
}
