// Package dbusapi is pg-bgw on the message bus: the name org.pgbgw1, its three interfaces, the server side that the daemon
// runs, and the client side that pg-bgwctl and tests use.
//
// # What is the source of what
//
// The introspection XML is the source of the API: org.pgbgw1.Manager.xml, org.pgbgw1.Worker.xml and
// org.pgbgw1.Server.xml are embedded, parsed at start, served verbatim and installed to /usr/share/dbus-1/interfaces.
// Argument signatures, property types and EmitsChangedSignal are read from there and written nowhere else. A test holds
// the code against the XML in both directions. errors.go is the only home of error names; definition.go of the keys of
// a definition. A Server is what serves the bus; a PostgreSQL server's object is made in pgserver.go.
//
// # Server
//
// A [Server] stands between the bus and a [Backend], which is implemented by the daemon. It owns everything that is a
// matter of the bus: connecting and reconnecting, the name, callers and their credentials, subscribers, limits, waits,
// signals. It owns no worker: each answer is built from what the Backend says at that moment, and each decision about
// who may do what is the Backend's, which gets the [Caller] and returns an [*Error].
//
// The Server has no object table: it looks a path up by parsing it and asking the Backend. It decodes and answers calls
// itself; the bus library carries only its own talk with the broker, so nothing that a peer sends can confuse it. It
// never negotiates descriptor passing, so no peer can fill our descriptor table. It never parses a configuration file,
// never trusts a signal, and never lets one method wait for another: each call has its goroutine, each wait a deadline,
// each connection a bound on both.
//
// What it cannot prevent: dbus-daemon charges a sender for what its receivers have not read, and stops reading from who has
// 127 MiB outstanding. A peer that asks for much and reads nothing stalls the Server's answers in this way, as it does
// any service's on that broker, until it leaves; workers run on, and publishing does not block. dbus-broker charges the
// receiver.
//
// Publishing ([Server.Changed], [Server.Added], [Server.Removed], [Server.NotifyOwner]) does not block and may be called
// while the bus is away. A signal is a hint, dropped by a broker when its receiver is out of quota; truth is what the
// properties and GetBackgroundWorkerPid say.
//
// # Client
//
// A [Client] has one method for each member of the interfaces, repeats waits until the caller's own deadline, and
// compares the sender of every signal with the current owner of the name, because anybody can send one.
package dbusapi
