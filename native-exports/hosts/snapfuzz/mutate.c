/* SPDX-License-Identifier: MIT */
#include "mutate.h"

#include <stdio.h>
#include <string.h>

#define WORD_MOST 96u

static const char *const first[] = {
  "]><e0>&t1;</e0>",
  "%p1;%more;<!ENTITY z 'a&#38;#60;b'>]>\n<e0 a0='x&t2;y'><e1 id='i'>&t9;&q1;</e1><!-- c --><?p i?><![CDATA[<d>]]></e0>",
  "<!ELEMENT x (a?,(b|c)+,d*)><!ATTLIST x y NOTATION (n) #REQUIRED z ENTITIES #IMPLIED>]><x y='n' z='picture'/>",
  "%coded;]><e0 xmlns:a='urn:a' xmlns='urn:d'><a:b a:c='1'>&words;&bytes;</a:b></e0>\n<!-- after --><?end?>",
  "<!ENTITY % f 'INCLUDE'>%f;<!ENTITY g PUBLIC 'p' 'words'>]><e0>&g;&lt;&#x10FFFF;&#65;</e0>",
};

/* What is put in; each @ becomes a number. Pieces go anywhere, the others where they may stand. */
static const char *const pieces[] = {
  "<", ">", "/>", "</", "<!", "]>", "]]>", "<![CDATA[", "<!--", "-->", "<?", "?>", "\"", "'", "=", "&", ";", "%", "|",
  ",", "*", "+", "?", "(", ")", "#PCDATA", "#REQUIRED", "#IMPLIED", "#FIXED", "ANY", "EMPTY", "CDATA", "ID", "IDREFS",
  "NMTOKEN", "ENTITY", "NOTATION", "NDATA n", "SYSTEM 'more'", "PUBLIC 'p' 'coded'", "<![INCLUDE[", "a:",
  "<?xml version='1.0'?>", "\xEF\xBB\xBF", "\xED\xA0\x80", "\xFF", "\r\n", "\t", "<!DOCTYPE x []>", "&#0;",
  "&#xD800;", "&picture;", "&none;",
};
static const char *const declarations[] = {
  "%p@;", "%v@;", "%more;", "%coded;", "<!ENTITY v@ '&t@;'>", "<!ENTITY v@ '&v@;<e@>x</e@>'>",
  "<!ENTITY % v@ '<!ENTITY v@ \"&v@;\">'>", "<!ENTITY % v@ SYSTEM 'more'>", "<!ENTITY v@ SYSTEM 'x' NDATA n>",
  "<!ELEMENT v@ (e@,(e@|v@)*)>", "<!ELEMENT v@ (e@+|(e@?,v@)+)>", "<!ELEMENT v@ EMPTY>",
  "<!ELEMENT v@ (#PCDATA|e@)*>", "<!ATTLIST e@ v@ CDATA '&t@;'>",
  "<!ATTLIST e@ v@ (one|two) 'two' w@ IDREFS #IMPLIED>", "<!ATTLIST v@ xml:id ID #REQUIRED xmlns CDATA #FIXED 'u@'>",
  "<!NOTATION v@ PUBLIC 'p'>", "<!-- @ -->", "<?v@ of @?>", " \n",
};
static const char *const contents[] = {
  "&t@;", "&q@;", "&v@;", "&bytes;", "&words;", "&amp;", "&#@;", "&#x4E@;", "<e@>", "</e@>", "<e@/>", "<e@>&t@;</e@>",
  "<e@ a@='&t@;'>&v@;</e@>", "<e@ xmlns:a='u@' a:b='@'><a:c/></e@>", "<v@ v@='@' v@='&v@;'/>", "<![CDATA[@]]>",
  "<!-- @ -->", "<?p@ @?>", "text @", "\xC3\xA9", "\xF0\x9F\x98\x80", " \r\n ",
};
static const char *const attributes[] = {
  " a@='v@'", " id='i@'", " ref='i@'", " xmlns:a='u@'", " a:b='@'", " xmlns=''", " xml:lang='e'", " v@='&t@;'",
  " kind='two'",
};

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

