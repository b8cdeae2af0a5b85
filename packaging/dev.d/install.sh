# shellcheck shell=bash

# install_all installs everything below $DESTDIR. What the administrator changed
# in /etc is kept. Without DESTDIR it leaves nothing to do but to start the service.
install_all() {
    if [[ -z ${PGBGW_BUILD:-} ]]; then
        need_packages
        build
    fi
    local root=${DESTDIR:-}
    [[ -n $root || $EUID -eq 0 ]] || fail "only root can install into the system; set DESTDIR for another place"
    install_programs
    install_library
    install_integration
    install_documentation
    install_python
    install_completion
    install_configuration
    say "installed below ${root:-/}"
    if [[ -z $root ]]; then
        after_install
        say_next
    fi
}

# put FILE TARGET [MODE]
put() { install -D -m "${3:-0644}" "$1" "${DESTDIR:-}$2"; }

install_programs() {
    put "$BUILD/pg-bgwd" /usr/sbin/pg-bgwd 0755
    put "$BUILD/pg-bgwctl" /usr/bin/pg-bgwctl 0755
    put "$BUILD/pg-bgw-launcher" /usr/lib/pg-bgw/pg-bgw-launcher 0755
    local f
    for f in "$BUILD"/libpgbgw-pg*.{so,symbols}; do # none: built without PostgreSQL's headers
        [[ ! -e $f ]] || put "$f" "/usr/lib/pg-bgw/$(basename "$f")"
    done
}

# install_library is for who writes workers in C. A packager who has built without
# it installs none.
install_library() {
    local dir f
    [[ -e $BUILD/libpgbgw/libpgbgw.pc ]] || { say "no C library in $BUILD: not installed" && return; }
    dir=$(sed -n 's/^libdir=//p' "$BUILD/libpgbgw/libpgbgw.pc")
    put "$BUILD/libpgbgw/libpgbgw.so.1" "$dir/libpgbgw.so.1"
    ln -sf libpgbgw.so.1 "${DESTDIR:-}$dir/libpgbgw.so"
    put "$BUILD/libpgbgw/libpgbgw.a" "$dir/libpgbgw.a"
    put "$BUILD/libpgbgw/libpgbgw.pc" "$dir/pkgconfig/libpgbgw.pc"
    put contrib/libpgbgw/pgbgw.h /usr/include/pgbgw.h
    for f in contrib/libpgbgw/pgbgw/*.h; do
        put "$f" "/usr/include/pgbgw/$(basename "$f")"
    done
}

install_integration() {
    local f
    put packaging/systemd/pg-bgw.service /usr/lib/systemd/system/pg-bgw.service
    put packaging/dbus/org.pgbgw1.conf /usr/share/dbus-1/system.d/org.pgbgw1.conf
    put packaging/dbus/org.pgbgw1.service /usr/share/dbus-1/system-services/org.pgbgw1.service
    for f in dbusapi/org.pgbgw1.*.xml; do
        put "$f" "/usr/share/dbus-1/interfaces/$(basename "$f")"
    done
    put packaging/sysusers/pg-bgw.conf /usr/lib/sysusers.d/pg-bgw.conf
    put packaging/tmpfiles/pg-bgw.conf /usr/lib/tmpfiles.d/pg-bgw.conf
    put packaging/catalog/pg-bgw.catalog /usr/lib/systemd/catalog/pg-bgw.catalog
}

install_documentation() {
    local f
    for f in packaging/man/*.[1-8]; do
        put "$f" "/usr/share/man/man${f##*.}/$(basename "$f")"
    done
    for f in packaging/systemd/examples/*.conf packaging/dbus/examples/*.conf; do
        put "$f" "/usr/share/doc/pg-bgw/examples/$(basename "$f")"
    done
}

# install_python puts the package where Debian's Python looks for what packages
# bring.
install_python() {
    local f
    for f in contrib/python/pgbgw/*.py; do
        put "$f" "/usr/lib/python3/dist-packages/pgbgw/$(basename "$f")"
    done
}

# install_completion asks the program, which may be one for another machine.
install_completion() {
    local shell target script
    while read -r shell target; do
        if ! script=$("$BUILD/pg-bgwctl" completion "$shell" 2>/dev/null); then
            say "$BUILD/pg-bgwctl does not run here: no completion for $shell"
            continue
        fi
        put /dev/stdin "$target" <<<"$script"
    done <<'END'
bash /usr/share/bash-completion/completions/pg-bgwctl
fish /usr/share/fish/vendor_completions.d/pg-bgwctl.fish
zsh /usr/share/zsh/vendor-completions/_pg-bgwctl
END
}

install_configuration() {
    local f
    if [[ -e ${DESTDIR:-}/etc/pg-bgw/pg-bgw.hcl ]]; then
        say "kept ${DESTDIR:-}/etc/pg-bgw/pg-bgw.hcl"
    else
        put packaging/etc/pg-bgw.hcl /etc/pg-bgw/pg-bgw.hcl
    fi
    for f in packaging/etc/workers.d/*; do
        put "$f" "/etc/pg-bgw/workers.d/$(basename "$f")"
    done
}

# after_install does what a package's postinst does. The user comes before the
# bus reads its policy, which ignores rules about unknown users.
after_install() {
    systemd-sysusers pg-bgw.conf
    systemd-tmpfiles --create pg-bgw.conf
    journalctl --update-catalog
    ldconfig
    [[ -d /run/systemd/system ]] || return 0
    systemctl daemon-reload
    ! systemctl is-active --quiet dbus.service || systemctl reload dbus.service
}

# say_next names what is left to the administrator: whether the service runs, and
# from when on, is not for an installation to decide.
say_next() {
    if [[ ! -d /run/systemd/system ]]; then
        say "systemd does not run here; where it does: systemctl enable --now pg-bgw"
    elif ! systemctl is-active --quiet dbus.service; then
        say "there is no message bus yet: apt-get install dbus, then: systemctl enable --now pg-bgw"
    elif systemctl is-active --quiet pg-bgw.service; then
        say "pg-bgw still runs as it was; next: systemctl restart pg-bgw"
    else
        say "next: systemctl enable --now pg-bgw"
    fi
}
