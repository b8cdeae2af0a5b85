package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxConf bounds what is read of one configuration file, in bytes.
const maxConf = 1 << 20

var clusterForm = regexp.MustCompile(`^[1-9][0-9]{0,2}/[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// addCluster adds the address of the Debian cluster c.Cluster, beneath set.
func (set settings) addCluster(c Config) error {
	if c.Cluster == "" {
		return nil
	}
	if !clusterForm.MatchString(c.Cluster) || strings.Contains(c.Cluster, "..") {
		return fmt.Errorf("%q is not a cluster; write version and name, as in \"15/main\"; pg_lsclusters(1) lists them", c.Cluster)
	}
	root := c.ClusterRoot
	if root == "" {
		root = os.Getenv("PG_CLUSTER_CONF_ROOT")
	}
	if root == "" {
		root = "/etc/postgresql"
	}
	conf := map[string]string{"port": "5432", "unix_socket_directories": "/run/postgresql"}
	path := filepath.Join(root, c.Cluster, "postgresql.conf")
	if err := readConf(path, conf, 0); err != nil {
		return fmt.Errorf("cannot read cluster %s: %w", c.Cluster, err)
	}
	// What ALTER SYSTEM wrote comes last, if it may be read at all.
	if dir := conf["data_directory"]; filepath.IsAbs(dir) {
		if err := readConf(filepath.Join(dir, "postgresql.auto.conf"), conf, 0); err != nil && !unreadable(err) {
			return fmt.Errorf("cannot read cluster %s: %w", c.Cluster, err)
		}
	}
	if _, told := set["host"]; !told {
		set["host"] = socketDirectory(conf["unix_socket_directories"])
	}
	if _, told := set["port"]; !told {
		set["port"] = conf["port"]
	}
	return nil
}

func unreadable(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission)
}

// socketDirectory returns the first directory of the list, or "localhost" for
// a server without one.
func socketDirectory(list string) string {
	for dir := range strings.SplitSeq(list, ",") {
		if dir = strings.Trim(dir, space+`"`); filepath.IsAbs(dir) {
			return dir
		}
	}
	return "localhost"
}

// readConf puts the settings of a postgresql.conf and of what it includes into
// conf, later ones over earlier ones, names in lower case. Lines that are none
// are skipped: whether they are right is for the server to say.
func readConf(path string, conf map[string]string, depth int) error {
	if depth > 10 {
		return fmt.Errorf("%s: files are included too deeply", path)
	}
	source, err := readSmall(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(source) {
		name, value, ok := confLine(line)
		if !ok {
			continue
		}
		if err := include(path, name, value, conf, depth); err != nil {
			return err
		}
	}
	return nil
}

// include obeys one line of the file at path.
func include(path, name, value string, conf map[string]string, depth int) error {
	target := value
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	switch name {
	case "include":
		return readConf(target, conf, depth+1)
	case "include_if_exists":
		if err := readConf(target, conf, depth+1); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	case "include_dir":
		files, err := filepath.Glob(filepath.Join(escapeGlob(target), "[^.]*.conf"))
		if err != nil {
			return fmt.Errorf("cannot list %s: %w", target, err)
		}
		slices.Sort(files)
		for _, f := range files {
			if err := readConf(f, conf, depth+1); err != nil {
				return err
			}
		}
	default:
		conf[name] = value
	}
	return nil
}

var globMeta = regexp.MustCompile(`[*?\[\\]`)

func escapeGlob(s string) string { return globMeta.ReplaceAllString(s, `\$0`) }

// readSmall reads a regular file, of which more than maxConf bytes are an error.
func readSmall(path string) (string, error) {
	f, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConf+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxConf {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxConf)
	}
	return string(b), nil
}

// confLine reads "name = value", "name value", quoted or not, with a comment.
func confLine(line string) (name, value string, ok bool) {
	line = strings.Trim(line, space)
	end := strings.IndexAny(line, "=#"+space)
	if end <= 0 {
		return "", "", false
	}
	name = strings.ToLower(line[:end])
	rest := strings.TrimLeft(line[end:], space)
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), space)
	if !strings.HasPrefix(rest, "'") {
		if i := strings.IndexAny(rest, "#"+space); i >= 0 {
			rest = rest[:i]
		}
		return name, rest, rest != ""
	}
	return quoted(name, rest[1:])
}

// quoted reads a value up to its closing quote; a quote in it is doubled or
// escaped.
func quoted(name, rest string) (string, string, bool) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		c, more := rest[i], i+1 < len(rest)
		switch {
		case more && (c == '\\' || c == '\'' && rest[i+1] == '\''):
			i++
			b.WriteByte(rest[i])
		case c == '\'':
			return name, b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
