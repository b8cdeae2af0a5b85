# shellcheck shell=bash

# build puts the three programs into $BUILD.
build() {
    say "building into $BUILD"
    mkdir -p "$BUILD"
    CGO_ENABLED=0 go build -trimpath -o "$BUILD/" ./cmd/pg-bgwd ./cmd/pg-bgwctl
    cmd/pg-bgw-launcher/build.sh "$BUILD/pg-bgw-launcher"
}
