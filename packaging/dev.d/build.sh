# shellcheck shell=bash

# build puts the three programs and the C library into $BUILD, and what
# PostgreSQL's modules need.
build() {
    say "building into $BUILD"
    mkdir -p "$BUILD"
    CGO_ENABLED=0 go build -trimpath -o "$BUILD/" ./cmd/pg-bgwd ./cmd/pg-bgwctl
    cmd/pg-bgw-launcher/build.sh "$BUILD/pg-bgw-launcher"
    LIBDIR=$(library_directory) contrib/libpgbgw/build.sh "$BUILD/libpgbgw"
    build_modules
}

# library_directory is where libraries of this machine belong, /usr/lib where the
# compiler knows of no other.
library_directory() {
    local triplet
    triplet=$("${CC:-cc}" -print-multiarch 2>/dev/null) || triplet=
    printf '/usr/lib%s' "${triplet:+/$triplet}"
}

# build_modules makes, for each release of PostgreSQL whose server headers are here,
# the library that its modules run on. It takes seconds, so it is not made again
# while nothing is newer than it.
build_modules() {
    local config major any=
    for config in /usr/lib/postgresql/*/bin/pg_config; do
        [[ -x $config && -e $("$config" --includedir-server)/postgres.h ]] || continue
        any=yes
        major=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        [[ ! -e $BUILD/libpgbgw-pg$major.so ||
            $(find contrib/libpgbgw shm/testdata "$(dirname "$config")/postgres" -newer "$BUILD/libpgbgw-pg$major.so" -print -quit) ]] || continue
        say "building for the modules of PostgreSQL $major"
        contrib/libpgbgw/pg/build.sh "$config" "$BUILD"
    done
    [[ $any ]] || say "there are no headers of a PostgreSQL server here (postgresql-server-dev-NN): modules are left out"
}
