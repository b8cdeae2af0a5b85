/* The PGBGW_ variables, and the descriptors that they name. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

static const char *const fd_names[PGI_KNOWN_FDS] = { "segment", "slots", "control", "death", "latch" };

/* Reads a decimal number without sign or space; false if there is none, or more. */
static bool decimal(const char *s, size_t n, uint64_t most, uint64_t *to)
{
	uint64_t v = 0;

	if (n == 0 || n > 20)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned)(s[i] - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*to = v;
	return v <= most;
}

static int number(const char *name, uint64_t most, bool required, uint64_t *to)
{
	const char *s = getenv(name);

	*to = 0;
	if (!s || !*s)
		return required ? pgi_fail(EINVAL, "%s is not set", name) : 0;
	if (!decimal(s, strlen(s), most, to))
		return pgi_fail(EINVAL, "%s: \"%.40s\" should be a decimal number from 0 to %llu", name, s, (unsigned long long)most);
	return 0;
}

static int text(const char *name, bool required, char to[96])
{
	const char *s = getenv(name);
	size_t n = s ? strlen(s) : 0;

	if (n == 0 && required)
		return pgi_fail(EINVAL, "%s is not set", name);
	if (n > 95)
		return pgi_fail(EINVAL, "%s has %zu bytes, at most 95 are allowed", name, n);
	if (n)
		memcpy(to, s, n);
	to[n] = 0;
	return 0;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes four characters into up to three bytes; how many, or -1. */
static int base64_four(const char *s, bool last, unsigned char to[3])
{
	uint32_t bits = 0;
	int pad = 0;

	for (int i = 0; i < 4; i++) {
		int d = base64_digit(s[i]);

		if (d < 0) {
			if (s[i] != '=' || !last || i < 2)
				return -1;
			pad++;
			d = 0;
		} else if (pad) {
			return -1;
		}
		bits = bits << 6 | (uint32_t)d;
	}
	to[0] = (unsigned char)(bits >> 16);
	to[1] = (unsigned char)(bits >> 8);
	to[2] = (unsigned char)bits;
	return 3 - pad;
}

static int extra(struct pgi_environment *e)
{
	const char *s = getenv("PGBGW_EXTRA");
	size_t n = s ? strlen(s) : 0, have = 0;

	if (n > 172 || n % 4 != 0) /* 128 bytes are 172 characters */
		goto bad;
	for (size_t i = 0; i < n; i += 4) {
		unsigned char three[3];
		int got = base64_four(s + i, i + 4 == n, three);

		if (got < 0 || have + (size_t)got > sizeof e->extra)
			goto bad;
		memcpy(e->extra + have, three, (size_t)got);
		have += (size_t)got;
	}
	e->self.extra = e->extra;
	e->self.extra_len = have;
	return 0;
bad:
	return pgi_fail(EINVAL, "PGBGW_EXTRA: \"%.40s\" should be base64 of at most 128 bytes", s);
}

/* Whether n bytes are "3.17", of just this slot and generation. */
static bool is_handle(const char *s, size_t n, pgbgw_handle h)
{
	const char *dot = memchr(s, '.', n);
	size_t first = dot ? (size_t)(dot - s) : 0;
	uint64_t slot, generation;

	return dot && decimal(s, first, UINT32_MAX, &slot) && decimal(dot + 1, n - first - 1, UINT64_MAX, &generation) &&
	       slot == h.slot && generation == h.generation;
}

/* Reads the start number, from "3.17.2" (slot, generation, start) or "2". */
static int start(struct pgi_environment *e)
{
	const char *s = getenv("PGBGW_START"), *dot;

	if (!s || !*s)
		return 0;
	dot = strrchr(s, '.');
	if (dot && !is_handle(s, (size_t)(dot - s), e->self.handle))
		return pgi_fail(EINVAL, "PGBGW_START: \"%.60s\" is not of slot %u, generation %llu", s, e->self.handle.slot,
				(unsigned long long)e->self.handle.generation);
	const char *last = dot ? dot + 1 : s;
	if (!decimal(last, strlen(last), UINT64_MAX, &e->self.start))
		return pgi_fail(EINVAL, "PGBGW_START: \"%.60s\" should be slot.generation.start, as in 3.17.2", s);
	return 0;
}

static bool seen(const struct pgi_environment *e, int fd)
{
	for (int i = 0; i < PGI_KNOWN_FDS; i++)
		if (e->fds[i] == fd)
			return true;
	for (int i = 0; i < e->other_count; i++)
		if (e->others[i] == fd)
			return true;
	return false;
}

/* Takes one "name:number". Unknown names are left to who knows them: libpq, say, in a program that the worker runs. */
static int one_fd(struct pgi_environment *e, const char *item, size_t n)
{
	const char *colon = memchr(item, ':', n);
	size_t name = colon ? (size_t)(colon - item) : 0;
	uint64_t fd;

	if (name == 0 || !decimal(colon + 1, n - name - 1, INT32_MAX, &fd) || fd < 3 || (colon[1] == '0'))
		return pgi_fail(EINVAL, "PGBGW_FDS: \"%.*s\" should be a name, a colon and a descriptor from 3 on, as in segment:3",
				(int)(n > 60 ? 60 : n), item);
	if (seen(e, (int)fd))
		return pgi_fail(EINVAL, "PGBGW_FDS: descriptor %d is there twice", (int)fd);
	for (int i = 0; i < PGI_KNOWN_FDS; i++) {
		if (strlen(fd_names[i]) != name || memcmp(fd_names[i], item, name) != 0)
			continue;
		if (e->fds[i] >= 0)
			return pgi_fail(EINVAL, "PGBGW_FDS: \"%s\" is there twice", fd_names[i]);
		e->fds[i] = (int)fd;
		return 0;
	}
	if (e->other_count == PGI_MAX_FDS)
		return pgi_fail(EINVAL, "PGBGW_FDS: it has more than %d descriptors", PGI_MAX_FDS);
	e->others[e->other_count++] = (int)fd;
	return 0;
}

static int fd_list(struct pgi_environment *e, const char *list)
{
	while (*list) {
		size_t n = 0;
		int r;

		while (list[n] && list[n] != ',')
			n++;
		r = one_fd(e, list, n);

		if (r < 0)
			return r;
		list += n;
		if (*list == ',' && !*++list)
			return pgi_fail(EINVAL, "PGBGW_FDS: it ends with a comma");
	}
	return 0;
}

/* FD_CLOEXEC is the only flag that there is (fcntl(2)), so the others need not be read. */
static int close_on_exec(const char *name, int fd)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return pgi_fail(EINVAL, "PGBGW_FDS: %s (descriptor %d) is not open", name, fd);
	return 0;
}