static uint32_t choose(struct corpus *c, uint32_t bound) { return bound ? random_below(&c->random, bound) : 0; }

static uint32_t word(struct corpus *c, const char *pattern, char text[WORD_MOST]) {
  uint32_t length = 0;
  for (const char *at = pattern; *at && length < WORD_MOST - 8; at++) {
    /* Small numbers mostly: they name what is there, and the same thing again. */
    if (*at == '@') length += (uint32_t)sprintf(text + length, "%u", choose(c, choose(c, 8) ? 12 : 3000));
    else text[length++] = *at;
  }
  return length;
}

/* Replaces `gone` bytes at `at` by others, as far as there is room. */
static void replace(struct input *input, uint32_t at, uint32_t gone, const void *bytes, uint32_t length) {
  uint32_t tail = input->length - at - gone;
  if (length > INPUT_MOST - at - tail) length = INPUT_MOST - at - tail;
  memmove(input->bytes + at + length, input->bytes + at + gone, tail);
  memcpy(input->bytes + at, bytes, length);
  input->length = at + length + tail;
}

/* A place, mostly one before a byte of `marks` from `begin` on. */
static uint32_t place_before(struct corpus *c, const struct input *input, uint32_t begin, uint32_t end, const char *marks) {
  uint32_t at = begin + choose(c, end - begin + 1);
  if (choose(c, 8) == 0) return at;
  for (uint32_t i = at; i < end; i++)
    if (input->bytes[i] && strchr(marks, input->bytes[i])) return i;
  return at;
}

static uint32_t place(struct corpus *c, const struct input *input) { return place_before(c, input, 0, input->length, "<&%"); }

/* Where the declarations end, if they do. */
static uint32_t border(const struct input *input) {
  const uint8_t *found = memmem(input->bytes, input->length, "]>", 2);
  return found ? (uint32_t)(found - input->bytes) : input->length;
}

static uint32_t some(struct corpus *c, uint32_t most) { return choose(c, (most < 32 || choose(c, 4) == 0 ? most : 32) + 1); }

static void change_bytes(struct corpus *c, struct input *input) {
  if (!input->length) return;
  uint8_t *byte = &input->bytes[choose(c, input->length)];
  if (choose(c, 2)) *byte ^= (uint8_t)(1u << choose(c, 8));
  else *byte = (uint8_t)choose(c, 256);
}

static void put(struct corpus *c, struct input *input, uint32_t at, uint32_t gone, const char *pattern) {
  char text[WORD_MOST];
  replace(input, at, gone, text, word(c, pattern, text));
}

static void put_declaration(struct corpus *c, struct input *input) {
  put(c, input, place_before(c, input, 0, border(input), "<%]"), 0, declarations[choose(c, COUNT(declarations))]);
}

static void put_content(struct corpus *c, struct input *input) {
  uint32_t begin = border(input);
  for (unsigned i = 0; i < 3 && begin < input->length; i++) begin++; /* "]>" and the root's "<" */
  put(c, input, place_before(c, input, begin, input->length, "<&"), 0, contents[choose(c, COUNT(contents))]);
}

static void put_attribute(struct corpus *c, struct input *input) {
  uint32_t at = place_before(c, input, border(input), input->length, " />");
  put(c, input, at, 0, attributes[choose(c, COUNT(attributes))]);
}

static void put_piece(struct corpus *c, struct input *input) {
  uint32_t at = choose(c, input->length + 1);
  put(c, input, at, choose(c, 2) && at < input->length ? 1 : 0, pieces[choose(c, COUNT(pieces))]);
}

static void cut(struct corpus *c, struct input *input) {
  uint32_t at = place(c, input);
  replace(input, at, some(c, input->length - at), "", 0);
}

