// Package man holds the manual pages; packaging/dev install puts them below
// /usr/share/man. There is no code in it but tests, which keep the pages true:
//
//   - pg-bgw.hcl.5 and org.pgbgw1.5 are made from the files of the same name
//     with .in at the end, the schema of units/config and the XML of dbusapi. A
//     test makes them again and compares; with -update it writes them.
//   - pg-bgwctl.1 and pg-bgwd.8 are compared with what the programs say of
//     themselves, pg-bgw-worker.5 with the variables that the code sets.
//
// Pages are written in the man(7) macros and have to pass man --warnings and
// mandoc -W warning.
package man

//go:generate go test . -run TestMadePages -update
