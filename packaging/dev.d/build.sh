# shellcheck shell=bash

# build puts the three programs and the C library into $BUILD.
build() {
    say "building into $BUILD"
    mkdir -p "$BUILD"
    CGO_ENABLED=0 go build -trimpath -o "$BUILD/" ./cmd/pg-bgwd ./cmd/pg-bgwctl
    cmd/pg-bgw-launcher/build.sh "$BUILD/pg-bgw-launcher"
    LIBDIR=$(library_directory) contrib/libpgbgw/build.sh "$BUILD/libpgbgw"
}

# library_directory is where libraries of this machine belong, /usr/lib where the
# compiler knows of no other.
library_directory() {
    local triplet
    triplet=$("${CC:-cc}" -print-multiarch 2>/dev/null) || triplet=
    printf '/usr/lib%s' "${triplet:+/$triplet}"
}