/* The open file description of a latch is shared with whoever rings: its flag is not set here. */
static int check_latch(int fd)
{
	char path[32], link[32] = "";
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof link - 1);
	if (n > 0 && strcmp(link, "anon_inode:[eventfd]") != 0)
		return pgi_fail(EINVAL, "PGBGW_FDS: latch (descriptor %d) is %s, not an eventfd", fd, link);
	if (flags < 0 || !(flags & O_NONBLOCK))
		return pgi_fail(EINVAL, "PGBGW_FDS: latch (descriptor %d) is not non-blocking", fd);
	return 0;
}

static int check_fds(const struct pgi_environment *e)
{
	struct stat st;
	int type = 0, r = 0;
	socklen_t n = sizeof type;

	for (int i = 0; i < PGI_KNOWN_FDS && r == 0; i++)
		if (e->fds[i] >= 0)
			r = close_on_exec(fd_names[i], e->fds[i]);
	if (r < 0 || pgi_launched)
		return r;
	int fd = e->fds[PGI_CONTROL];
	if (fd >= 0 && (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_SEQPACKET))
		return pgi_fail(EINVAL, "PGBGW_FDS: control (descriptor %d) is no SOCK_SEQPACKET socket", fd);
	fd = e->fds[PGI_DEATH];
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)))
		return pgi_fail(EINVAL, "PGBGW_FDS: death (descriptor %d) is no pipe", fd);
	fd = e->fds[PGI_LATCH];
	return fd >= 0 ? check_latch(fd) : 0;
}

int pgi_environment_read(struct pgi_environment *e)
{
	const char *list = getenv("PGBGW_FDS");
	struct pgbgw_self *s = &e->self;
	uint64_t slot, pid;
	int r;

	memset(e, 0, sizeof *e);
	for (int i = 0; i < PGI_KNOWN_FDS; i++)
		e->fds[i] = -1;
	if (!list)
		return pgi_fail(ENXIO, "not started by pg-bgw: PGBGW_FDS is not set");
	if ((r = fd_list(e, list)) < 0 || (r = number("PGBGW_SLOT", PGBGW_MAX_SLOTS - 1, true, &slot)) < 0 ||
	    (r = number("PGBGW_GENERATION", UINT64_MAX, true, &s->handle.generation)) < 0 ||
	    (r = text("PGBGW_NAME", true, e->name)) < 0 || (r = text("PGBGW_TYPE", false, e->type)) < 0 ||
	    (r = number("PGBGW_MAIN_ARG", UINT64_MAX, false, &s->main_arg)) < 0 ||
	    (r = number("PGBGW_NOTIFY_PID", INT32_MAX, false, &pid)) < 0 || (r = extra(e)) < 0)
		return r;
	s->handle.slot = (uint32_t)slot;
	s->notify_pid = (int)pid;
	s->name = e->name;
	s->type = e->type[0] ? e->type : e->name;
	if ((r = start(e)) < 0)
		return r;
	return check_fds(e);
}
