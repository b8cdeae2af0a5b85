/*
 * Where the session is and as whom: the numbers that the server's code has in
 * variables, learned when it begins.
 */
#include "internal.h"

#include <stdlib.h>

#include "mb/pg_wchar.h"
#include "postmaster/postmaster.h"
#include "storage/proc.h"

#include "connection.h"

static Oid authenticated_id, user_id;
static bool is_superuser;

static Oid number(const PGresult *r, int column)
{
	return (Oid)strtoul(PQgetvalue(r, 0, column), NULL, 10);
}

void identity_set(const PGresult *r)
{
	MyDatabaseId = number(r, 0);
	MyProc->databaseId = MyDatabaseId;
	MyDatabaseTableSpace = number(r, 1);
	authenticated_id = user_id = number(r, 2);
	is_superuser = *PQgetvalue(r, 0, 3) == 't';
	PostPortNumber = atoi(PQport(connection()));
}

Oid GetUserId(void)
{
	return user_id;
}

Oid GetSessionUserId(void)
{
	return authenticated_id;
}

Oid GetOuterUserId(void)
{
	return user_id;
}

Oid GetAuthenticatedUserId(void)
{
	return authenticated_id;
}

bool superuser(void)
{
	return is_superuser;
}

int GetDatabaseEncoding(void)
{
	const char *name = connected() ? PQparameterStatus(connection(), "server_encoding") : NULL;

	return name ? pg_char_to_encoding(name) : PG_UTF8;
}

const char *GetDatabaseEncodingName(void)
{
	return pg_encoding_to_char(GetDatabaseEncoding());
}
