package server

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// report adds the median of what was measured to a benchmark.
func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1e3, "median-ms")
	b.ReportMetric(float64(times[len(times)-1].Microseconds())/1e3, "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPromotion: from the moment at which the server accepts writes to
// the callback, by polling alone and with the data directory's hints. A session of
// the benchmark's own asks without a pause when that moment has come.
func BenchmarkPromotion(b *testing.B) {
	for _, tt := range []struct {
		name   string
		hinted bool
	}{{"socket", false}, {"data_directory", true}} {
		b.Run(tt.name, func(b *testing.B) {
			c := newCluster(b, "primary_conninfo = ''")
			c.start() // a standby wants what a primary was set to
			c.connect()
			c.signal(syscall.SIGINT)
			c.wait()
			config := Config{Conninfo: c.conninfo()}
			if tt.hinted {
				config.DataDirectory = c.data
			}
			r := watch(b, config)
			var times []time.Duration
			for b.Loop() {
				c.write("standby.signal", "")
				c.start()
				r.await(HotStandby)
				conn := c.connect()
				c.promoteByFile()
				for exec1(b, conn, "SELECT pg_is_in_recovery()") == "t" {
				}
				promoted := time.Now()
				times = append(times, r.await(Running).Since.Sub(promoted))
				c.signal(syscall.SIGINT)
				c.wait()
				r.await(Down)
			}
			report(b, times)
		})
	}
}

// BenchmarkReady: from the moment at which a server that was down accepts
// sessions to the callback.
func BenchmarkReady(b *testing.B) {
	c := newCluster(b)
	r := c.watch()
	var times []time.Duration
	for b.Loop() {
		r.await(Down)
		c.start()
		c.connect()
		ready := time.Now()
		times = append(times, r.await(Running).Since.Sub(ready))
		c.signal(syscall.SIGINT)
		c.wait()
	}
	report(b, times)
}

// BenchmarkPostmasterKilled: from the signal to the callback that says that the
// server is gone.
func BenchmarkPostmasterKilled(b *testing.B) {
	c := newCluster(b)
	r := c.watch()
	var times []time.Duration
	for b.Loop() {
		c.start()
		r.await(Running)
		killed := time.Now()
		c.signal(syscall.SIGKILL)
		times = append(times, r.await(Down).Since.Sub(killed))
		c.settleAfterKill()
	}
	report(b, times)
}
