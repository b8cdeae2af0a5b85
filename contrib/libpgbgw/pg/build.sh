#!/bin/sh
# Builds the library of one PostgreSQL major release.
#
#	build.sh PG_CONFIG DIRECTORY
#
# PG_CONFIG is that release's pg_config (its server headers must be there, Debian:
# postgresql-server-dev-NN). The result is DIRECTORY/libpgbgw-pgNN.so, and beside it
# libpgbgw-pgNN.symbols, a line for each symbol of the server: its name and
# "provided", "stub" or "data". CC and CFLAGS are obeyed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
config=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
major=$("$config" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

: "${CC:=cc}"
flags="-std=gnu11 ${CFLAGS:--O2 -g} -fPIC -fno-strict-aliasing -fwrapv -fno-omit-frame-pointer
	-Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Wno-clobbered
	-D_GNU_SOURCE -DPKGLIBDIR_OF_RELEASE=\"$("$config" --pkglibdir)\" -I$here/../../../shm/testdata -I$here -isystem $("$config" --includedir-server) -isystem $("$config" --includedir)"

objects=
for source in "$here"/*.c; do
	object=$work/$(basename "$source" .c).o
	# shellcheck disable=SC2086
	$CC $flags -c "$source" -o "$object" &
	objects="$objects $object"
done
wait
for object in $objects; do
	[ -e "$object" ] || exit 1
done

# libpgbgw, which speaks to the supervisor, is part of it and not shown to modules.
CC=$CC sh "$here/../build.sh" "$work/libpgbgw" ${CFLAGS:--O2 -g} >/dev/null

# PostgreSQL's own portable code, which its port.h puts behind the C library's names.
# As objects: an archive's members would lose against the weak stubs.
mkdir "$work/port"
(
	cd "$work/port"
	libraries=$("$config" --pkglibdir)
	[ -e "$libraries/libpgport_shlib.a" ] || libraries=$("$config" --libdir)
	ar x "$libraries/libpgport_shlib.a"
	rm -f pqsignal_shlib.o pg_strong_random_shlib.o timingsafe_bcmp_shlib.o
	ar x "$libraries/libpgcommon_shlib.a" $(ar t "$libraries/libpgcommon_shlib.a" | grep -E \
		'^(d2s|f2s|encnames|hashfn|ip|keywords|kwlookup|pg_lzcompress|pg_prng|string|wchar|base64)_shlib\.o$')
)

# Every symbol of the server: those that the objects define are provided, the other functions
# get a stub. What libc and libpq have as well is theirs.
nm -D --defined-only "$("$config" --bindir)/postgres" | awk '{ print $3, $2 }' | sed 's/@[^ ]*//' | sort -u >"$work/server"
nm --defined-only -g $objects "$work"/port/*.o | awk 'NF == 3 { print $3 }' | sort -u >"$work/provided"
for library in libc.so.6 libm.so.6 libpq.so.5; do
	nm -D --defined-only "$($CC -print-file-name="$library" | grep / || ldconfig -p | awk -v l="$library" '$1 == l { print $NF; exit }')"
done | awk '{ sub(/@.*/, "", $3); print $3 }' | sort -u >"$work/others"

awk -v provided="$work/provided" -v others="$work/others" '
	BEGIN {
		while ((getline name < provided) > 0) have[name] = 1
		while ((getline name < others) > 0) other[name] = 1
	}
	$1 ~ /^_(init|fini|start|edata|end|_bss_start|IO_stdin_used)?$/ { next }
	have[$1] { print $1, "provided"; next }
	other[$1] { next }
	$2 ~ /^[TWi]$/ { print $1, "stub"; next }
	{ print $1, "data" }
' "$work/server" >"$out/libpgbgw-pg$major.symbols"

{
	cat <<'ASM'
#if defined __x86_64__
#define ENTER(label) leaq label(%rip), %rdi; jmp pgbgw_stub
#elif defined __aarch64__
#define ENTER(label) adrp x0, label; add x0, x0, :lo12:label; b pgbgw_stub
#else
#error "stubs are written for amd64 and arm64"
#endif
	.hidden pgbgw_stub
	.text
ASM
	awk '$2 == "stub" {
		printf "\t.weak %s\n\t.type %s, %%function\n%s:\tENTER(.Ln%d)\n", $1, $1, $1, NR
		names = names sprintf(".Ln%d:\t.asciz \"%s\"\n", NR, $1)
	} END { printf "\t.section .rodata\n%s\t.section .note.GNU-stack,\"\",%%progbits\n", names }' "$out/libpgbgw-pg$major.symbols"
} >"$work/stubs.S"
$CC -c "$work/stubs.S" -o "$work/stubs.o"

# shellcheck disable=SC2086
$CC -shared ${CFLAGS:--O2 -g} -Wl,-Bsymbolic -Wl,--sort-section=name -Wl,-z,relro,-z,now,-z,noseparate-code -Wl,-soname,"libpgbgw-pg$major.so" -Wl,--no-undefined \
	-o "$out/libpgbgw-pg$major.so" $objects "$work/libpgbgw/libpgbgw.a" "$work"/port/*.o "$work/stubs.o" -Wl,--exclude-libs,libpgbgw.a -Wl,--as-needed -lpthread -ldl -lc -lm
