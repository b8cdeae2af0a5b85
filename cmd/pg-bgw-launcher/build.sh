#!/bin/sh
# build.sh OUTPUT [cflags]       builds the launcher
# build.sh test OUTPUT [cflags]  builds the test program of its parts
set -eu
here=$(dirname "$0")
sources="main.c request.c seats.c fork.c child.c sandbox.c modules.c spare.c"
if [ "$1" = test ]; then
	shift
	sources="launcher_test.c request.c seats.c fork.c child.c sandbox.c modules.c spare.c"
fi
output=$1
shift
files=
for f in $sources; do
	files="$files $here/$f"
done
# shellcheck disable=SC2086 # a list of words without spaces of their own
exec "${CC:-cc}" -std=c11 -O2 -Wall -Wextra -Werror -Wl,-z,relro,-z,now,-z,noseparate-code "$@" -o "$output" $files -ldl
