// Package policy says who may do what. It is a pure function of who asks, what for and who the daemon is: it opens no
// file, asks no bus and keeps no state, so that the whole rule can be read and tested in one place.
//
// The daemon calls Decide with credentials that the kernel or the bus vouched for, before a request reaches the worker
// table, and maps a *Denied to the bus's AccessDenied. What a request may contain (a template's limits, quotas, which
// code may run) is not decided here yet.
package policy
