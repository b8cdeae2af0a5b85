# shellcheck shell=bash
# The demonstration: a bus, a server and a supervisor of their own, in a scratch
# directory. Nothing outside it is touched, and it all ends with this script.

SCRATCH=  # the directory
AS=()     # words that make a command run as the demonstration's user, in the directory
PIDS=()   # processes to end, in the order of their start
CHECK=    # "yes": unattended
PG_BIN=   # PostgreSQL's programs, empty for standalone mode
SERVER=   # the postmaster

run() {
    case ${1:-} in
    "") ;;
    --check) CHECK=yes ;;
    crash)
        run_crash "${@:2}"
        return
        ;;
    *) fail "run takes --check or crash, not \"$1\"" ;;
    esac
    need_packages
    build
    go build -trimpath -o "$BUILD/pg-bgw-demo" ./packaging/demo
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say_leftovers
    make_scratch
    cp "$BUILD/pg-bgw-demo" "$SCRATCH/bin/"
    start_bus
    start_server
    start_daemon
    show_static_workers
    show_dynamic_worker
    show_owner
    if [[ $CHECK ]]; then
        check_end
        say "every step was seen"
    else
        show_table
    fi
}

# say_leftovers names the directories of runs that were killed and could not tidy
# up. Their processes have ended: they are told when their script dies.
say_leftovers() {
    local dir pid
    for dir in "${TMPDIR:-/tmp}"/pg-bgw-demo.*; do
        pid=$(head -c 16 "$dir/pid" 2>/dev/null) || continue
        [[ ! $pid =~ ^[0-9]+$ || -d /proc/$pid ]] || say "a run that was killed has left $dir: rm -r it"
    done
}

# make_scratch makes the directory and finds a user for it: PostgreSQL refuses
# to run as root, and the demonstration needs no more rights than it has.
make_scratch() {
    local user=nobody
    SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/pg-bgw-demo.XXXXXX")
    echo "$$" >"$SCRATCH/pid"
    mkdir "$SCRATCH/bin" "$SCRATCH/workers.d" "$SCRATCH/run" "$SCRATCH/pg" "$SCRATCH/log"
    # The build directory may be where that user cannot read.
    cp "$BUILD"/pg-bgw{d,ctl,-launcher} "$SCRATCH/bin/"
    chmod 0700 "$SCRATCH/run" "$SCRATCH/pg"
    if [[ $EUID -eq 0 ]]; then
        getent passwd postgres >/dev/null && user=postgres
        # That user may be kept from the caller's directory; of that PostgreSQL's programs complain.
        AS=(env --chdir="$SCRATCH" setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --)
        chown -R "$user:" "$SCRATCH"
    fi
    BUS=unix:path=$SCRATCH/bus
    export DBUS_SYSTEM_BUS_ADDRESS=$BUS
    say "scratch directory $SCRATCH, user $("${AS[@]}" id -un)"
}

# spawn NAME COMMAND... starts a process of the demonstration. A session of its
# own keeps the terminal's Ctrl-C from it, and it is told when this script dies.
# Bash starts what is in the background with SIGINT ignored.
spawn() {
    local name=$1
    shift
    setsid "${AS[@]}" env --default-signal=INT,QUIT setpriv --pdeathsig TERM -- "$@" </dev/null >"$SCRATCH/log/$name" 2>&1 &
    PIDS+=($!)
}

# await WHAT COMMAND... repeats the command until it succeeds, for a minute at most,
# which nothing takes but on a machine that is busy with others.
await() {
    local what=$1 i
    shift
    for ((i = 0; i < 600; i++)); do
        if "$@" >/dev/null 2>&1; then
            say "seen: $what"
            return
        fi
        sleep 0.1
    done
    fail "not seen within a minute: $what"
}

start_bus() {
    cat >"$SCRATCH/bus.conf" <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>$BUS</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_requested_reply="true"/>
  </policy>
</busconfig>
END
    spawn bus dbus-daemon --config-file="$SCRATCH/bus.conf" --nofork --nopidfile --nosyslog
    await "a private bus at $BUS" test -S "$SCRATCH/bus"
}

