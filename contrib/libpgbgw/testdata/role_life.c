/* Roles: life, latches, forks, registration. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

/* life: what a worker does in its life, in order. */
int role_life(char **v)
{
	const pgbgw_self *s = pgbgw_get_self(w);
	pgbgw_worker *second;
	pgbgw_slot slot;
	void *p, *again;

	(void)v;
	CHECK(pgbgw_open(&second) == -EBUSY);
	CHECK(strcmp(s->name, "test worker") == 0 && strcmp(s->type, "test") == 0 && s->handle.slot == 3 && s->handle.generation == 17);
	CHECK(s->extra_len == 5 && memcmp(s->extra, "extra", 5) == 0 && s->start == 1 && s->main_arg == UINT64_MAX);
	CHECK(pgbgw_area(w, "x", 1, &p) == 0); /* already attached: by main */
	CHECK(pgbgw_area(w, "x", 1, &again) == 1 && p == again);
	CHECK(pgbgw_area(w, "x", 2, &again) == -EEXIST && again == NULL);
	CHECK(pgbgw_area(w, "", 2, &again) == -EINVAL);
	CHECK(pgbgw_area(w, "0123456789012345678901234567890123456789012345678", 2, &again) == -EINVAL);
	CHECK(pgbgw_area(w, "y", (size_t)1 << 40, &again) == -ENOMEM);
	CHECK((uintptr_t)p % 128 == 0 && pgbgw_slots_max(w) == 64 && pgbgw_slots_used(w) >= 4);
	CHECK(pgbgw_slot_get(w, 3, &slot) == 0 && slot.generation == 17 && slot.state == PGBGW_RUNNING && strcmp(slot.name, "test worker") == 0);
	CHECK(pgbgw_slot_get(w, 1000, &slot) == 0 && slot.state == PGBGW_FREE);
	CHECK(pgbgw_slot_get(w, 1 << 20, &slot) == -ENOENT);
	MUST(pgbgw_ready(w, "größer"));
	CHECK(pgbgw_ready(w, "\xff") == -EINVAL);
	CHECK(pgbgw_attach(w) == 0 && pgbgw_is_attached(w));
	CHECK(pgbgw_detach(w) == 0 && !pgbgw_is_attached(w) && pgbgw_detach(w) == 0);
	CHECK(pgbgw_area(w, "x", 1, &p) == -ENOTCONN && pgbgw_area(NULL, "x", 1, &p) == -ENOTCONN);
	CHECK(pgbgw_tranche(w, "x") == -ENOTCONN && pgbgw_tranche(NULL, "x") == -ENOTCONN);
	CHECK(pgbgw_attach(w) == 0);
	CHECK(pgbgw_area(w, "x", 1, &p) == 1);
	return 0;
}

/* dies: is killed with everything in its hands. */
int role_dies(char **v)
{
	pgbgw_lwlock *l;
	(void)v;

	MUST(pgbgw_lwlock_open(w, area("lock", 96), 96, &l));
	MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_EXCLUSIVE));
	printf("held\n");
	fflush(stdout);
	for (;;)
		pause();
	return 0;
}

/* ---- Latches ---- */

static void on_term(int sig)
{
	(void)sig;
	pgbgw_interrupt(w);
}

/* waiter COUNT: answers what it is told in "ping", by the latch of slot 5, up to COUNT. */
int role_waiter(char **v)
{
	uint64_t count = size_of(v[0]), n;
	word64 *ping = area("ping", 16);
	pgbgw_peer_latch *p;

	MUST(pgbgw_peer_latch_open(w, 5, &p));
	for (;;) {
		n = atomic_load(&ping[0]);
		atomic_store(&ping[1], n);
		pgbgw_peer_latch_set(p);
		if (n >= count)
			break;
		CHECK(MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1)) == PGBGW_WL_LATCH_SET);
		pgbgw_latch_reset(w);
	}
	pgbgw_peer_latch_close(p);
	return 0;
}

