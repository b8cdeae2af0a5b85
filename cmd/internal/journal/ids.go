package journal

import "log/slog"

// A MessageID names a kind of event: 128 random bits in hexadecimal, as
// sd_journal_send(3) wants it. It never changes once released, since
// administrators filter by it: journalctl MESSAGE_ID=...
type MessageID string

// The kinds of events, each explained in packaging/catalog/pg-bgw.catalog.
const (
	DaemonStarted     MessageID = "d5ffc13c3d76496d90693a57c64500a4" // the daemon is ready; Info
	DaemonStopping    MessageID = "29eb265ebb01436fb8399bfa50b033f0" // a shutdown has begun; Info
	WorkerStarted     MessageID = "52bba693d2524c4fa733a69138ae04f6" // a worker's process runs; Notice
	WorkerExited      MessageID = "8364180e649942b28870b77c659b0136" // it ended with status 0 or 1, or as requested; Notice
	WorkerCrashed     MessageID = "b1e0978739cb4091a5b97b3d38cb1722" // it ended in any other way; Warning
	WorkerStartFailed MessageID = "27754627363642bf8791abbf6edaac1c" // its start failed; Warning
	SegmentReset      MessageID = "d5b0f6e7c1db4e4f9e5fa1b146d44903" // a crash made a new segment; Warning
	ReloadDone        MessageID = "52bd34962ffd4d89befe821980f13d22" // the configuration was read again; Notice
	ReloadFailed      MessageID = "2cfdf997251b4191a36ee04669d59cf9" // it was refused and the old one holds; Error
	LauncherReplaced  MessageID = "029a97315211490db6435454e946ea42" // a launcher died and there is a new one; Warning
	BusLost           MessageID = "31676dd601624ce2a991c6d57abdb959" // no connection to the message bus; Warning
	BusRegained       MessageID = "fbd13caaaaf3473392a326f7b887b0eb" // there is one again, under our name; Notice
)

// Event marks a record as of the kind id. It shows as MESSAGE_ID in the
// journal and not at all in text.
func Event(id MessageID) slog.Attr { return slog.String(keyMessageID, string(id)) }
