/*
 * Message queues between this worker and another (BGW-142 to BGW-153), in the
 * way of parallel work: segment, table, queues, then a worker that gets the handle.
 */
#include "bgw_spi.h"

#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "child.h"

static const char *const results[] = { "success", "would block", "detached" };

static shm_mq_handle *there, *back;
static const char zeros[500];

static bool round_trip(Size n)
{
	char *message = palloc(n + 1);
	Size got;
	void *data;
	bool same;

	for (Size i = 0; i < n; i++)
		message[i] = (char)(i * 31 + n);
	if (shm_mq_send(there, n, message, false, true) != SHM_MQ_SUCCESS || shm_mq_receive(back, &got, &data, false) != SHM_MQ_SUCCESS)
		return false;
	same = got == n && memcmp(data, message, n) == 0;
	pfree(message);
	return same;
}

/* exchange sends one message after the other, and then ends the queue: the child is through, and ends. */
static void exchange(Size size)
{
	static const Size sizes[] = { 0, 1, 7, 8, 9, 100, 1000, 8191, 60000, 300000 };
	dsm_segment *seg = make_queues(size, &there, &back);
	BackgroundWorkerHandle *h = child("echo", UInt32GetDatum(dsm_segment_handle(seg)), BGW_NEVER_RESTART);
	Size n;
	void *data;
	int same = 0;

	shm_mq_set_handle(there, h);
	shm_mq_set_handle(back, h);
	for (int i = 0; i < (int)lengthof(sizes) && sizes[i] <= 1000 * size; i++) /* eight bytes of a ring at a time are slow */
		same += round_trip(sizes[i]);
	for (int i = 0; i < 200; i++)
		same += round_trip((Size)(i * 7));
	saw("BGW-143 to BGW-145", "%zu: %d", size, same);
	saw("other ends", "%d %d", shm_mq_get_receiver(shm_mq_get_queue(there)) != NULL, shm_mq_get_sender(shm_mq_get_queue(there)) == MyProc);
	shm_mq_detach(there);
	saw("after the last", "%s", results[shm_mq_receive(back, &n, &data, false)]);
	saw("the child", "%d", WaitForBackgroundWorkerShutdown(h));
	dsm_detach(seg);
}

/* The other order: the child leaves first, and what it had sent is drained before that is said (BGW-148, BGW-149). */
static void leave_first(void)
{
	dsm_segment *seg = make_queues(1024, &there, &back);
	BackgroundWorkerHandle *h = child("echo three", UInt32GetDatum(dsm_segment_handle(seg)), BGW_NEVER_RESTART);
	Size n;
	void *data;

	saw("attached", "%s", results[shm_mq_wait_for_attach(back)]);
	for (int i = 0; i < 3; i++)
		(void)shm_mq_send(there, 5, "hello", false, true);
	saw("the child", "%d", WaitForBackgroundWorkerShutdown(h));
	for (int i = 0; i < 4; i++)
		saw("BGW-148", "%s", results[shm_mq_receive(back, &n, &data, i % 2 == 0)]);
	saw("BGW-149", "%s", results[shm_mq_send(there, 5, "hello", false, true)]);
	saw("BGW-149", "%s", results[shm_mq_send(there, 5, "hello", true, true)]);
	dsm_detach(seg);
}

/* BGW-146, BGW-147: nobody is at the other end. */
static void would_block(void)
{
	dsm_segment *seg = make_queues(1024, &there, &back);
	shm_mq_iovec parts[] = { { "one", 3 }, { "", 0 }, { "and more than that", 18 } };
	char message[100] = "";
	Size n;
	void *data;
	int fit = 0;

	saw("BGW-147", "%s", results[shm_mq_receive(back, &n, &data, true)]);
	saw("parts", "%s", results[shm_mq_sendv(there, parts, 3, true, false)]);
	while (shm_mq_send(there, sizeof message, message, true, false) == SHM_MQ_SUCCESS)
		fit++;
	saw("BGW-146", "%d %s", fit, results[shm_mq_send(there, sizeof message, message, true, false)]);
	saw("nobody", "%d", shm_mq_get_receiver(shm_mq_get_queue(there)) == NULL);
	saw("least", "%zu", shm_mq_minimum_size);
	dsm_detach(seg);
}

/* BGW-150: a worker that never comes. */
static void never_comes(void)
{
	dsm_segment *seg = make_queues(64, &there, &back);
	BackgroundWorkerHandle *h = child("exit 0", 0, BGW_NEVER_RESTART);
	Size n;
	void *data;

	shm_mq_set_handle(there, h);
	shm_mq_set_handle(back, h);
	saw("BGW-150", "%s", results[shm_mq_wait_for_attach(back)]);
	saw("BGW-150", "%s", results[shm_mq_receive(back, &n, &data, false)]);
	saw("BGW-150", "%s", results[shm_mq_send(there, 500, zeros, false, true)]);
	dsm_detach(seg);
}

static void wait_interrupted(void)
{
	InterruptPending = QueryCancelPending = true; /* as the handler of SIGINT leaves them */
	SetLatch(MyLatch);
	(void)shm_mq_wait_for_attach(back);
}

/* Who was interrupted in its wait for the other end uses the queue all the same. */
static void interrupted(void)
{
	dsm_segment *seg = make_queues(1024, &there, &back);
	BackgroundWorkerHandle *h;
	Size n;
	void *data;

	probe_error("interrupted", wait_interrupted);
	h = child("echo", UInt32GetDatum(dsm_segment_handle(seg)), BGW_NEVER_RESTART);
	while (!shm_mq_get_sender(shm_mq_get_queue(back)))
		pg_usleep(1000);
	saw("nothing", "%s", results[shm_mq_receive(back, &n, &data, true)]);
	saw("something", "%d", round_trip(10));
	shm_mq_detach(there);
	saw("the child", "%d", WaitForBackgroundWorkerShutdown(h));
	dsm_detach(seg);
}

static void send_too_much(void)
{
	static char byte;

	(void)shm_mq_send(there, MaxAllocSize + (Size)1, &byte, true, true);
}

void probe_queues(void)
{
	dsm_segment *seg;

	exchange(64);
	exchange(1024);
	exchange(65536);
	leave_first();
	would_block();
	never_comes();
	interrupted();
	seg = make_queues(64, &there, &back);
	probe_error("BGW-153", send_too_much);
	dsm_detach(seg);
}
