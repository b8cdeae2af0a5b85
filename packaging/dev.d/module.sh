# shellcheck shell=bash
# A try of somebody's modules: built as PGXS builds them, for each release whose
# headers are here, and run for some seconds under a supervisor of their own beside
# a throw-away cluster. The directory itself is only read.

MODULE_DIRS=()     # what to try
MODULE_SETTINGS=() # NAME=VALUE
MODULE_RUNS=()     # [LIBRARY:]FUNCTION[=ARGUMENT]: workers beside those that _PG_init registers
MODULE_PRELOADS=() # libraries to preload; none: all that are built
MODULE_SQL=()      # run in the server first
MODULE_SECONDS=5
MODULE_RESULTS=() # a line for each try
MODULE_FAILED=
MODULE_MOUNTS=() # overlays of the present try
TRY=             # its directory
TRY_NAME=        # and what it is called

try_modules() {
    module_arguments "$@"
    # What an extension installs is laid over the server's directories, for these
    # processes alone. Without the right to do so there are no extensions.
    if [[ $EUID -eq 0 && ! ${PGBGW_OWN_MOUNTS:-} ]] && unshare --mount true 2>/dev/null; then
        cd "$OLDPWD" || exit
        PGBGW_OWN_MOUNTS=yes exec unshare --mount --propagation=private -- "$REPO/packaging/dev" test modules "$@"
    fi
    need_packages needed_for_modules
    build
    trap end_all EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    make_scratch
    cp "$BUILD"/libpgbgw-pg*.{so,symbols} "$SCRATCH/bin/" || fail "no library of any release was built"
    start_bus
    local dir config
    for dir in "${MODULE_DIRS[@]}"; do
        for config in $(releases); do
            try_module "$dir" "$config"
        done
    done
    printf '%s\n' "" "${MODULE_RESULTS[@]}"
    [[ ! $MODULE_FAILED ]] || exit 1
}

module_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
        --set | --run | --preload | --sql | --seconds)
            [[ $# -gt 1 ]] || fail "$1 needs a value"
            module_option "$1" "$2"
            shift
            ;;
        -*) fail "test modules has no $1: it takes --set NAME=VALUE, --run [LIBRARY:]FUNCTION[=ARGUMENT], --preload LIBRARY, --sql TEXT, --seconds N and directories" ;;
        *)
            local dir
            dir=$(cd "$OLDPWD" && realpath -- "$1")
            [[ -f $dir/Makefile || -f $dir/GNUmakefile || -f $dir/makefile ]] || fail "$1 has no Makefile"
            MODULE_DIRS+=("$dir")
            ;;
        esac
        shift
    done
    [[ ${#MODULE_DIRS[@]} -gt 0 ]] || fail "test modules with options needs a directory, too"
}

module_option() {
    case $1 in
    --set)
        [[ $2 =~ ^[A-Za-z_][A-Za-z0-9_.$]*=[^$'\n']*$ ]] || fail "--set takes NAME=VALUE, in a line, not \"$2\""
        MODULE_SETTINGS+=("$2")
        ;;
    --run)
        [[ $2 =~ ^([A-Za-z0-9_.-]+:)?[A-Za-z_][A-Za-z0-9_]*(=[0-9]+)?$ ]] ||
            fail "--run takes a function, perhaps with its library and : before it, and = and a number behind it, not \"$2\""
        MODULE_RUNS+=("$2")
        ;;
    --preload) MODULE_PRELOADS+=("$2") ;;
    --sql) MODULE_SQL+=("$2") ;;
    --seconds)
        [[ $2 =~ ^[0-9]+$ ]] || fail "--seconds takes a number, not \"$2\""
        MODULE_SECONDS=$2
        ;;
    esac
}

