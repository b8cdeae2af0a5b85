# shellcheck shell=bash
# What the commands need from Debian, and Go.

# Packages by what they are looked for: a program, or files, as a pattern, when it begins with /.
# The smallest root of debootstrap lacks all of them; without certificates Go
# cannot fetch the modules.
needed_packages() {
    cat <<'END'
gcc gcc
/usr/include/stdio.h libc6-dev
/etc/ssl/certs/ca-certificates.crt ca-certificates
dbus-daemon dbus-daemon
busctl systemd
ps procps
END
}

# What `test` needs beyond that.
needed_for_test() {
    cat <<'END'
gdbus libglib2.0-bin
dbus-send dbus-bin
python3 python3
/usr/lib/*/libatomic.so.1 libatomic1
man man-db
strace strace
/usr/lib/python3/dist-packages/dbus/__init__.py python3-dbus
END
    [[ $EUID -ne 0 ]] && return
    cat <<'END'
systemd-nspawn systemd-container
debootstrap debootstrap
/usr/lib/systemd/system/dbus.service dbus
dbus-broker-launch dbus-broker
qemu-system-x86_64 qemu-system-x86
mke2fs e2fsprogs
END
    needed_for_modules
}

# What building and testing modules needs: a server, and the headers of the newest
# that is installed, or of the one that this Debian has.
needed_for_modules() {
    local major
    major=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -name '[0-9]*' -printf '%f\n' 2>/dev/null | sort -n | tail -n 1 || true)
    if [[ ! $major ]]; then
        major=17
        ! grep -q '^VERSION_ID="12"' /etc/os-release || major=15
    fi
    cat <<END
/usr/lib/postgresql postgresql
make make
/usr/include/postgresql/libpq-fe.h libpq-dev
/usr/include/postgresql/$major/server/postgres.h postgresql-server-dev-$major
END
}

# need_packages LISTER... installs what the lists name and the machine lacks, as
# root; otherwise it names that and ends.
need_packages() {
    local missing=() what package lister
    for lister in needed_packages "$@"; do
        while read -r what package; do
            present "$what" || missing+=("$package")
        done < <("$lister")
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    [[ $EUID -eq 0 ]] || fail "these Debian packages are missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    apt_install "${missing[@]}" || {
        apt-get update -q >&2
        apt_install "${missing[@]}" || fail "apt-get could not install ${missing[*]}"
    }
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

present() {
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
    esac
}

# find_go puts Go on the PATH. The version is go.mod's business: a newer one than
# the installed is fetched by Go itself, from 1.21 on. That of Debian 12 is older
# and would only say that it cannot read go.mod.
find_go() {
    local found=
    if command -v go >/dev/null; then
        found=$(cd / && go env GOVERSION) || true
        [[ ! $found =~ ^go1\.(1?[0-9]|20)([^0-9]|$) ]] || found="$(command -v go), which is $found and too old"
        [[ $found == go1.* || $found == devel* ]] && return
    fi
    if [[ -x /usr/local/go/bin/go ]]; then
        export PATH=/usr/local/go/bin:$PATH
        return
    fi
    fail "Go is missing${found:+, but for $found}: there is none in /usr/local/go/bin; see https://go.dev/dl/"
}
