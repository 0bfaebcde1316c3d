/* SPDX-License-Identifier: MIT */
#include "warmup.h"

#include <stdio.h>
#include <string.h>

#define DOZEN 12u

size_t warmup_begin(char text[WARMUP_MOST]) {
  return (size_t)snprintf(text, WARMUP_MOST,
                          "<?xml version='1.0' encoding='UTF-8'?>\n<!DOCTYPE e0 PUBLIC '-//snapfuzz//DTD' 'subset' [\n"
                          "<!NOTATION n SYSTEM 'viewer'>\n<!ENTITY picture SYSTEM 'picture' NDATA n>\n"
                          "<!ENTITY words SYSTEM 'words'>\n<!ENTITY %% coded SYSTEM 'coded'>\n<!ENTITY %% more SYSTEM 'more'>\n"
                          "<!ENTITY t0 'zero'>\n");
}

/* Entity tN names t(N/2): a chain as long as a logarithm. */
size_t warmup_declarations(char text[WARMUP_MOST], unsigned i) {
  size_t length = 0;
  for (unsigned n = i * DOZEN; n < (i + 1) * DOZEN; n++)
    length += (size_t)snprintf(text + length, WARMUP_MOST - length,
                               "<!ELEMENT e%u (#PCDATA|e%u|e%u)*>\n"
                               "<!ATTLIST e%u id ID #IMPLIED ref IDREF #IMPLIED kind (one|two) 'one' a%u CDATA 'v&t%u;w'>\n"
                               "<!ENTITY t%u 'text %u &t%u; &#%u;'>\n"
                               "<!ENTITY %% p%u '<!ENTITY q%u \"of %u\">'>\n",
                               n, n / 2, n + 1, n, n, n / 2, n + 1, n, n / 2, 0x4E00 + n % 4096, n, n, n);
  return length;
}

const char *warmup_external(const char *name) {
  static const struct {
    const char *name, *text;
  } texts[] = {
    {"subset", "<?xml encoding='UTF-8'?><![INCLUDE[<!ELEMENT s (e0,(e1|e2)+,e3?)>]]><![IGNORE[ <![ x ]]> ]]>"
               "<!ENTITY % late 'INCLUDE'><![%late;[<!ATTLIST s x NMTOKENS 'a b'>]]>"},
    {"coded", "<?xml version='1.0' encoding='x-two'?><!ENTITY bytes '\xF1\x41 caf\xE9'><?said \xF2\x42?>"},
    {"more", "<!ELEMENT m ANY><!ENTITY % inner '<!NOTATION k PUBLIC \"k\">'>%inner;"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (strcmp(name, texts[i].name) == 0) return texts[i].text;
  return "";
}