# releases prints the pg_config of each release that modules can be built for.
releases() {
    local config
    for config in /usr/lib/postgresql/*/bin/pg_config; do
        [[ ! -e $($config --includedir-server 2>/dev/null)/postgres.h ]] || printf '%s\n' "$config"
    done
}

# try_module makes one try; what fails in it is its result.
try_module() {
    local dir=$1 config=$2 major first=${#PIDS[@]} result i
    major=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    TRY_NAME=$(basename "$dir")-$major
    TRY=$SCRATCH/try-$major-${#MODULE_RESULTS[@]}
    say "$dir with PostgreSQL $major"
    "${AS[@]}" mkdir -p "$TRY"/{run,workers.d,socket}
    result=
    try_steps "$dir" "$config" "$major" || MODULE_FAILED=yes
    for ((i = ${#PIDS[@]} - 1; i >= first; i--)); do
        end "${PIDS[i]}" INT
    done
    for i in "${MODULE_MOUNTS[@]}"; do
        umount "$i"
    done
    MODULE_MOUNTS=()
    MODULE_RESULTS+=("$(printf '%-24s PostgreSQL %-3s %s' "$(basename "$dir")" "$major" "$result")")
}

# try_steps says in $result how far it came.
try_steps() {
    local dir=$1 config=$2 major=$3 libraries
    build_module "$dir" "$config" || { result="cannot be built" && return 1; }
    libraries=$(find "$TRY/stage$("$config" --pkglibdir)" -maxdepth 1 -name '*.so' 2>/dev/null | sort)
    [[ $libraries ]] || { result="its make install brings no library" && return 1; }
    # shellcheck disable=SC2086 # names of PGXS have no spaces
    "$SCRATCH/bin/pg-bgwctl" module check --postgresql "$major" --libraries "$SCRATCH/bin" $libraries ||
        { result="cannot be loaded: see module check above" && return 1; }
    lay_over "$config"
    module_cluster "$config"
    module_extensions
    module_supervisor "$config" "$major" "$libraries"
    module_report
}

# build_module builds a copy, and installs that below $TRY/stage.
build_module() {
    local log=$SCRATCH/log/make-$TRY_NAME
    local make=(make -s -C "$TRY/source" "PG_CONFIG=$2" USE_PGXS=1 with_llvm=no)
    cp -a "$1" "$TRY/source"
    [[ $EUID -ne 0 ]] || chown -R "$("${AS[@]}" id -un):" "$TRY/source"
    # Objects may lie there that are of another release.
    "${AS[@]}" "${make[@]}" clean >"$log" 2>&1 || true
    if "${AS[@]}" "${make[@]}" >"$log" 2>&1 && "${AS[@]}" "${make[@]}" install "DESTDIR=$TRY/stage" >>"$log" 2>&1; then
        return 0
    fi
    tail -n 15 "$log" >&2
    return 1
}

# lay_over shows the server what was installed below $TRY/stage.
lay_over() {
    local d
    for d in "$("$1" --sharedir)/extension" "$("$1" --pkglibdir)"; do
        [[ -d $TRY/stage$d ]] || continue
        if [[ ${PGBGW_OWN_MOUNTS:-} ]] && mount -t overlay -o "lowerdir=$TRY/stage$d:$d" overlay "$d" 2>/dev/null; then
            MODULE_MOUNTS+=("$d")
        else
            say "$d cannot be laid over (only root may): the server does not see what is installed there"
        fi
    done
}

module_cluster() {
    PG_BIN=$("$1" --bindir)
    "${AS[@]}" "$PG_BIN/initdb" -D "$TRY/data" -U postgres -A trust --no-sync >"$TRY/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$TRY/initdb.log")"
    spawn "postgres-$TRY_NAME" "$PG_BIN/postgres" -D "$TRY/data" -c listen_addresses= -c "unix_socket_directories=$TRY/socket" \
        -c fsync=off -c "dynamic_library_path=$TRY/stage$("$1" --pkglibdir):\$libdir"
    await "the server accepts connections" module_sql "select 1"
}

module_sql() { "${AS[@]}" "$PG_BIN/psql" -qAtX -v ON_ERROR_STOP=1 -h "$TRY/socket" -U postgres -d postgres -c "$1"; }

# module_extensions creates what is installed; one that wants to be preloaded by
# the server itself cannot be, and the worker may do without.
module_extensions() {
    local f
    while read -r f; do
        module_sql "create extension if not exists \"$(basename "$f" .control)\" cascade" ||
            say "extension $(basename "$f" .control) was not created"
    done < <(find "$TRY/stage" -name '*.control')
    for f in "${MODULE_SQL[@]}"; do
        module_sql "$f" || say "failed: $f"
    done
}

module_supervisor() {
    local library preloads=() s
    for library in $3; do
        preloads+=("$(basename "$library" .so)")
    done
    [[ ${#MODULE_PRELOADS[@]} -eq 0 ]] || preloads=("${MODULE_PRELOADS[@]}")
    {
        printf 'max_worker_processes = 64\npostgresql = %s\n' "$2"
        printf 'shared_preload_libraries = ['
        printf '"%s", ' "${preloads[@]}"
        printf ']\ndynamic_library_path = "%s:%s"\nsettings = {\n' "$TRY/stage$("$1" --pkglibdir)" "\$libdir"
        for s in "${MODULE_SETTINGS[@]}"; do
            printf '  "%s" = "%s"\n' "${s%%=*}" "$(hcl_text "${s#*=}")"
        done
        printf '}\nserver "scratch" {\n  conninfo = "host=%s user=postgres dbname=postgres"\n}\n' "$TRY/socket"
    } >"$TRY/pg-bgw.hcl"
    for s in "${MODULE_RUNS[@]}"; do
        module_worker "${preloads[0]}" "$s"
    done
    spawn "pg-bgwd-$TRY_NAME" "$SCRATCH/bin/pg-bgwd" --config "$TRY/pg-bgw.hcl" --workers "$TRY/workers.d" \
        --bus "$BUS" --runtime-dir "$TRY/run"
    DAEMON=${PIDS[-1]}
    await "pg-bgwd has the name org.pgbgw1" bus call org.freedesktop.DBus / org.freedesktop.DBus GetNameOwner s org.pgbgw1
}

# module_worker LIBRARY [LIBRARY:]FUNCTION[=ARGUMENT]
module_worker() {
    local library=$1 function=${2%%=*} argument=0
    [[ $2 != *=* ]] || argument=${2#*=}
    [[ $function != *:* ]] || library=${function%%:*}
    function=${function#*:}
    cat >"$TRY/workers.d/$function-$argument.hcl" <<END
worker "$function-$argument" {
  library_name  = "$library"
  function_name = "$function"
  main_arg      = $argument
  flags         = ["shmem_access", "backend_database_connection"]
  start_time    = "recovery_finished"
  restart_time  = "never"
}
END
}

# hcl_text TEXT is how a line of text stands between quotation marks in HCL.
hcl_text() { sed -e 's/[\\"]/\\&/g' -e 's/\([$%]\){/\1\1{/g' <<<"$1"; }

module_list() { "${AS[@]}" "$SCRATCH/bin/pg-bgwctl" "$@"; }

# module_report lets them run, and says what they did.
module_report() {
    local log=$SCRATCH/log/pg-bgwd-$TRY_NAME faults i
    for ((i = 0; i < 200; i++)); do # a module may register none
        ! module_started || break
        sleep 0.1
    done
    sleep "$MODULE_SECONDS"
    module_list list --all --full
    faults=$(module_faults)
    kill -TERM "$DAEMON"
    timeout 40 tail --pid="$DAEMON" -f /dev/null || true # longer than a worker may take to end
    sed 's/^/   /' "$log"
    result="${faults:-its workers ran}"
    [[ ! $faults ]]
}

module_handles() { module_list list --all --full --no-legend | grep -oE ' [0-9]+\.[0-9]+ ' || true; }

# module_started is true when there are workers and the start of each is over.
module_started() {
    local handles states
    handles=$(module_handles)
    # shellcheck disable=SC2086 # a list of words
    [[ $handles ]] && states=$(module_list show --value -p State,StartNumber $handles) && ! grep -qxE '0|starting' <<<"$states"
}

# module_faults prints what keeps the try from having gone well.
module_faults() {
    local handle state start restarts code signal any=
    while read -r handle; do
        any=yes
        read -r state start restarts code signal < <(module_list show --value -p State,StartNumber,Restarts,ExitCode,ExitSignal "$handle" | tr '\n' ' ')
        case $state in
        running | ended) [[ $restarts -eq 0 && ($state == running || $code$signal == 00) ]] && continue ;;
        esac
        printf 'worker %s: %s, start %s, exit code %s, signal %s; ' "$handle" "$state" "$start" "$code" "$signal"
    done < <(module_handles)
    [[ $any ]] || printf 'no worker was registered: see the log above; --run FUNCTION runs one'
}