# start_server makes and starts a throw-away cluster with the newest PostgreSQL.
start_server() {
    PG_BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1 || true)
    if [[ ! -x $PG_BIN/initdb ]]; then
        PG_BIN=
        say "PostgreSQL is not installed: standalone mode, without a server to follow"
        return
    fi
    say "a throw-away cluster, $("$PG_BIN/postgres" --version)"
    "${AS[@]}" "$PG_BIN/initdb" -D "$SCRATCH/pg/data" -U postgres -A trust --no-sync >"$SCRATCH/log/initdb" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$SCRATCH/log/initdb")"
    postgres
    sql "create table tick (at timestamptz, slot int)"
}

postgres() {
    spawn postgres "$PG_BIN/postgres" -D "$SCRATCH/pg/data" -c listen_addresses= \
        -c "unix_socket_directories=$SCRATCH/pg" -c fsync=off
    SERVER=${PIDS[-1]}
    await "the server accepts connections" sql "select 1"
}

sql() { "${AS[@]}" psql -qAtX -h "$SCRATCH/pg" -U postgres -d postgres -c "$1"; }

start_daemon() {
    write_definitions
    say "checking the definitions"
    "${AS[@]}" "$SCRATCH/bin/pg-bgwctl" check --config "$SCRATCH/pg-bgw.hcl" --workers "$SCRATCH/workers.d" || fail "the definitions have errors"
    spawn pg-bgwd "$SCRATCH/bin/pg-bgwd" --config "$SCRATCH/pg-bgw.hcl" --workers "$SCRATCH/workers.d" \
        --bus "$BUS" --runtime-dir "$SCRATCH/run"
    DAEMON=${PIDS[-1]}
    await "pg-bgwd has the name org.pgbgw1" bus call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s org.pgbgw1
}

bus() { "${AS[@]}" busctl --address="$BUS" "$@"; }

write_definitions() {
    echo 'max_worker_processes = 16' >"$SCRATCH/pg-bgw.hcl"
    [[ ! $PG_BIN ]] || cat >>"$SCRATCH/pg-bgw.hcl" <<END

server "demo" {
  conninfo = "host=$SCRATCH/pg user=postgres dbname=postgres"
}
END
    define 10-hello postmaster_start '"shmem_access"' "while :; do echo hello from slot \$PGBGW_SLOT; sleep 5; done"
    define 20-flaky postmaster_start '"shmem_access"' "sleep 3; exit 1"
    [[ ! $PG_BIN ]] || define 30-tick recovery_finished '"shmem_access", "backend_database_connection"' \
        "while psql -qX -c \\\"insert into tick values (now(), \$PGBGW_SLOT)\\\"; do sleep 1; done; exit 1" \
        "
  connection {
    database = \"postgres\"
    role     = \"postgres\"
  }"
}

# define FILE START_TIME FLAGS SHELL [MORE]
define() {
    cat >"$SCRATCH/workers.d/$1.hcl" <<END
worker "${1#*-}" {
  command      = ["/bin/sh", "-c", "$4"]
  flags        = [$3]
  start_time   = "$2"
  restart_time = "1s"
${5:-}
}
END
}

# property HANDLE NAME prints one property of a worker, without its type.
property() {
    bus get-property org.pgbgw1 "$1" org.pgbgw1.Worker "$2" | sed -e 's/^[a-z]* //' -e 's/^"\(.*\)"$/\1/'
}

running() { [[ $(property "$1" State) == running ]]; }
restarted() { running "$1" && [[ $(property "$1" MainPID) != "$2" ]]; }
labelled() { bus call org.pgbgw1 /org/pgbgw1 org.pgbgw1.Manager GetWorker s "$1" | sed 's/^o "\(.*\)"$/\1/'; }

tick_waits() { [[ $(property "$(labelled tick)" State) == waiting ]]; }
label_runs() { running "$(labelled "$1")"; }
label_restarted() { [[ $(property "$(labelled "$1")" Restarts) -ge 1 ]]; }
ticks() { [[ $(sql "select count(*) from tick") -gt 1 ]]; }

show_static_workers() {
    await "worker hello from a file runs" label_runs hello
    await "hello's output is in the log" grep -q "hello from slot" "$SCRATCH/log/pg-bgwd"
    await "worker flaky, which exits with 1, is started again" label_restarted flaky
    [[ ! $PG_BIN ]] || show_server
}

# show_server stops the server below its workers and starts it again.
show_server() {
    await "worker tick writes into a table of the server" ticks
    end "$SERVER" INT
    await "the server was stopped, and its workers wait for it" tick_waits
    postgres
    await "the server is back and tick runs again" label_runs tick
}