/* latch: the rules of a latch, with nobody else. */
int role_latch(char **v)
{
	int fds[2], r;

	(void)v;
	CHECK(pipe(fds) == 0);
	for (int attached = 1; attached >= 0; attached--) {
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 0) == PGBGW_WL_TIMEOUT);
		pgbgw_latch_set(w);
		pgbgw_latch_set(w);
		CHECK(pgbgw_latch_is_set(w));
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 100000) == PGBGW_WL_LATCH_SET); /* BGW-154 */
		CHECK(pgbgw_latch_is_set(w));
		pgbgw_latch_reset(w);
		CHECK(!pgbgw_latch_is_set(w));
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 100) == PGBGW_WL_TIMEOUT); /* BGW-156 */
		r = pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SOCKET_READABLE | PGBGW_WL_TIMEOUT, fds[0], 0);
		CHECK(r == PGBGW_WL_TIMEOUT);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_SOCKET_WRITEABLE, fds[1], -1) == PGBGW_WL_SOCKET_WRITEABLE);
		CHECK(write(fds[1], "x", 1) == 1);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SOCKET_READABLE, fds[0], -1) == PGBGW_WL_SOCKET_READABLE);
		CHECK(read(fds[0], &r, 1) == 1);
		CHECK(!pgbgw_latch_arm(w));
		pgbgw_latch_set(w);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_SOCKET_READABLE, pgbgw_latch_fd(w), -1) == PGBGW_WL_SOCKET_READABLE); /* armed, so it rang */
		CHECK(pgbgw_latch_arm(w));
		pgbgw_latch_reset(w);
		MUST(pgbgw_detach(w));
	}
	CHECK(pgbgw_latch_wait(w, 0, -1, -1) == -EINVAL && pgbgw_latch_wait(w, 1u << 7, -1, -1) == -EINVAL);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_TIMEOUT, -1, -1) == -EINVAL && pgbgw_latch_wait(w, PGBGW_WL_SOCKET_READABLE, -1, -1) == -EINVAL);
	return 0;
}

/* interrupted AREA SIZE: waits in a queue until SIGTERM. */
int role_interrupted(char **v)
{
	struct sigaction a = { .sa_handler = on_term };
	void *memory = area(v[0], size_of(v[1])), *data;
	pgbgw_mq *q;
	size_t n;

	sigaction(SIGTERM, &a, NULL);
	MUST(pgbgw_mq_attach(w, memory, size_of(v[1]), PGBGW_MQ_RECEIVER, &q));
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EDESTADDRREQ); /* BGW-151: never for ever */
	CHECK(pgbgw_mq_wait_for_attach(q, 10) == -ETIMEDOUT);
	pgbgw_mq_set_handle(q, (pgbgw_handle){ 5, 17 });
	printf("waiting\n");
	fflush(stdout);
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EINTR);
	CHECK(pgbgw_interrupted(w) && pgbgw_latch_is_set(w));
	CHECK(pgbgw_mq_receive(q, &data, &n, 0) == -EINTR);
	pgbgw_resume(w);
	CHECK(pgbgw_mq_receive(q, &data, &n, PGBGW_MQ_NOWAIT) == -EAGAIN);
	MUST(pgbgw_detach(w));
	CHECK(pgbgw_mq_receive(q, &data, &n, PGBGW_MQ_NOWAIT) == -EPIPE);
	pgbgw_close(w);
	w = NULL;
	pgbgw_mq_detach(q);
	return 0;
}

/* survivor: what a worker does when its supervisor has died. */
int role_survivor(char **v)
{
	pgbgw_handle h = { 5, 17 };
	int pid;

	(void)v;
	printf("waiting\n");
	fflush(stdout);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1) == PGBGW_WL_SUPERVISOR_DEATH);
	CHECK(pgbgw_supervisor_died(w));
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_SUPERVISOR_DEATH, -1, -1) == PGBGW_WL_SUPERVISOR_DEATH);
	CHECK(pgbgw_ready(w, "") == -ECONNRESET);
	CHECK(pgbgw_get_pid(w, h, &pid) == PGBGW_SUPERVISOR_DIED && pid == 0);
	CHECK(pgbgw_wait_for_shutdown(w, h, -1) == PGBGW_SUPERVISOR_DIED);
	CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_EXIT_ON_SUPERVISOR_DEATH, -1, -1) == 99);
	return 0;
}

/* ---- Forks ---- */

