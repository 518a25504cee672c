#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs libdsm under a directory that is removed again, and builds a ten-line program against it
# in every way that a user may: CMake and pkg-config, C and C++, shared and static. Runs each, which
# prints the version of the library it got.
#
# usage: run.sh BUILD_DIRECTORY [CMAKE]

set -eu

build=$1
cmake=${2:-cmake}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/dsm_install_XXXXXX")
trap 'rm -rf "$work"' EXIT

cached() {
	sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

if [ -n "$(cached DSM_SANITIZE)" ] || [ "$(cached DSM_COVERAGE)" = ON ]; then
	echo "skipped: a library with sanitizers or coverage needs their flags in its user"
	exit 77
fi
for tool in pkg-config c++ nm readelf; do
	if ! command -v "$tool" >/dev/null; then
		echo "skipped: $tool is not installed"
		exit 77
	fi
done

prefix=$work/prefix
"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log" || {
	cat "$work/install.log"
	fail "cmake --install"
}
libdir=$(dirname "$(find "$prefix" -name libdsm.so)")
version=$(sed -n 's/^#define DSM_VERSION_\(MAJOR\|MINOR\|PATCH\) //p' "$prefix/include/dsm/dsm.h" |
	paste -sd.)
cc=$(cached CMAKE_C_COMPILER)

# Runs a consumer, which must find the version that its header promises.
check() {
	printf '%s: ' "$1"
	shift
	got=$("$@") || fail "$* ended with status $?"
	echo "$got"
	[ "$got" = "libdsm $version" ] || fail "expected: libdsm $version"
}

# What libdsm.so exports is what dsm.h declares, neither more nor less.
grep -oE '^[a-z][a-z_0-9 ]*[ *]dsm_[a-z0-9_]+\(' "$prefix/include/dsm/dsm.h" |
	grep -oE 'dsm_[a-z0-9_]+\(' | tr -d '(' | sort >"$work/declared"
nm -D --defined-only "$libdir/libdsm.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' |
	sort >"$work/exported"
diff -u "$work/declared" "$work/exported" || fail "libdsm.so exports something else than dsm.h declares"

# libdsm.a leaves a program's own names alone.
nm --defined-only --extern-only "$libdir/libdsm.a" | awk 'NF == 3 { print $3 }' | sort \
	>"$work/static_names"
diff -u "$work/declared" "$work/static_names" || fail "libdsm.a has other global names than dsm.h"

readelf -d "$libdir/libdsm.so" | grep -q "SONAME.*\[libdsm.so.${version%%.*}\]" || fail "SONAME"

# CMake, with the generator that this build has: CMake's own choice, make, may not be installed.
"$cmake" -S "$here/consumer" -B "$work/cmake" -G "$(cached CMAKE_GENERATOR)" \
	-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
	>"$work/cmake.log" 2>&1 && "$cmake" --build "$work/cmake" >>"$work/cmake.log" 2>&1 || {
	cat "$work/cmake.log"
	fail "the consumer with CMake"
}
for name in consumer_c consumer_cxx consumer_c_static consumer_cxx_static; do
	check "cmake $name" "$work/cmake/$name"
done

# pkg-config; the prefix is not where it was configured for, which the .pc file must not mind.
export PKG_CONFIG_PATH="$libdir/pkgconfig"
shared=$(pkg-config --cflags --libs dsm)
flags=$(pkg-config --cflags dsm)
static=$(pkg-config --libs --static dsm | sed 's/-ldsm/-l:libdsm.a/')
[ "$(pkg-config --modversion dsm)" = "$version" ] || fail "version in dsm.pc"
for language in c cxx; do
	case $language in
	c) compile="$cc -std=c11 -Wall -Wextra -Wpedantic -Werror" source=consumer.c ;;
	cxx) compile="c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror" source=consumer.cc ;;
	esac
	# Flags are words, so not quoted.
	$compile "$here/consumer/$source" $shared -Wl,-rpath,"$libdir" -o "$work/pc_$language"
	check "pkg-config $language" "$work/pc_$language"
	$compile "$here/consumer/$source" $flags $static -o "$work/pc_${language}_static"
	check "pkg-config $language static" "$work/pc_${language}_static"
done

if [ -x "$prefix/bin/dsm_info" ]; then
	check "dsm_info" sh -c "'$prefix/bin/dsm_info' --version | head -n 1 | cut -d ' ' -f 1-2 |
		sed s/dsm_info/libdsm/"
fi
