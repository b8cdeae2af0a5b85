#!/bin/sh
# build.sh DIRECTORY [cflags]               builds libpgbgw.so.1, libpgbgw.so, libpgbgw.a and libpgbgw.pc there
# build.sh test DIRECTORY [cflags]          builds the test programs there, with all of the library in them
set -eu
here=$(dirname "$0")
flags="-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes -fvisibility=hidden -fPIC -pthread -I$here/../../shm/testdata"
sources=
for f in area barrier client condition conninfo decode dynamic encode environment error latch lwlock mq mq_copy mq_receive mq_send party places records register segment sleep slots toc tranche worker; do
	sources="$sources $here/src/$f.c"
done
compile() { # compile DIRECTORY [cflags]
	to=$1
	shift
	for f in $sources; do
		# shellcheck disable=SC2086 # lists of words without spaces of their own
		"${CC:-cc}" $flags "$@" -c -o "$to/$(basename "$f" .c).o" "$f"
	done
}
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
if [ "$1" = test ]; then
	output=$2
	shift 2
	compile "$objects" -DPGI_TEST -DPGI_PATROL_NS=5000000 "$@"
	mkdir -p "$output"
	for program in role unit vectors; do
		# shellcheck disable=SC2086
		"${CC:-cc}" $flags -DPGI_TEST -I"$here/src" "$@" -o "$output/$program" "$here/testdata/$program"*.c "$here/testdata/point.c" "$objects"/*.o
	done
	exit
fi
output=$1
shift
mkdir -p "$output"
compile "$objects" "$@"
"${CC:-cc}" -shared -pthread -Wl,-z,relro,-z,now,-z,defs -Wl,-soname,libpgbgw.so.1 -Wl,--version-script="$here/libpgbgw.map" \
	"$@" -o "$output/libpgbgw.so.1" "$objects"/*.o
ln -sf libpgbgw.so.1 "$output/libpgbgw.so"
rm -f "$output/libpgbgw.a"
"${AR:-ar}" rcs "$output/libpgbgw.a" "$objects"/*.o
version=$(sed -n 's/^#define PGBGW_VERSION "\(.*\)"$/\1/p' "$here/pgbgw.h")
sed -e "s|@PREFIX@|${PREFIX:-/usr}|" -e "s|@LIBDIR@|${LIBDIR:-/usr/lib}|" -e "s|@VERSION@|$version|" "$here/libpgbgw.pc.in" >"$output/libpgbgw.pc"
