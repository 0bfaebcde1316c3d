/* SPDX-License-Identifier: MIT
 * Inputs: the first ones, those that were kept because they made the parser do something new, and new ones made of them. */
#ifndef MUTATE_H
#define MUTATE_H

#include "target.h"

#define CORPUS_MOST 512u

struct corpus {
  uint64_t random; /* the state of all choices: with the seed, everything that follows is known */
  uint32_t count;
  uint32_t features;           /* how many bits are set below */
  uint64_t seen[(1u << 14) / 64]; /* which event came after which how often, which error at which depth */
  struct input inputs[CORPUS_MOST];
  bool whole[CORPUS_MOST]; /* it was well-formed */
};

void corpus_begin(struct corpus *corpus, uint64_t seed);

/* A new input, made of one or two of the corpus. */
void corpus_mutate(struct corpus *corpus, struct input *input);

/* Keeps the input if its run did something new. True: kept. */
bool corpus_learn(struct corpus *corpus, const struct input *input, const struct result *result, const struct trace *trace);

#endif
