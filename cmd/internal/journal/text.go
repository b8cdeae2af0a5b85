package journal

import (
	"bytes"
	"log/slog"
	"os"
)

// newTextHandler renders records as slog's text, with syslog's names of levels
// and without what only the journal can use.
func newTextHandler(q *queue, level slog.Leveler) slog.Handler {
	return slog.NewTextHandler(enqueue{q}, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			if l, ok := a.Value.Any().(slog.Level); ok && a.Key == slog.LevelKey {
				return slog.String(slog.LevelKey, levelName(l))
			}
			if a.Key == keyMessageID {
				return slog.Attr{}
			}
			return a
		},
	})
}

// enqueue is the io.Writer that slog's handler writes whole records to.
type enqueue struct{ q *queue }

func (e enqueue) Write(p []byte) (int, error) {
	e.q.put(bytes.Clone(p))
	return len(p), nil
}

// A textWriter writes to a descriptor of our own. Were it number 2, the runtime
// would end the daemon by SIGPIPE when whoever read it has gone.
type textWriter struct{ file *os.File }

func (t textWriter) write(record []byte) (again bool, err error) {
	_, err = t.file.Write(record)
	return false, err
}

func (t textWriter) close() error { return t.file.Close() }
