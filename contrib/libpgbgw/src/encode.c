/* Writing the records of the control socket. */
#include "internal.h"

void pgi_put(struct pgi_writer *w, const void *data, size_t n)
{
	if (w->error || n > w->left) {
		if (!w->error)
			w->error = -EMSGSIZE;
		return;
	}
	if (n)
		memcpy(w->at, data, n);
	w->at += n;
	w->left -= n;
}

void pgi_put_number(struct pgi_writer *w, uint64_t v, size_t bytes)
{
	unsigned char b[8];

	for (size_t i = 0; i < bytes; i++)
		b[i] = (unsigned char)(v >> 8 * i);
	pgi_put(w, b, bytes);
}

void pgi_put_text(struct pgi_writer *w, struct pgi_text t)
{
	if (t.n && !pgi_is_text(t.at, t.n) && !w->error)
		w->error = -EINVAL;
	pgi_put_number(w, t.n > UINT32_MAX ? UINT32_MAX : t.n, 4);
	pgi_put(w, t.at, t.n);
}

static void put_handle(struct pgi_writer *w, pgbgw_handle h)
{
	pgi_put_number(w, h.slot, 4);
	pgi_put_number(w, h.generation, 8);
}

static void put_event(struct pgi_writer *w, const struct pgi_record *r)
{
	put_handle(w, r->handle);
	pgi_put_number(w, r->start, 8);
	pgi_put_number(w, r->state, 4);
	pgi_put_number(w, r->status, 4);
	pgi_put_number(w, (uint32_t)r->pid, 4);
	pgi_put_number(w, (uint32_t)r->exit_code, 4);
	pgi_put_number(w, (uint32_t)r->exit_signal, 4);
	pgi_put_text(w, r->text);
}

/* What is about dynamic segments. Of all others there is nothing but a header, or a status. */
static void put_dynamic(struct pgi_writer *w, const struct pgi_record *r)
{
	switch (r->type) {
	case PGI_DYNAMIC_CREATE:
		pgi_put_number(w, r->size, 8);
		break;
	case PGI_DYNAMIC_ATTACH:
	case PGI_DYNAMIC_DETACH:
	case PGI_DYNAMIC_PIN:
	case PGI_DYNAMIC_UNPIN:
		pgi_put_number(w, r->segment, 4);
		break;
	case PGI_DYNAMIC_NAMED:
		pgi_put_number(w, r->size, 8);
		pgi_put_text(w, r->text);
		break;
	case PGI_DYNAMIC_READY:
		pgi_put_number(w, r->segment, 4);
		pgi_put_number(w, r->done, 4);
		break;
	case PGI_DYNAMIC_CREATE | PGI_ANSWER:
	case PGI_DYNAMIC_ATTACH | PGI_ANSWER:
	case PGI_DYNAMIC_NAMED | PGI_ANSWER:
		pgi_put_number(w, r->segment, 4);
		pgi_put_number(w, r->size, 8);
		pgi_put_number(w, r->found, 4);
		break;
	default:
		break;
	}
}

static void put_body(struct pgi_writer *w, const struct pgi_record *r)
{
	switch (r->type) {
	case PGI_HELLO:
	case PGI_HELLO | PGI_ANSWER:
	case PGI_READY:
		pgi_put_text(w, r->text);
		break;
	case PGI_REGISTER:
		pgi_put_number(w, r->flags, 8);
		pgi_put_number(w, r->pair_count, 2);
		pgi_put(w, r->pairs.at, r->pairs.n);
		break;
	case PGI_REGISTER | PGI_ANSWER:
	case PGI_GET_PID:
	case PGI_TERMINATE:
		put_handle(w, r->handle);
		break;
	case PGI_WAIT_STARTUP:
	case PGI_WAIT_SHUTDOWN:
		put_handle(w, r->handle);
		pgi_put_number(w, r->timeout_usec, 8);
		break;
	case PGI_GET_PID | PGI_ANSWER:
	case PGI_WAIT_STARTUP | PGI_ANSWER:
	case PGI_WAIT_SHUTDOWN | PGI_ANSWER:
		pgi_put_number(w, r->status, 4);
		pgi_put_number(w, (uint32_t)r->pid, 4);
		break;
	case PGI_LATCH_OF:
		pgi_put_number(w, r->slot, 4);
		break;
	case PGI_WORKER_STATE_CHANGED:
		put_event(w, r);
		break;
	default:
		put_dynamic(w, r);
	}
}

int pgi_encode(const struct pgi_record *r, void *to, size_t size)
{
	struct pgi_writer w = { to, size < PGI_RECORD_MAX ? size : PGI_RECORD_MAX, 0 };
	struct pgi_writer head;
	size_t n;

	pgi_put_number(&w, 0, 4);
	pgi_put_number(&w, PGI_RECORD_VERSION, 2);
	pgi_put_number(&w, r->type, 2);
	pgi_put_number(&w, r->id, 8);
	if (r->type & PGI_ANSWER)
		pgi_put_number(&w, (uint32_t)-r->error, 4);
	if (r->error)
		pgi_put_text(&w, r->text);
	else
		put_body(&w, r);
	if (w.error)
		return w.error;
	n = (size_t)(w.at - (unsigned char *)to);
	head = (struct pgi_writer){ to, 4, 0 };
	pgi_put_number(&head, n, 4);
	return (int)n;
}
