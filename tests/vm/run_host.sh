#!/bin/sh
# SPDX-License-Identifier: MIT
# run_host.sh ROOT PROGRAM [ARGUMENT...]: run a program of an unpacked amd64 root with the libraries
# and the loader of that root, whatever this machine's own are.
root=$1
program=$2
shift 2
for file in "$root/usr/bin/$program" "$root/usr/sbin/$program"; do
	# A link's target is a path of that root.
	[ -L "$file" ] && case $(readlink "$file") in
	/*) file=$root$(readlink "$file") ;;
	esac
	[ -x "$file" ] && path=$file
done
libraries=$root/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \
	--argv0 "$program" --library-path "$libraries" "${path:?$program is not in $root}" "$@"
