/* SPDX-License-Identifier: MIT */
#include "address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct place {
  struct sockaddr_storage at;
  socklen_t size;
  const char *unix_path; /* NULL: TCP */
};

static bool parse_unix(const char *path, const char *address, struct place *place) {
  struct sockaddr_un *un = (struct sockaddr_un *)&place->at;
  if (!*path || strlen(path) >= sizeof un->sun_path)
    return complain("%s: a socket path has 1 to %zu characters", address, sizeof un->sun_path - 1), false;
  un->sun_family = AF_UNIX;
  strcpy(un->sun_path, path);
  place->size = sizeof *un;
  place->unix_path = path;
  return true;
}

static bool parse_tcp(const char *text, const char *address, bool listening, struct place *place) {
  char host[ADDRESS_TEXT];
  const char *colon = strrchr(text, ':');
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = listening ? AI_PASSIVE : 0}, *found = NULL;
  if (!colon || !colon[1] || (size_t)(colon - text) >= sizeof host)
    return complain("%s: give tcp:HOST:PORT", address), false;
  bool brackets = text[0] == '[' && colon > text + 1 && colon[-1] == ']'; /* tcp:[::1]:4444 */
  snprintf(host, sizeof host, "%.*s", (int)(colon - text) - (brackets ? 2 : 0), text + (brackets ? 1 : 0));
  int error = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
  if (error) return complain("%s: %s", address, gai_strerror(error)), false;
  memcpy(&place->at, found->ai_addr, found->ai_addrlen);
  place->size = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

static bool parse(const char *address, bool listening, struct place *place) {
  memset(place, 0, sizeof *place);
  if (strncmp(address, "unix:", 5) == 0) return parse_unix(address + 5, address, place);
  if (strncmp(address, "tcp:", 4) == 0) return parse_tcp(address + 4, address, listening, place);
  return complain("%s: an address is unix:PATH or tcp:HOST:PORT", address), false;
}

static int open_socket(const struct place *place) {
  return socket(place->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* A socket file that nobody listens on is left over from a process that died. Any other file is not ours to remove:
 * connecting to it is refused as well. */
static void remove_stale(const struct place *place) {
  struct stat file;
  if (lstat(place->unix_path, &file) != 0 || !S_ISSOCK(file.st_mode)) return;
  int fd = open_socket(place);
  if (fd < 0) return;
  if (connect(fd, (const struct sockaddr *)&place->at, place->size) != 0 && errno == ECONNREFUSED)
    unlink(place->unix_path);
  close(fd);
}

static void tell_bound(int fd, const char *address, const struct place *place, char bound[ADDRESS_TEXT]) {
  struct sockaddr_storage at = {0};
  socklen_t size = sizeof at;
  snprintf(bound, ADDRESS_TEXT, "%s", address);
  if (place->unix_path || getsockname(fd, (struct sockaddr *)&at, &size) != 0) return;
  in_port_t port = ((struct sockaddr_in *)&at)->sin_port; /* at the same place in IPv6's */
  const char *colon = strrchr(address, ':');
  snprintf(bound, ADDRESS_TEXT, "%.*s:%u", (int)(colon - address), address, ntohs(port));
}

int address_listen(const char *address, char bound[ADDRESS_TEXT]) {
  struct place place;
  int one = 1;
  if (!parse(address, true, &place)) return -1;
  if (place.unix_path) remove_stale(&place);
  int fd = open_socket(&place);
  if (fd < 0) return complain("%s: %s", address, strerror(errno)), -1;
  if (!place.unix_path) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&place.at, place.size) != 0 || listen(fd, 1) != 0) {
    complain("cannot listen on %s: %s%s", address, strerror(errno),
             errno == EADDRINUSE ? "; choose another address, or stop the program that uses it" : "");
    close(fd);
    return -1;
  }
  tell_bound(fd, address, &place, bound);
  return fd;
}

int address_accept(int listener, const char *address, uint64_t timeout_ms) {
  struct pollfd poller = {.fd = listener, .events = POLLIN};
  int ready, fd = -1;
  do {
    ready = poll(&poller, 1, timeout_ms ? (int)timeout_ms : -1);
  } while (ready < 0 && errno == EINTR);
  if (ready > 0 && (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) complain("%s: %s", address, strerror(errno));
  close(listener);
  if (strncmp(address, "unix:", 5) == 0) unlink(address + 5);
  return fd;
}

int address_connect(const char *address, bool quiet, uint64_t timeout_ms) {
  struct place place;
  struct timeval timeout = {.tv_sec = (time_t)(timeout_ms / 1000), .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};
  if (!parse(address, false, &place)) return -1;
  int fd = open_socket(&place);
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout); /* of connect, too */
  if (fd >= 0 && connect(fd, (struct sockaddr *)&place.at, place.size) == 0) return fd;
  bool silent = errno == EINPROGRESS || errno == EAGAIN;
  if (!quiet)
    complain("cannot connect to %s: %s; start the destination first: %s --listen %s", address,
             silent ? "no answer" : strerror(errno), program_invocation_short_name, address);
  if (fd >= 0) close(fd);
  return -1;
}
