# shellcheck shell=bash

readonly STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2

# test_all runs everything, or what is named.
test_all() {
    case ${1:-} in
    "") ;;
    modules)
        shift
        if [[ $# -eq 0 ]]; then test_modules && test_try; else try_modules "$@"; fi
        return
        ;;
    *) fail "test takes \"modules\" or nothing, not \"$1\"" ;;
    esac
    need_packages needed_for_test
    check_source
    build
    say "building for arm64"
    GOARCH=arm64 CGO_ENABLED=0 go build ./...
    test_c
    test_crash
    [[ $EUID -ne 0 ]] || make_roots
    test_go
    [[ $EUID -ne 0 ]] || test_try
    [[ -z $UNSTEADY ]] || say "these passed only when they ran again, which is to be mended:"$'\n'"${UNSTEADY%$'\n'}"
    say "all tests passed"
}

# test_go runs the packages two at a time, since they share the processors with
# hundreds of workers, and the system test by itself: it waits for real watchdogs.
test_go() {
    say "go test"
    # A program with the race detector waits a second before it exits, and one test
    # runs hundreds of them.
    local -x GORACE="atexit_sleep_ms=20 ${GORACE:-}"
    local packages
    packages=$(go list ./... | grep -v /packaging/systemtest)
    # shellcheck disable=SC2086 # a list of words
    go_test "-race -p 2 -timeout 15m" $packages
    say "the system test"
    PGBGW_BUILD=$BUILD go_test "-timeout 25m" ./packaging/systemtest
}

# Tests that passed only when they ran again, a line each.
UNSTEADY=

# go_test is "go test" with the flags in its first argument and the packages after
# it. It takes no result from an earlier run, since Go cannot tell that C, shell and
# what is installed have changed. Up to three tests that failed run again by
# themselves: hundreds share the machine, and whoever else is on it, with real
# servers and a real systemd. One that passes then has a defect all the same, so it
# is named where the run ends.
go_test() {
    local flags log failed package tests status=0
    read -ra flags <<<"-count=1 $1"
    log=$(mktemp)
    go test "${flags[@]}" "${@:2}" | tee "$log" || status=$?
    [[ $status -eq 0 ]] || failed=$(failed_tests "$log") || failed=
    rm -f "$log"
    [[ $status -ne 0 ]] || return 0
    [[ -n $failed ]] || fail "the tests failed"
    while read -r package tests; do
        say "again: $tests of $package"
        go test "${flags[@]}" -run "$tests" "$package" </dev/null || fail "$tests of $package failed twice"
        UNSTEADY+="$package $tests"$'\n'
    done <<<"$failed"
}

# failed_tests prints the packages of a log of "go test" that failed and a pattern
# of their failed tests, or fails where it is not chance that made them so: what
# does not build, a data race, a panic, memory used wrongly, more than three tests.
failed_tests() {
    awk '
        /^ *(panic|fatal error): |WARNING: DATA RACE|ERROR: [A-Za-z]*Sanitizer|: runtime error: / { exit bad = 1 }
        /^--- FAIL: / { names = names (names == "" ? "" : "|") $3; if (++failed > 3) exit bad = 1 }
        /^FAIL\t/ {
            if (names == "") exit bad = 1
            print $2, "^(" names ")$"
            names = ""
        }
        END { exit bad }' "$1"
}

# test_modules runs modules of PostgreSQL inside it and beside it; test_go does too.
test_modules() {
    need_packages needed_for_modules
    say "modules inside PostgreSQL and beside it"
    go test -count=1 -v -timeout 10m -run '^TestModule' ./cmd/pg-bgwd
}

# test_try sees that a try of somebody's modules tells what runs from what cannot.
test_try() {
    local modules=$REPO/packaging/systemtest/testdata said word="s of \${y}"
    say "a try of a module, and of one that cannot be"
    said=$("$REPO/packaging/dev" test modules --seconds 1 --set "bgw_guest.word=$word" --run bgw_guest_main=3 "$modules/module") ||
        fail "the try of a module failed: $said"
    [[ $said == *"bgw_guest: word$word, 1 times"* ]] || fail "the module's worker did not do its work: $said"
    said=$("$REPO/packaging/dev" test modules "$modules/module-of-the-server") && fail "a module that needs the server's buffers was taken: $said"
    [[ $said == *"BufferDescriptors"*"cannot be loaded"* ]] || fail "it is not said what a module lacks: $said"
}

# test_crash is "run crash", with what is built already.
test_crash() {
    say "a crash inside PostgreSQL and beside it"
    if [[ -z $(releases) && ${CI:-} != true ]]; then
        say "not run: there are no headers of a PostgreSQL server here"
        return
    fi
    (show_crash)
}

check_source() {
    say "gofmt, go vet, staticcheck"
    local unformatted
    unformatted=$(gofmt -l cmd units dbusapi shm policy packaging contrib 2>/dev/null || true)
    [[ -z $unformatted ]] || fail "gofmt would change: ${unformatted//$'\n'/ }"
    go vet ./...
    go run "$STATICCHECK" ./...
    if command -v shellcheck >/dev/null; then
        shellcheck packaging/dev packaging/dev.d/*.sh .ci/run
    fi
}

# test_c runs each C test program; 77 means that it could not run here.
test_c() {
    say "C tests"
    local status=0
    if [[ ! -f cmd/pg-bgw-launcher/launcher_test.c ]]; then
        [[ ${CI:-} != true ]] || fail "cmd/pg-bgw-launcher/launcher_test.c is missing"
        say "there are none"
        return
    fi
    local sanitize
    for sanitize in -fsanitize=address,undefined -O2; do # the first cannot follow children that share memory
        CC=${CC:-cc} cmd/pg-bgw-launcher/build.sh test "$BUILD/launcher-test" -g "$sanitize"
        "$BUILD/launcher-test" || status=$?
        [[ $status -eq 0 || ($status -eq 77 && ${CI:-} != true) ]] || fail "the launcher's tests ended with status $status"
    done
}
