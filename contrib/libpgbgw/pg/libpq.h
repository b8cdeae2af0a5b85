/*
 * libpq, loaded when the first worker with a connection needs it, and not before:
 * with the libraries that it needs itself it makes most of a launcher's
 * mappings, and each of them costs every fork.
 *
 * libpq_load comes before any other of its functions; later calls do nothing. It
 * ends the worker (FATAL) where the library is missing.
 */
#ifndef PGBGW_PG_LIBPQ_H
#define PGBGW_PG_LIBPQ_H

#include <libpq-fe.h>

#define LIBPQ_FUNCTIONS(F) \
	F(PQcancel) F(PQclear) F(PQcmdStatus) F(PQcmdTuples) F(PQconnectPoll) F(PQconnectStartParams) \
	F(PQconsumeInput) F(PQdb) F(PQerrorMessage) F(PQfinish) F(PQflush) F(PQfmod) F(PQfname) \
	F(PQfreeCancel) F(PQfreemem) F(PQftype) F(PQgetCancel) F(PQgetResult) F(PQgetisnull) F(PQgetvalue) \
	F(PQisBusy) F(PQnfields) F(PQnotifies) F(PQntuples) F(PQparameterStatus) F(PQport) F(PQputCopyEnd) \
	F(PQresultErrorField) F(PQresultErrorMessage) F(PQresultStatus) F(PQsendDescribePrepared) \
	F(PQsendPrepare) F(PQsendQuery) F(PQsendQueryParams) F(PQsendQueryPrepared) F(PQsetNoticeReceiver) \
	F(PQsetnonblocking) F(PQsocket) F(PQstatus) F(PQtransactionStatus)

#define MEMBER(name) __typeof__(name) *name;
struct libpq {
	LIBPQ_FUNCTIONS(MEMBER)
};
#undef MEMBER

extern struct libpq the_libpq; /* filled by libpq_load */
extern void libpq_load(void);
/* libpq_share is libpq_load in the launcher, for its workers to come. What it cannot do, each of them reports. */
extern void libpq_share(void);

#define PQcancel (the_libpq.PQcancel)
#define PQclear (the_libpq.PQclear)
#define PQcmdStatus (the_libpq.PQcmdStatus)
#define PQcmdTuples (the_libpq.PQcmdTuples)
#define PQconnectPoll (the_libpq.PQconnectPoll)
#define PQconnectStartParams (the_libpq.PQconnectStartParams)
#define PQconsumeInput (the_libpq.PQconsumeInput)
#define PQdb (the_libpq.PQdb)
#define PQerrorMessage (the_libpq.PQerrorMessage)
#define PQfinish (the_libpq.PQfinish)
#define PQflush (the_libpq.PQflush)
#define PQfmod (the_libpq.PQfmod)
#define PQfname (the_libpq.PQfname)
#define PQfreeCancel (the_libpq.PQfreeCancel)
#define PQfreemem (the_libpq.PQfreemem)
#define PQftype (the_libpq.PQftype)
#define PQgetCancel (the_libpq.PQgetCancel)
#define PQgetResult (the_libpq.PQgetResult)
#define PQgetisnull (the_libpq.PQgetisnull)
#define PQgetvalue (the_libpq.PQgetvalue)
#define PQisBusy (the_libpq.PQisBusy)
#define PQnfields (the_libpq.PQnfields)
#define PQnotifies (the_libpq.PQnotifies)
#define PQntuples (the_libpq.PQntuples)
#define PQparameterStatus (the_libpq.PQparameterStatus)
#define PQport (the_libpq.PQport)
#define PQputCopyEnd (the_libpq.PQputCopyEnd)
#define PQresultErrorField (the_libpq.PQresultErrorField)
#define PQresultErrorMessage (the_libpq.PQresultErrorMessage)
#define PQresultStatus (the_libpq.PQresultStatus)
#define PQsendDescribePrepared (the_libpq.PQsendDescribePrepared)
#define PQsendPrepare (the_libpq.PQsendPrepare)
#define PQsendQuery (the_libpq.PQsendQuery)
#define PQsendQueryParams (the_libpq.PQsendQueryParams)
#define PQsendQueryPrepared (the_libpq.PQsendQueryPrepared)
#define PQsetNoticeReceiver (the_libpq.PQsetNoticeReceiver)
#define PQsetnonblocking (the_libpq.PQsetnonblocking)
#define PQsocket (the_libpq.PQsocket)
#define PQstatus (the_libpq.PQstatus)
#define PQtransactionStatus (the_libpq.PQtransactionStatus)

#endif