show_dynamic_worker() {
    local handle pid
    say 'busctl call org.pgbgw1 /org/pgbgw1 org.pgbgw1.Manager RegisterDynamicBackgroundWorker "a{sv}t" ...'
    handle=$(bus call org.pgbgw1 /org/pgbgw1 org.pgbgw1.Manager RegisterDynamicBackgroundWorker 'a{sv}t' 5 \
        Name s dynamic Flags as 1 shmem_access StartTime s postmaster_start RestartTime i 0 \
        Command as 2 /bin/sleep infinity 0) || fail "busctl could not register a worker"
    handle=${handle#o \"} handle=${handle%\"}
    await "the dynamic worker $handle runs" running "$handle"
    pid=$(property "$handle" MainPID)
    say "kill -9 $pid"
    "${AS[@]}" kill -9 "$pid"
    await "it was killed and is started again at once" restarted "$handle" "$pid"
}

show_owner() {
    local log=$SCRATCH/log/owner pid
    spawn owner "$SCRATCH/bin/pg-bgw-demo" "$BUS"
    OWNER=${PIDS[-1]}
    await "an owner registered a worker and is told that it runs" grep -q '^notified running' "$log"
    pid=$(sed -n 's/^notified running pid=\([0-9]*\) .*/\1/p' "$log" | head -n 1)
    say "kill -9 $pid"
    "${AS[@]}" kill -9 "$pid"
    await "the owner is told of signal 9" grep -q '^notified .*exit_signal=9' "$log"
    await "the owner is told of the new start" grep -q '^notified running .*start=2' "$log"
    sed 's/^/   /' "$log"
}

# show_table refreshes the list of workers until Ctrl-C.
show_table() {
    local table columns
    while kill -0 "$DAEMON" 2>/dev/null; do
        columns=$(tput cols 2>/dev/null) || columns=80
        table=$(COLUMNS=$columns "${AS[@]}" "$SCRATCH/bin/pg-bgwctl" list 2>&1) || true
        [[ ! -t 1 ]] || printf '\e[H\e[2J'
        printf '%s\n\n%s\n' "$table" "busctl --address=$BUS tree org.pgbgw1"
        tail -n 3 "$SCRATCH/log/owner" | cut -c "-$columns"
        printf '\n%s\n' "Ctrl-C ends everything."
        sleep 1
    done
    tail -n 20 "$SCRATCH/log/pg-bgwd" >&2
    fail "pg-bgwd has ended"
}

# check_end stops the supervisor and sees that nothing of it is left.
check_end() {
    local children pid
    [[ $("${AS[@]}" "$SCRATCH/bin/pg-bgwctl" list) == *hello* ]] || fail "pg-bgwctl list does not show the worker hello"
    say "seen: pg-bgwctl list shows the workers"
    children=$(ps -o pid= --ppid "$DAEMON")
    end "$OWNER"
    end "$DAEMON"
    wait "$DAEMON" || fail "pg-bgwd ended with exit status $?: $(tail -n 3 "$SCRATCH/log/pg-bgwd")"
    for pid in $children; do
        [[ ! -d /proc/$pid ]] || fail "left behind: $(ps -o pid=,stat=,args= -p "$pid")"
    done
    say "seen: pg-bgwd stopped, and its $(wc -w <<<"$children") children with it"
}

# end PID [SIGNAL] ends a process of ours, by force after 15 s.
end() {
    kill -0 "$1" 2>/dev/null || return 0
    kill "-${2:-TERM}" "$1" 2>/dev/null || return 0
    timeout 15 tail --pid="$1" -f /dev/null || kill -KILL "$1" 2>/dev/null || true
}

end_all() {
    local status=$? i
    trap '' INT TERM HUP
    [[ ! -t 1 ]] || printf '\n'
    for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do
        # For PostgreSQL SIGINT is the fast shutdown, for the others an end as well.
        end "${PIDS[i]}" INT
    done
    if [[ $status -ne 0 && $status -ne 130 && ! ${MODULE_FAILED:-} && -d $SCRATCH/log ]]; then
        say "logs, before they are removed"
        tail -n 15 "$SCRATCH"/log/* >&2 || true
    fi
    [[ -z $SCRATCH ]] || rm -rf --one-file-system "$SCRATCH"
    exit "$status"
}
