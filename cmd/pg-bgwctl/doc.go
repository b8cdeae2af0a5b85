// Command pg-bgwctl is the administrator's view of pg-bgwd: it lists workers, starts and stops them, registers new ones
// and checks configuration files. It is a client of the bus (package dbusapi), of the configuration's reader
// (units/config), of what logs in to servers (units/server) for check --connect and setup, and of what reads PostgreSQL's
// modules (package module, below this one) for module check, and knows nothing else: it opens no file of the daemon, sends
// no signal itself and decides no policy.
//
// main.go wires, app.go holds what all verbs share, and each verb has a file of its own named after it. Looking never has
// the bus start the service. The rules of output:
//
//   - Results go to standard output and nothing else does; errors go to standard error and each says what to do next.
//   - What the bus delivers is foreign text. It reaches the terminal only through safe or safeLines (text.go) or as JSON
//     with everything unprintable escaped, and no line is longer than maxText.
//   - Tables fit the width of the terminal, and are not cut where there is none.
//
// Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 3 status: a worker, or the service, does not run; 4 there
// is no such worker. With several workers the highest counts.
package main
