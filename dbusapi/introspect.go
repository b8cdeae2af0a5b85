package dbusapi

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"strings"
)

var (
	//go:embed org.pgbgw1.Manager.xml
	managerXML string
	//go:embed org.pgbgw1.Worker.xml
	workerXML string
	//go:embed org.pgbgw1.Server.xml
	serverXML string
	//go:embed org.freedesktop.DBus.xml
	standardXML string
)

// ManagerXML, WorkerXML and ServerXML return the introspection data, as installed to /usr/share/dbus-1/interfaces.
func ManagerXML() string { return managerXML }

// WorkerXML: see ManagerXML.
func WorkerXML() string { return workerXML }

// ServerXML: see ManagerXML.
func ServerXML() string { return serverXML }

// interfaceXML is one interface as its XML describes it.
type interfaceXML struct {
	name       string
	text       string // the <interface> element, verbatim
	methods    map[string]methodXML
	signals    map[string]string // member to signature
	properties map[string]propertyXML
}

type methodXML struct {
	in, out string                        // signatures
	run     func(*request) ([]any, error) // the code, from methods
}

type propertyXML struct {
	signature string
	emits     string // "true", "invalidates", "const" or "false"
}

// interfaces has every interface of this package by name.
var interfaces = parseInterfaces(managerXML, workerXML, serverXML, standardXML)

// nodeXML is the shape of the files for encoding/xml.
type nodeXML struct {
	Interfaces []struct {
		Name    string `xml:"name,attr"`
		Text    string `xml:",innerxml"`
		Methods []struct {
			Name string   `xml:"name,attr"`
			Args []argXML `xml:"arg"`
		} `xml:"method"`
		Signals []struct {
			Name string   `xml:"name,attr"`
			Args []argXML `xml:"arg"`
		} `xml:"signal"`
		Properties []struct {
			Name        string `xml:"name,attr"`
			Type        string `xml:"type,attr"`
			Annotations []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"value,attr"`
			} `xml:"annotation"`
		} `xml:"property"`
	} `xml:"interface"`
}

type argXML struct {
	Type      string `xml:"type,attr"`
	Direction string `xml:"direction,attr"`
}

// parseInterfaces panics on a file that does not parse: the files are part of the program.
func parseInterfaces(files ...string) map[string]*interfaceXML {
	all := map[string]*interfaceXML{}
	for _, file := range files {
		var node nodeXML
		if err := xml.Unmarshal([]byte(file), &node); err != nil {
			panic(fmt.Sprintf("dbusapi: internal error: introspection data: %v", err))
		}
		for _, i := range node.Interfaces {
			iface := &interfaceXML{
				name: i.Name, text: fmt.Sprintf(" <interface name=%q>%s</interface>\n", i.Name, i.Text),
				methods: map[string]methodXML{}, signals: map[string]string{}, properties: map[string]propertyXML{},
			}
			for _, m := range i.Methods {
				iface.methods[m.Name] = methodXML{in: joinArgs(m.Args, "in"), out: joinArgs(m.Args, "out")}
			}
			for _, s := range i.Signals {
				iface.signals[s.Name] = joinArgs(s.Args, "")
			}
			for _, p := range i.Properties {
				property := propertyXML{signature: p.Type, emits: "true"} // the specification's default
				for _, a := range p.Annotations {
					if a.Name == "org.freedesktop.DBus.Property.EmitsChangedSignal" {
						property.emits = a.Value
					}
				}
				iface.properties[p.Name] = property
			}
			all[i.Name] = iface
		}
	}
	return all
}

// joinArgs returns the signature of the arguments with that direction.
func joinArgs(args []argXML, direction string) string {
	var b strings.Builder
	for _, a := range args {
		if a.Direction == direction {
			b.WriteString(a.Type)
		}
	}
	return b.String()
}

const doctype = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`

// introspection returns the answer to Introspect: the interfaces' own XML and the names of the children.
func introspection(ifaces, children []string) string {
	var b strings.Builder
	b.WriteString(doctype + "<node>\n")
	for _, name := range ifaces {
		b.WriteString(interfaces[name].text)
	}
	for _, child := range children {
		b.WriteString(" <node name=\"" + child + "\"/>\n")
	}
	b.WriteString("</node>\n")
	return b.String()
}
