package server

import "testing"

// What is shown of a conninfo is what libpq would read back, and never a
// secret, whatever form it was given in.
func TestDescribe(t *testing.T) {
	t.Setenv("PGPASSWORD", "hunter2")
	t.Setenv("PGPASSFILE", "/nonexistent/hunter2")
	for conninfo, want := range map[string]string{
		"host=/run/postgresql user=u":                                       "host=/run/postgresql port=5432 user=u dbname=postgres",
		"postgresql://u:hunter2@h:77/d?sslmode=require&sslpassword=hunter2": "host=h port=77 user=u dbname=d sslmode=require",
		`host=h user='a\'b c\\' dbname=x password='hunter2'`:                `host=h port=5432 user='a\'b c\\' dbname=x`,
		"hostaddr=127.0.0.1 user=u dbname=d":                                "host=127.0.0.1 hostaddr=127.0.0.1 port=5432 user=u dbname=d",
	} {
		target, err := (Config{Conninfo: conninfo}).resolve()
		if err != nil {
			t.Errorf("%s: %v", conninfo, err)
			continue
		}
		if got := target.describe(); got != want {
			t.Errorf("%s: %q, want %q", conninfo, got, want)
		}
	}
}
