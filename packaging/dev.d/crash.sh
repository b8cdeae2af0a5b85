# shellcheck shell=bash
# The same crash twice: a worker of contrib/workers/crash follows a null pointer
# inside a throw-away server, and then, the same file, under a supervisor beside
# it. What became of everybody else is looked up and put side by side.

ROWS=()      # "WHAT|INSIDE|BESIDE"
MODULE=      # the module's file
BYSTANDER=() # the session that only looks on: its backend, what it is asked and answers through, and psql
LAST_WORDS=  # what it was told

run_crash() {
    [[ $# -eq 0 ]] || fail "run crash takes nothing, not \"$1\""
    need_packages needed_for_modules
    build
    show_crash
}

# show_crash ends with success only if all was seen.
show_crash() {
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    ulimit -c 0
    make_scratch
    start_bus
    crash_build
    crash_cluster
    crash_inside
    crash_beside
    crash_table
}

# crash_build builds the module as its author would, for the newest release that
# has its headers here.
crash_build() {
    local config major
    config=$(releases | sort -V | tail -n 1)
    [[ $config ]] || fail "there are no headers of a PostgreSQL server here (postgresql-server-dev-NN)"
    PG_BIN=$(dirname "$config")
    major=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    cp "$BUILD/libpgbgw-pg$major.so" "$SCRATCH/bin/"
    cp -r contrib/workers/crash "$SCRATCH/module"
    make -s -C "$SCRATCH/module" "PG_CONFIG=$config" with_llvm=no >"$SCRATCH/log/make" 2>&1 ||
        fail "the module cannot be built: $(tail -n 5 "$SCRATCH/log/make")"
    [[ $EUID -ne 0 ]] || chown -R "$("${AS[@]}" id -un):" "$SCRATCH/module"
    MODULE=$SCRATCH/module/bgw_crash.so
    say "built $MODULE with PGXS of $("$config" --version)"
}

crash_cluster() {
    "${AS[@]}" "$PG_BIN/initdb" -D "$SCRATCH/pg/data" -U postgres -A trust --no-sync >"$SCRATCH/log/initdb" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$SCRATCH/log/initdb")"
}

# crash_server [SETTING...] starts the server.
crash_server() {
    local settings=() s
    for s in "$@"; do
        settings+=(-c "$s")
    done
    spawn postgres "$PG_BIN/postgres" -D "$SCRATCH/pg/data" -c listen_addresses= -c fsync=off \
        -c "unix_socket_directories=$SCRATCH/pg" "${settings[@]}"
    SERVER=${PIDS[-1]}
    await "the server accepts connections" sql "select 1"
}

# backend TYPE prints the process of that type; a worker's beside the server is a
# client there, known by its application_name.
backend() { sql "select pid from pg_stat_activity where backend_type = '$1' or application_name = '$1'"; }
has_backend() { [[ $(backend "$1") ]]; }
has_another() { [[ $(backend "$1") && $(backend "$1") != "$2" ]]; }

# look_on opens a session that stays; its backend's number is its first answer.
look_on() {
    local pid
    coproc SESSION { exec "${AS[@]}" psql -qAtX -h "$SCRATCH/pg" -U postgres -d postgres 2>&1; }
    # shellcheck disable=SC2153 # coproc sets it
    PIDS+=("$SESSION_PID")
    exec {ASK}>&"${SESSION[1]}" {ANSWER}<&"${SESSION[0]}"
    echo "select pg_backend_pid();" >&"$ASK"
    read -r -t 60 pid <&"$ANSWER" || fail "a session does not answer"
    BYSTANDER=("$pid" "$ASK" "$ANSWER" "${PIDS[-1]}")
    say "a bystander's session is open, backend $pid"
}

# asked_again asks the bystander's session who it is, and closes it. LAST_WORDS is its answer, or
# what it is told instead.
asked_again() {
    local ask=${BYSTANDER[1]} answer=${BYSTANDER[2]}
    echo "select 'alive, backend ' || pg_backend_pid();" >&"$ask"
    read -r -t 60 LAST_WORDS <&"$answer" || LAST_WORDS="no answer"
    exec {ask}>&- {answer}<&-
    end "${BYSTANDER[3]}"
    wait "${BYSTANDER[3]}" || true # psql says that it has lost its connection
}

# row WHAT INSIDE BESIDE: the column that is not known yet is given as "".
row() {
    local i
    for i in "${!ROWS[@]}"; do
        if [[ ${ROWS[i]%%|*} == "$1" ]]; then
            ROWS[i]=${ROWS[i]%|*}"|$3"
            return
        fi
    done
    ROWS+=("$1|$2|$3")
}

crash_inside() {
    local worker neighbour checkpointer how
    say "INSIDE: the server preloads bgw_crash"
    crash_server shared_preload_libraries=bgw_crash "dynamic_library_path=$SCRATCH/module:\$libdir"
    await "the worker runs in the server" has_backend bgw_crash
    await "its neighbour runs in the server" has_backend neighbour
    worker=$(backend bgw_crash) neighbour=$(backend neighbour) checkpointer=$(backend checkpointer)
    look_on
    row "file" "$(crash_sum)" ""
    say "kill -USR2 $worker: the worker follows a null pointer"
    "${AS[@]}" kill -USR2 "$worker"
    await "the server says that its worker crashed" grep -q "(PID $worker) was terminated by signal 11" "$SCRATCH/log/postgres"
    how=$(sed -n "s/.*(PID $worker) was terminated by signal \([0-9]*: [A-Za-z ]*\).*/\1/p" "$SCRATCH/log/postgres" | head -n 1)
    # Only now: before, the bystander's backend may not have heard of it yet.
    await "the server has begun anew" grep -q "all server processes terminated; reinitializing" "$SCRATCH/log/postgres"
    asked_again
    [[ $LAST_WORDS == *"terminating connection because of crash of another server process"* ]] ||
        fail "the bystander was not told of the crash, but: $LAST_WORDS"
    say "seen: the bystander's session is gone: $LAST_WORDS"
    await "its worker is started again" has_another bgw_crash "$worker"
    await "its neighbour, too" has_another neighbour "$neighbour"
    await "the server's own processes, too" has_another checkpointer "$checkpointer"
    row "the worker ended by" "signal $how" ""
    row "the worker" "$worker, then $(backend bgw_crash)" ""
    row "a neighbour of it" "$neighbour, then $(backend neighbour)" ""
    row "a program" "- (there are none)" ""
    row "a bystander's session" "${LAST_WORDS#*:  }" ""
    row "its backend" "${BYSTANDER[0]}, gone" ""
    row "the checkpointer" "$checkpointer, then $(backend checkpointer)" ""
    row "the server's log" "$(grep -o "all server processes terminated; reinitializing" "$SCRATCH/log/postgres" | head -n 1)" ""
    end "$SERVER" INT
}

crash_sum() { sha256sum "$MODULE" | sed "s/^\(............\).*/bgw_crash.so sha256 \1/"; }

crash_beside() {
    local worker neighbour program checkpointer lines how label
    say "BESIDE: the server without it, and pg-bgwd with the same file"
    crash_server
    crash_definitions
    spawn pg-bgwd "$SCRATCH/bin/pg-bgwd" --config "$SCRATCH/pg-bgw.hcl" --workers "$SCRATCH/workers.d" --bus "$BUS" --runtime-dir "$SCRATCH/run"
    await "pg-bgwd has the name org.pgbgw1" bus call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s org.pgbgw1
    for label in bgw_crash neighbour; do
        await "the worker $label is connected" has_backend "$label"
    done
    await "a program runs" label_runs program
    worker=$(pid_of bgw_crash) neighbour=$(pid_of neighbour) program=$(pid_of program) checkpointer=$(backend checkpointer)
    lines=$(wc -l <"$SCRATCH/log/postgres")
    look_on
    row "file" "" "$(crash_sum)"
    say "kill -USR2 $worker: the worker follows a null pointer"
    "${AS[@]}" kill -USR2 "$worker"
    await "the worker is started again" crash_restarted "$worker"
    how=$(property "$(labelled bgw_crash)" ExitSignal)
    [[ $how == 11 ]] || fail "the worker ended by signal $how"
    asked_again
    [[ $LAST_WORDS == "alive, backend ${BYSTANDER[0]}" ]] || fail "the bystander's session did not stay: $LAST_WORDS"
    say "seen: the bystander's session: $LAST_WORDS"
    [[ $(pid_of neighbour) == "$neighbour" ]] || fail "the neighbour in another segment was started again"
    [[ $(pid_of program) == "$program" ]] || fail "the program was started again"
    [[ $(backend checkpointer) == "$checkpointer" ]] || fail "the server began anew"
    ! tail -n "+$((lines + 1))" "$SCRATCH/log/postgres" | grep -qE "terminated by signal|reinitializing" || fail "the server noticed a crash"
    say "seen: the server, the worker of another segment and the program are untouched"
    row "the worker ended by" "" "signal $how: SIG$(kill -l "$how")"
    row "the worker" "" "$worker, then $(pid_of bgw_crash)"
    row "a neighbour of it" "" "$neighbour, still (in another segment)"
    row "a program" "" "$program, still"
    row "a bystander's session" "" "$LAST_WORDS"
    row "its backend" "" "${BYSTANDER[0]}, still"
    row "the checkpointer" "" "$checkpointer, still"
    row "the server's log" "" "no word of it"
}

pid_of() { property "$(labelled "$1")" MainPID; }
crash_restarted() { label_runs bgw_crash && [[ $(pid_of bgw_crash) != "$1" ]] && has_backend bgw_crash; }

# crash_definitions: the worker comes from the module's _PG_init; its neighbour, a
# worker of the same module, is in another segment; the program is in none.
crash_definitions() {
    cat >"$SCRATCH/pg-bgw.hcl" <<END
shared_preload_libraries = ["bgw_crash"]
dynamic_library_path     = "$SCRATCH/module:\$libdir"
settings = {
  "bgw_crash.neighbour" = "off"
}

server "demo" {
  conninfo = "host=$SCRATCH/pg user=postgres dbname=postgres"
}

segment "apart" {
  size = "8MiB"
}
END
    cat >"$SCRATCH/workers.d/neighbour.hcl" <<'END'
worker "neighbour" {
  library_name  = "bgw_crash"
  function_name = "bgw_crash_neighbour_main"
  flags         = ["shmem_access", "backend_database_connection"]
  start_time    = "recovery_finished"
  restart_time  = "1s"
  segment       = "apart"
}
END
    define 10-program postmaster_start '"shmem_access"' "while :; do sleep 5; done"
}

# crash_table prints what was seen, on standard output.
crash_table() {
    local r what inside beside i n
    printf '\n%-22s  %-40s  %s\n' "" "inside PostgreSQL" "beside it, under pg-bgw"
    for r in "${ROWS[@]}"; do
        mapfile -t inside < <(cut -d '|' -f 2 <<<"$r" | fold -s -w 40)
        mapfile -t beside < <(cut -d '|' -f 3 <<<"$r" | fold -s -w 40)
        what=${r%%|*}
        n=$((${#inside[@]} > ${#beside[@]} ? ${#inside[@]} : ${#beside[@]}))
        for ((i = 0; i < n; i++)); do
            printf '%-22s  %-40s  %s\n' "$what" "${inside[i]:-}" "${beside[i]:-}"
            what=
        done
    done
    printf '\n'
    say "all of it was seen: the same file, the same crash; who else had to go is the difference"
}