/* forks: a child is not the worker. */
int role_forks(char **v)
{
	pgbgw_lwlock *l;
	pgbgw_mq *q;
	void *p, *lock = area("lock", 96), *queue = area("queue", 256);
	size_t n;
	int status;
	pid_t child;

	(void)v;
	MUST(pgbgw_lwlock_create(lock, 96));
	MUST(pgbgw_lwlock_open(w, lock, 96, &l));
	MUST(pgbgw_lwlock_acquire(l, PGBGW_LW_EXCLUSIVE));
	MUST(pgbgw_mq_create(queue, 256));
	MUST(pgbgw_mq_attach(w, queue, 256, PGBGW_MQ_RECEIVER, &q));
	child = fork();
	if (child == 0) {
		CHECK(pgbgw_area(w, "x", 1, &p) == -ECHILD && pgbgw_detach(w) == -ECHILD && pgbgw_ready(w, "") == -ECHILD);
		CHECK(pgbgw_lwlock_release(l, PGBGW_LW_EXCLUSIVE) == -ECHILD);
		CHECK(pgbgw_mq_receive(q, &p, &n, PGBGW_MQ_NOWAIT) == -ECHILD);
		CHECK(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET, -1, -1) == -ECHILD && !pgbgw_is_attached(w));
		pgbgw_latch_set(w);
		pgbgw_interrupt(w);
		pgbgw_lwlock_close(l);
		pgbgw_mq_detach(q);
		pgbgw_close(w);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(!pgbgw_latch_is_set(w) && !pgbgw_interrupted(w));
	MUST(pgbgw_lwlock_release(l, PGBGW_LW_EXCLUSIVE));
	CHECK(pgbgw_mq_receive(q, &p, &n, PGBGW_MQ_NOWAIT) == -EAGAIN);
	pgbgw_close(w);
	w = NULL;
	pgbgw_lwlock_close(l);
	pgbgw_mq_detach(q);
	return 0;
}

/* ---- Registration ---- */

/* registrant: registers, waits, terminates. */
int role_registrant(char **v)
{
	static const char *const command[] = { "/bin/sleep", "größer", "", NULL }, *const environment[] = { "A=1", NULL };
	pgbgw_definition d = PGBGW_DEFINITION_INIT;
	pgbgw_change c;
	pgbgw_handle h;
	int pid = -1;

	(void)v;
	d.name = "w";
	d.flags = PGBGW_SHMEM_ACCESS | PGBGW_BACKEND_DATABASE_CONNECTION;
	CHECK(pgbgw_register(w, &d, &h) == -EINVAL && strstr(pgbgw_last_error(), "restart_time"));
	d.restart_time = PGBGW_NEVER_RESTART;
	d.command = command;
	d.environment = environment;
	d.start_time = PGBGW_START_CONSISTENT_STATE;
	d.main_arg = UINT64_MAX;
	d.extra = "\0\1\377";
	d.extra_len = 3;
	d.notify_signal = d.stop_with_owner = true;
	d.kill_timeout_usec = -1;
	d.database = "db";
	d.role = "ro'le";
	d.segment = "main";
	d.kill_signal = "SIGINT";
	MUST(pgbgw_register(w, &d, &h));
	CHECK(h.slot == 9 && h.generation == UINT64_C(7) << 32);
	CHECK(MUST(pgbgw_wait_for_startup(w, h, &pid, -1)) == PGBGW_STARTED && pid == 4711);
	CHECK(MUST(pgbgw_get_pid(w, h, &pid)) == PGBGW_STOPPED && pid == 0);
	CHECK(pgbgw_wait_for_shutdown(w, h, 1) == -ETIMEDOUT);
	MUST(pgbgw_terminate(w, h));
	while (MUST(pgbgw_next_change(w, &c)) == 0)
		MUST(pgbgw_latch_wait(w, PGBGW_WL_LATCH_SET | PGBGW_WL_TIMEOUT, -1, 5));
	CHECK(c.handle.slot == 9 && c.state == PGBGW_ENDED && c.exit_signal == 9 && strcmp(c.reason, "was killed") == 0);
	d.name = "refused";
	CHECK(pgbgw_register(w, &d, &h) == -EDQUOT && strcmp(pgbgw_last_error(), "no more of them") == 0);
	d.name = "\xc0\x80";
	CHECK(pgbgw_register(w, &d, &h) == -EINVAL);
	return 0;
}
