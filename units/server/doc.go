// Package server watches a PostgreSQL server and says how far it has come.
package server
