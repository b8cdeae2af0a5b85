package launch

import (
	"fmt"
	"path/filepath"
	"strings"
)

// check returns a *SpecError for the first field that cannot be.
func (s *Spec) check(controllers func(limit string) error) error {
	bad := func(field, format string, args ...any) error {
		return &SpecError{ID: s.ID, Field: field, Why: fmt.Sprintf(format, args...)}
	}
	if err := checkID(s.ID); err != "" {
		return bad("ID", "%s", err)
	}
	if s.Main == nil && len(s.Argv) == 0 {
		return bad("Argv", "is empty; the first element is the program")
	}
	if s.Main == nil && !strings.Contains(s.Argv[0], "/") {
		return bad("Argv[0]", "%q has no slash; PATH is not searched, give the whole path", s.Argv[0])
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return bad("Dir", "%q is not absolute", s.Dir)
	}
	if strings.Contains(s.Dir, "\x00") {
		return bad("Dir", "contains a NUL byte")
	}
	if f, why := s.checkStrings(); f != "" {
		return bad(f, "%s", why)
	}
	if f, why := s.checkNumbers(); f != "" {
		return bad(f, "%s", why)
	}
	for name, value := range s.Limits {
		if err := checkLimit(name, value); err != "" {
			return badLimit(s.ID, name, err)
		}
		if err := controllers(name); err != nil {
			return badLimit(s.ID, name, err.Error())
		}
	}
	return nil
}

func (s *Spec) checkStrings() (field, why string) {
	if len(s.Argv)+len(s.Env)+1 > pointersMax {
		return "Env", fmt.Sprintf("%d arguments and variables; at most %d are possible", len(s.Argv)+len(s.Env), pointersMax-1)
	}
	for i, v := range s.Argv {
		if strings.Contains(v, "\x00") {
			return fmt.Sprintf("Argv[%d]", i), "contains a NUL byte"
		}
	}
	for i, v := range s.Env {
		switch {
		case strings.Contains(v, "\x00"):
			return fmt.Sprintf("Env[%d]", i), "contains a NUL byte"
		case strings.Index(v, "=") < 1:
			return fmt.Sprintf("Env[%d]", i), fmt.Sprintf("%q is not NAME=value", v)
		}
	}
	return "", ""
}

func (s *Spec) checkNumbers() (field, why string) {
	within := func(f string, v, lo, hi int) bool {
		if v < lo || v > hi {
			field, why = f, fmt.Sprintf("%d is not between %d and %d", v, lo, hi)
		}
		return field == ""
	}
	ok := within("number of Files", len(s.Files), 0, filesMax) &&
		within("number of Rlimits", len(s.Rlimits), 0, rlimitsMax) &&
		within("OOMScoreAdj", s.OOMScoreAdj, -1000, 1000) &&
		within("Nice", s.Nice, -20, 19)
	if ok && s.Umask != nil {
		ok = within("Umask", int(*s.Umask), 0, 0o777)
	}
	if ok && s.Credential != nil {
		ok = within("number of Credential.Groups", len(s.Credential.Groups), 0, groupsMax)
	}
	for i, fd := range s.Files {
		if ok && (fd < -1 || fd > 1<<30) { // only then is there something to name
			ok = within(fmt.Sprintf("Files[%d]", i), fd, -1, 1<<30)
		}
	}
	for i, l := range s.Rlimits {
		ok = ok && within(fmt.Sprintf("Rlimits[%d].Resource", i), l.Resource, 0, 1<<16)
		if ok && l.Soft > l.Hard {
			return fmt.Sprintf("Rlimits[%d]", i), fmt.Sprintf("soft limit %d is above hard limit %d", l.Soft, l.Hard)
		}
	}
	return field, why
}

func checkID(id string) string {
	if id == "" || len(id) > 100 {
		return fmt.Sprintf("%q is not 1 to 100 bytes long", id)
	}
	for _, c := range id {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Sprintf("%q has a character that is none of letters, digits, '.', '_', '-'", id)
		}
	}
	return ""
}
