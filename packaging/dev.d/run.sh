run() { fail "not yet"; }
