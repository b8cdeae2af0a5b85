# shellcheck shell=bash
# The file systems of Debian 13 that tests run in. They are made once and kept, until
# what they are made from is another; where they cannot be made again, as they are.

readonly TRIXIE_PACKAGES=systemd,systemd-sysv,dbus,dbus-broker,libglib2.0-bin,python3-dbus,man-db,procps
readonly POSTGRESQL_PACKAGES="postgresql-17 postgresql-server-dev-17 libpq-dev gcc libc6-dev make"
readonly MACHINE_PACKAGES="linux-image-cloud-amd64 initramfs-tools"

# roots_cache is where they are kept.
roots_cache() {
    local cache=/var/cache
    [[ -w $cache ]] || cache=${XDG_CACHE_HOME:-$HOME/.cache}
    printf '%s/pg-bgw-dev' "$cache"
}

# made TARGET RECIPE... says whether TARGET is there and was made from that; noted
# TARGET RECIPE... writes down that it is now.
made() { [[ -d $1 && $(cat "$1.recipe" 2>/dev/null) == "${*:2}" ]]; }
noted() { printf '%s\n' "${*:2}" >"$1.recipe"; }

make_roots() {
    make_trixie
    make_postgresql
    make_machine
}

# make_trixie makes the root and tells the system test where it is, or why there
# is none.
make_trixie() {
    local root
    root=$(roots_cache)/trixie
    if ! made "$root" "$TRIXIE_PACKAGES"; then
        say "making a root of Debian 13 in $root"
        rm -rf --one-file-system "$root.new"
        mkdir -p "$(dirname "$root")"
        if debootstrap --variant=minbase --include="$TRIXIE_PACKAGES" trixie "$root.new" >"$root.log" 2>&1; then
            rm -rf --one-file-system "$root"
            mv "$root.new" "$root"
            noted "$root" "$TRIXIE_PACKAGES"
        elif [[ ! -d $root ]]; then
            say "debootstrap failed, so there is no test on systemd 257; see $root.log"
            export PGBGW_NO_TRIXIE="debootstrap failed, see $root.log"
            return
        fi
    fi
    export PGBGW_TRIXIE_ROOT=$root
}

# extend_trixie TARGET PACKAGE... makes a copy of that root with more packages in
# it. Nothing that it installs is started: there is no systemd in it.
extend_trixie() {
    local target=$1
    shift
    rm -rf --one-file-system "$target.new"
    cp -a --reflink=auto "$PGBGW_TRIXIE_ROOT" "$target.new"
    mkdir -p "$target.new/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$target.new/etc/postgresql-common/createcluster.conf"
    if ! chroot "$target.new" sh -euc '
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q
        apt-get install -q -y --no-install-recommends "$@"
        apt-get clean
        rm -rf /var/lib/apt/lists/*' sh "$@" >"$target.log" 2>&1; then
        say "apt-get could not install $* into a root of Debian 13; see $target.log"
        return 1
    fi
    rm -rf --one-file-system "$target"
    mv "$target.new" "$target"
}

# make_postgresql makes a root that has a newer server than the machine may have,
# and what modules for it are built with.
make_postgresql() {
    local root
    root=$(roots_cache)/trixie-postgresql
    if ! made "$root" "$TRIXIE_PACKAGES $POSTGRESQL_PACKAGES"; then
        [[ ${PGBGW_TRIXIE_ROOT:-} ]] || return 0
        say "installing PostgreSQL 17 into $root"
        # shellcheck disable=SC2086 # a list of words
        if extend_trixie "$root" $POSTGRESQL_PACKAGES; then
            noted "$root" "$TRIXIE_PACKAGES $POSTGRESQL_PACKAGES"
        elif [[ ! -d $root ]]; then
            export PGBGW_NO_POSTGRESQL="apt-get failed, see $root.log"
            return 0
        fi
    fi
    export PGBGW_POSTGRESQL_ROOT=$root
}

# make_machine makes what the emulated machine boots: a disk with Debian 13, its
# kernel and its initial file system. All that the machine does is to mount its
# second disk and run what is there; see packaging/systemtest/guest_linux_test.go.
make_machine() {
    local machine root recipe
    machine=$(roots_cache)/machine
    recipe="$TRIXIE_PACKAGES $MACHINE_PACKAGES $(declare -f machine_units)"
    if ! made "$machine" "$recipe"; then
        [[ ${PGBGW_TRIXIE_ROOT:-} ]] || return 0
        say "making a disk of Debian 13 in $machine"
        root=$machine.root
        # shellcheck disable=SC2086 # a list of words
        if extend_trixie "$root" $MACHINE_PACKAGES; then
            make_disk "$root" "$machine"
            noted "$machine" "$recipe"
        elif [[ ! -d $machine ]]; then
            export PGBGW_NO_MACHINE="apt-get failed, see $root.log"
            return 0
        fi
    fi
    export PGBGW_MACHINE=$machine
}

# make_disk ROOT MACHINE makes a root into a machine's directory.
make_disk() {
    local root=$1 machine=$2
    rm -rf --one-file-system "$machine" "$machine.new"
    mkdir "$machine.new"
    mv "$root"/boot/vmlinuz-* "$machine.new/kernel"
    mv "$root"/boot/initrd.img-* "$machine.new/initrd"
    machine_units "$root/etc/systemd/system"
    mke2fs -q -t ext4 -O ^has_journal -d "$root" "$machine.new/disk" 1536M
    rm -rf --one-file-system "$root"
    mv "$machine.new" "$machine"
}

# machine_units makes the machine start what a bus needs and the test, and no more:
# each unit costs an emulated second.
machine_units() {
    local unit
    for unit in systemd-udev-trigger systemd-logind systemd-resolved systemd-networkd systemd-timesyncd \
        systemd-modules-load systemd-random-seed apparmor; do
        ln -sf /dev/null "$1/$unit.service"
    done
    ln -sf /dev/null "$1/timers.target"
    cat >"$1/test.target" <<'END'
[Unit]
Requires=basic.target dbus.socket test.service
After=basic.target
AllowIsolate=yes
END
    cat >"$1/test.service" <<'END'
[Unit]
After=basic.target dbus.socket
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=mount -o ro /dev/vdb /mnt
ExecStart=sh /mnt/run
ExecStopPost=systemctl poweroff --force
END
}
