package main

import (
	"math"
	"slices"
)

// A round is what one peer showed of one metric in one round.
type round struct {
	p50, p99, worst float64
	n               int // values it is made of; 0: not measured
}

// roundOf sums up the values of a round; it sorts them.
func roundOf(values []float64) round {
	if len(values) == 0 {
		return round{}
	}
	slices.Sort(values)
	return round{
		p50:   quantile(values, 0.50),
		p99:   quantile(values, 0.99),
		worst: values[len(values)-1],
		n:     len(values),
	}
}

// quantile is the smallest sorted value that q of them do not exceed.
func quantile(sorted []float64, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// A spread is a median with its extremes; n is 0 when there is none.
type spread struct {
	median, low, high float64
	n                 int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{mid, v[0], v[len(v)-1], len(v)}
}

// results are all rounds of all peers: by metric, by peer, in order of rounds,
// with empty rounds where a peer was not measured.
type results map[string]map[string][]round

// add notes what a peer showed in a round.
func (r results) add(metric, peer string, number int, values []float64) {
	if r[metric] == nil {
		r[metric] = map[string][]round{}
	}
	rounds := r[metric][peer]
	for len(rounds) <= number {
		rounds = append(rounds, round{})
	}
	rounds[number] = roundOf(values)
	r[metric][peer] = rounds
}

// medians is the spread of a peer's medians over the rounds.
func (r results) medians(metric, peer string) spread {
	return r.over(metric, peer, func(x round) float64 { return x.p50 })
}

func (r results) over(metric, peer string, of func(round) float64) spread {
	var v []float64
	for _, x := range r[metric][peer] {
		if x.n > 0 {
			v = append(v, of(x))
		}
	}
	return spreadOf(v)
}

// ratio is the spread, over the rounds that have both, of one median divided
// by the other.
func (r results) ratio(metric, peer, baseMetric, base string) spread {
	a, b := r[metric][peer], r[baseMetric][base]
	var v []float64
	for i := range min(len(a), len(b)) {
		if a[i].n > 0 && b[i].n > 0 && b[i].p50 > 0 {
			v = append(v, a[i].p50/b[i].p50)
		}
	}
	return spreadOf(v)
}
