#!/bin/sh
# build.sh DIRECTORY [cflags]               builds libpgbgw.so.1, libpgbgw.so, libpgbgw.a and libpgbgw.pc there
# build.sh test OUTPUT SOURCE... -- [cflags]  builds a test program with all of the library in it
set -eu
here=$(dirname "$0")
flags="-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes -fvisibility=hidden -fPIC -pthread -I$here/../../shm/testdata"
sources=
for f in area client conninfo decode encode environment error latch lwlock mq mq_receive mq_send party register segment sleep slots toc worker; do
	sources="$sources $here/src/$f.c"
done
if [ "$1" = test ]; then
	output=$2
	shift 2
	programs=
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		programs="$programs $1"
		shift
	done
	[ $# -eq 0 ] || shift
	# shellcheck disable=SC2086 # lists of words without spaces of their own
	exec "${CC:-cc}" $flags -DPGI_TEST -DPGI_PATROL_NS=5000000 -I"$here/src" "$@" -o "$output" $programs $sources
fi
to=$1
shift
mkdir -p "$to"
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
for f in $sources; do
	# shellcheck disable=SC2086
	"${CC:-cc}" $flags "$@" -c -o "$objects/$(basename "$f" .c).o" "$f"
done
"${CC:-cc}" -shared -pthread -Wl,-z,relro,-z,now,-z,defs -Wl,-soname,libpgbgw.so.1 -Wl,--version-script="$here/libpgbgw.map" \
	"$@" -o "$to/libpgbgw.so.1" "$objects"/*.o
ln -sf libpgbgw.so.1 "$to/libpgbgw.so"
rm -f "$to/libpgbgw.a"
"${AR:-ar}" rcs "$to/libpgbgw.a" "$objects"/*.o
version=$(sed -n 's/^#define PGBGW_VERSION "\(.*\)"$/\1/p' "$here/pgbgw.h")
sed -e "s|@PREFIX@|${PREFIX:-/usr}|" -e "s|@LIBDIR@|${LIBDIR:-/usr/lib}|" -e "s|@VERSION@|$version|" "$here/libpgbgw.pc.in" >"$to/libpgbgw.pc"