/* A part of an input of the corpus, perhaps of the same one, put in or over. */
static void splice(struct corpus *c, struct input *input) {
  const struct input *from = &c->inputs[choose(c, c->count)];
  uint32_t begin = place(c, from), length = some(c, from->length - begin), at = place(c, input);
  replace(input, at, choose(c, 2) ? some(c, input->length - at) : 0, from->bytes + begin, length);
}

/* An element, a section or a comment around a part: well-formed if the part was. */
static void wrap(struct corpus *c, struct input *input) {
  static const char *const around[][2] = {
    {"<e1>", "</e1>"}, {"<a:e xmlns:a='u'>", "</a:e>"}, {"<![CDATA[", "]]>"}, {"<!--", "-->"}, {"<![INCLUDE[", "]]>"},
    {"<e2 a2='", "'/>"}, {"<!ENTITY w '", "'>"},
  };
  const char *const *pair = around[choose(c, COUNT(around))];
  uint32_t at = place(c, input), end = at + some(c, input->length - at);
  replace(input, end, 0, pair[1], (uint32_t)strlen(pair[1]));
  replace(input, at, 0, pair[0], (uint32_t)strlen(pair[0]));
}

void corpus_begin(struct corpus *corpus, uint64_t seed) {
  memset(corpus, 0, sizeof *corpus);
  corpus->random = seed;
  for (corpus->count = 0; corpus->count < COUNT(first); corpus->count++) {
    struct input *input = &corpus->inputs[corpus->count];
    input->length = (uint32_t)strlen(first[corpus->count]);
    memcpy(input->bytes, first[corpus->count], input->length);
    corpus->whole[corpus->count] = true;
  }
}

/* Mostly one that is well-formed: of what is broken at its beginning the rest is never read. */
static const struct input *parent_of(struct corpus *c) {
  uint32_t at = choose(c, c->count);
  for (unsigned i = choose(c, 8); i && !c->whole[at]; i--) at = choose(c, c->count);
  return &c->inputs[at];
}

void corpus_mutate(struct corpus *c, struct input *input) {
  const struct input *parent = parent_of(c);
  input->length = parent->length;
  memcpy(input->bytes, parent->bytes, parent->length);
  for (uint32_t steps = 1 + choose(c, choose(c, 4) ? 2 : 8); steps; steps--)
    switch (choose(c, 16)) {
      case 0: change_bytes(c, input); break;
      case 1: cut(c, input); break;
      case 2: splice(c, input); break;
      case 3: case 4: wrap(c, input); break;
      case 5: put_piece(c, input); break;
      case 6: case 7: put_attribute(c, input); break;
      case 8: case 9: case 10: put_declaration(c, input); break;
      default: put_content(c, input); break;
    }
}

static bool new_feature(struct corpus *c, uint64_t feature) {
  uint64_t hash = random_next(&feature) % (sizeof c->seen * 8);
  if (c->seen[hash / 64] >> (hash % 64) & 1) return false;
  c->seen[hash / 64] |= 1ull << (hash % 64);
  return c->features++, true;
}

static unsigned log_of(uint32_t value) { return value ? 32u - (unsigned)__builtin_clz(value) : 0; }

bool corpus_learn(struct corpus *c, const struct input *input, const struct result *result, const struct trace *trace) {
  unsigned whole = result->error ? 0 : 1u << 18;
  bool new = new_feature(c, 1u << 20 | result->error << 8 | log_of(result->depth));
  for (unsigned before = 0; before < EVENTS; before++)
    for (unsigned after = 0; after < EVENTS; after++)
      if (trace->pairs[before][after]) new |= new_feature(c, whole | before << 12 | after << 6 | log_of(trace->pairs[before][after]));
  if (!new) return false;
  /* A full corpus forgets one that was learnt, never one of the first. */
  uint32_t at = c->count < CORPUS_MOST ? c->count++ : COUNT(first) + choose(c, CORPUS_MOST - COUNT(first));
  c->whole[at] = !result->error;
  c->inputs[at].length = input->length;
  memcpy(c->inputs[at].bytes, input->bytes, input->length);
  return true;
}
