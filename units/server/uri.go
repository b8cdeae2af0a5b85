package server

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// parseURI reads postgresql://user:password@host:port/dbname?keyword=value.
// Unlike a URL's, the host may be a percent-encoded directory.
func parseURI(s string) (settings, error) {
	_, s, _ = strings.Cut(s, "://")
	set := settings{}
	s, query, _ := strings.Cut(s, "?")
	authority, dbname, _ := strings.Cut(s, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		authority = authority[i+1:]
		if err := set.unescape("user", user); err != nil {
			return nil, err
		}
		if err := set.unescape("password", password); err != nil {
			return nil, err
		}
	}
	host, port, err := splitHost(authority)
	if err != nil {
		return nil, err
	}
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"dbname", dbname}} {
		if err := set.unescape(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	if query == "" {
		return set, nil
	}
	return set, set.addQuery(query)
}

// splitHost cuts "host", "host:port" or "[v6]:port".
func splitHost(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		host, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return "", "", errors.New("the URI's [address] does not end as it should; write it as in [::1]:5432")
		}
		return host, strings.TrimPrefix(rest, ":"), nil
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, nil
}

func (set settings) addQuery(query string) error {
	for kv := range strings.SplitSeq(query, "&") {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" || strings.Contains(value, "=") {
			return fmt.Errorf("the URI's parameter %q is not of the form keyword=value", shorten(key))
		}
		if key == "ssl" && value == "true" { // libpq takes it for JDBC's sake
			key, value = "sslmode", "require"
		}
		if err := set.unescape(key, value); err != nil {
			return err
		}
	}
	return nil
}

// unescape sets key to value without percent encoding; an empty one is not set.
func (set settings) unescape(key, value string) error {
	v, err := url.PathUnescape(value)
	if err != nil || strings.ContainsRune(v, 0) {
		return fmt.Errorf("the URI's %s has a bad percent encoding", shorten(key))
	}
	if v != "" {
		set[key] = v
	}
	return nil
}
