/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report.h"

static void text(const char *name, const char *value) {
  printf("\"%s\":\"", name);
  for (; *value; value++) {
    unsigned char c = (unsigned char)*value;
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < ' ') printf("\\u%04x", c);
    else putchar(c);
  }
  printf("\"");
}

static void count(const char *name, uint64_t value) { printf(",\"%s\":%llu", name, (unsigned long long)value); }

static void run(const struct run_result *r) {
  putchar('{');
  text("guest", guest_kind_name(r->guest));
  printf(",\"backing\":\"%s\",\"policy\":\"%s\",", r->kernel_tracked ? "userfaultfd" : "none", policy_name(r->policy));
  if (r->status == RUN_SKIPPED) {
    printf("\"status\":\"skipped\",\"verified\":null,");
    text("reason", r->text);
    putchar('}');
    return;
  }
  printf("\"status\":\"%s\",\"verified\":%s", r->status == RUN_VERIFIED ? "verified" : "failed",
         r->status == RUN_VERIFIED ? "true" : "false");
  count("memory", r->memory);
  count("attempts", r->attempts);
  count("rounds", r->rounds);
  count("pages_sent", r->pages_sent);
  count("zero_pages", r->zero_pages);
  count("pages_resent", r->pages_resent);
  count("bytes_sent", r->bytes_sent);
  count("bytes_resent", r->bytes_resent);
  count("bytes_resent_at_1m", r->bytes_resent_at_1m);
  if (r->kernel_tracked) printf(",\"leaves_split\":null");
  else count("leaves_split", r->leaves_split);
  count("table_bytes", r->table_bytes);
  count("guest_writes", r->guest_writes);
  count("throttle_percent", r->throttle);
  report_postcopy_members(r);
  printf(",\"downtime_ms\":%.3f,\"total_ms\":%.1f,", report_downtime(r), r->total_ms);
  text("verdict", r->text);
  putchar('}');
}

void report_json(const struct run_result *results, unsigned n, const struct options *options) {
  printf("{\"verified\":%s,\"link_bytes_per_second\":", report_all_verified(results, n) ? "true" : "false");
  if (options->link) printf("%llu", (unsigned long long)options->link);
  else printf("null");
  printf(",\"runs\":[");
  for (unsigned i = 0; i < n; i++) {
    if (i) putchar(',');
    run(&results[i]);
  }
  printf("]}\n");
  fflush(stdout);
}
