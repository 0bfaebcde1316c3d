/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x4D47494Du /* "MIGM" */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian");
_Static_assert(sizeof(struct frame) == 32, "a frame header has 32 bytes");
_Static_assert(sizeof(struct hello) == 16 && sizeof(struct handover) == 24, "no padding on the wire");
_Static_assert(sizeof(struct verdict) == 24 + STREAM_TEXT, "no padding on the wire");
_Static_assert(sizeof(struct blocked) == 8 * (4 + STREAM_VCPUS), "no padding on the wire");

static bool fail(struct stream *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(struct stream *stream, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(stream->error, sizeof stream->error, format, list);
  va_end(list);
  return false;
}

void stream_patience(struct stream *stream, uint64_t timeout_ms) {
  struct timeval timeout = {.tv_sec = (time_t)(timeout_ms / 1000), .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
  stream->timeout_ms = timeout_ms;
  setsockopt(stream->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

uint64_t stream_alive_ns(const struct stream *stream) { return min_u64(500, stream->timeout_ms / 5) * 1000000; }

void stream_open(struct stream *stream, int fd, uint64_t link, uint64_t timeout_ms) {
  int big = 4 << 20, one = 1;
  *stream = (struct stream){.fd = fd, .link = link};
  pthread_mutex_init(&stream->sending, NULL);
  /* Wishes: a socket that refuses them is slower, not wrong. */
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  stream_patience(stream, timeout_ms);
}

void stream_close(struct stream *stream) {
  if (stream->fd < 0) return;
  close(stream->fd);
  stream->fd = -1;
  pthread_mutex_destroy(&stream->sending);
}

static bool broken(struct stream *stream, int error) {
  stream->silent = error == EAGAIN || error == EWOULDBLOCK;
  if (stream->silent) return fail(stream, "the peer has not answered for %g s", (double)stream->timeout_ms / 1000);
  return fail(stream, "%s", error == EPIPE || error == ECONNRESET || stream->fd < 0 ? "the peer is gone" : strerror(error));
}

/* Holds the link to its bandwidth: sleeps until the bytes sent before would have left it. */
static void pace(struct stream *stream, size_t size) {
  uint64_t now = now_ns();
  if (!stream->link) return;
  if (stream->due_ns > now) {
    struct timespec until = time_of_ns(stream->due_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
  } else if (now - stream->due_ns > 2000000) {
    stream->due_ns = now; /* an idle link saves nothing up, but for what a late timer took */
  }
  stream->due_ns += (uint64_t)((double)size * 1e9 / (double)stream->link);
}

bool stream_write(struct stream *stream, const void *data, size_t size) {
  const uint8_t *at = data;
  pace(stream, size);
  stream->sent += size;
  while (size) {
    ssize_t n = send(stream->fd, at, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return broken(stream, errno);
    at += n;
    size -= (size_t)n;
  }
  return true;
}

bool stream_read(struct stream *stream, void *data, size_t size) {
  uint8_t *at = data;
  stream->received += size;
  while (size) {
    ssize_t n = recv(stream->fd, at, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return broken(stream, errno);
    if (n == 0) return broken(stream, ECONNRESET);
    at += n;
    size -= (size_t)n;
  }
  return true;
}

struct frame stream_header(enum frame_type type, uint64_t first, uint64_t count, uint64_t length) {
  return (struct frame){.magic = MAGIC, .type = type, .first = first, .count = count, .length = length};
}

bool stream_send(struct stream *stream, enum frame_type type, uint64_t first, uint64_t count, const void *payload,
                 uint64_t length) {
  struct frame frame = stream_header(type, first, count, length);
  if (stream->fd < 0) return broken(stream, EBADF);
  pthread_mutex_lock(&stream->sending);
  bool sent = stream_write(stream, &frame, sizeof frame) && (!length || stream_write(stream, payload, length));
  pthread_mutex_unlock(&stream->sending);
  return sent;
}

/* A refusal carries text of the peer's: only its printable part is believed. */
static bool refused(struct stream *stream, const struct frame *frame) {
  char text[STREAM_TEXT - 32] = "";
  if (frame->length >= sizeof text) return fail(stream, "malformed stream: a refusal of %llu bytes",
                                                (unsigned long long)frame->length);
  if (!stream_read(stream, text, frame->length)) return false;
  for (char *c = text; *c; c++)
    if (*c < ' ' || *c > '~') *c = '?';
  return fail(stream, "the peer refuses: %s", text);
}

bool stream_next(struct stream *stream, struct frame *frame) {
  if (!stream_read(stream, frame, sizeof *frame)) return false;
  if (frame->magic != MAGIC || frame->type < FRAME_HELLO || frame->type > FRAME_MISSING)
    return fail(stream, "malformed stream: no frame where one must begin");
  return frame->type != FRAME_REFUSED || refused(stream, frame);
}

bool stream_receive(struct stream *stream, struct frame *frame) {
  do {
    if (!stream_next(stream, frame)) return false;
  } while (frame->type == FRAME_WORKING && frame->length == 0);
  return true;
}

bool stream_readable(const struct stream *stream, int timeout_ms) {
  struct pollfd poller = {.fd = stream->fd, .events = POLLIN};
  return poll(&poller, 1, timeout_ms) > 0;
}

bool stream_expect(struct stream *stream, enum frame_type type, struct frame *frame, void *payload, uint64_t length) {
  if (!stream_receive(stream, frame)) return false;
  if (frame->type != type || frame->length != length)
    return fail(stream, "malformed stream: frame %u of %llu bytes, expected %u of %llu", frame->type,
                (unsigned long long)frame->length, type, (unsigned long long)length);
  return !length || stream_read(stream, payload, length);
}
