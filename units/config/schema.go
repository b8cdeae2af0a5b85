package config

// A Field is one attribute that a file may hold, for documentation.
type Field struct {
	Block    string // path of blocks around it, "worker.connection"; empty: the top of the main file
	Name     string
	Type     string // "string", "integer", "number", "boolean", "time", "size", "list", "map"
	Default  string // as HCL would write it; empty: the attribute has none
	Doc      string // one sentence
	Required bool   // a block without it is refused
}

// Schema lists every attribute in the order in which a manual would.
func Schema() []Field { return nil }
