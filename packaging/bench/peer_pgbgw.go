package main

import (
	"context"
	"time"
)

// pgbgw is the supervisor that this module is about.
type pgbgw struct {
	seat
}

func newPgbgw(at seat) peer { return &pgbgw{seat: at} }

func (p *pgbgw) name() string    { return ours }
func (p *pgbgw) missing() string { return "no pg-bgwd" }
func (p *pgbgw) traits() traits  { return traits{perWorker: 1} }

func (p *pgbgw) open(ctx context.Context) error                              { return nil }
func (p *pgbgw) prepare(ctx context.Context, n int, program string) error    { return nil }
func (p *pgbgw) start(ctx context.Context, first, n int) (int64, error)      { return 0, nil }
func (p *pgbgw) stop(ctx context.Context, first, n int) error                { return nil }
func (p *pgbgw) terminate(ctx context.Context, i int) (time.Duration, error) { return 0, nil }
func (p *pgbgw) processes() []int                                            { return nil }
func (p *pgbgw) close() error                                                { return nil }
