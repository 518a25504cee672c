#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install.sh BUILD: what kmod/README.md says of installing, done. DKMS adds, builds and
# installs the module for a Debian kernel, in a tree of this test's own; a guest with that kernel finds
# it by modprobe; and Debian's udev gives the device to the group by the module's rule: members may open
# it, others not, and dsm_info finds it. Then DKMS removes all.
set -u -o pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
top=$(realpath "$here/../..")
build=$(realpath "$1")
dir=$build/tests/kmod/install
mkdir -p "$dir" || exit 1
export DSM_VM_ARCH=amd64 DSM_VM_KERNEL=6.12-amd64 DSM_VM_RXE=0
# shellcheck source=tests/vm/apt.sh
. "$here/../vm/apt.sh"

cache=${DSM_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libdsm-vm}
recipe=$(cat "$here/install.sh" "$here/../vm/apt.sh" | sha256sum)
set=$cache/install-${recipe:0:12}
log=$cache/install.log
tree=$dir/tree # instead of /
failed=0

# says TEXT COMMAND...: it works; else what it printed is shown.
says()
{
	if "${@:2}" >"$dir/log" 2>&1; then
		echo "ok     $1"
	else
		echo "FAILED $1"
		sed 's/^/       /' "$dir/log"
		failed=1
	fi
}

# DKMS, and a root that udev runs in.
fetch()
{
	apt_init "$new/apt" amd64
	apt_suites bookworm bookworm-updates bookworm-security && apt_fetch_alone "$new/dkms" dkms &&
		apt_fetch "$new/udev" udev passwd || return
	rm -rf "$new/apt"
	# What installing, and not unpacking, would make.
	echo root:x:0:0:root:/root:/bin/sh >"$new/udev/etc/passwd"
	echo root:x:0: >"$new/udev/etc/group"
	mkdir -p "$new"/udev/{dev,proc,sys,run}
}

provide()
{
	mkdir -p "$cache" || exit 1
	exec {lock}>"$cache/lock-install"
	flock "$lock"
	if [[ ! -e $set/udev ]]; then
		new=$(mktemp -d "$cache/install-new.XXXXXX") || exit 1
		trap 'rm -rf "$new"' EXIT
		fetch >"$log" 2>&1 {lock}>&- || {
			echo "skipped: apt-get cannot fetch dkms and udev (see $log)"
			exit 77
		}
		rm -rf "$set"
		chmod 755 "$new"
		mv "$new" "$set" || exit 1
		trap - EXIT
	fi
	touch "$set"
	exec {lock}>&-
}

# What DKMS calls and a machine without modules lacks; depmod on this test's tree.
write_programs()
{
	local program options

	mkdir -p "$dir/bin"
	for program in depmod modinfo lsmod; do
		options=
		[[ $program != depmod ]] || options="-b '$tree'"
		printf '#!/bin/sh\nexec "%s" "%s" %s %s "$@"\n' "$here/../vm/run_host.sh" "$lab_set/host" \
			"$program" "$options" >"$dir/bin/$program"
		chmod +x "$dir/bin/$program"
	done
}

# dkms COMMAND...: for the guest's kernel; it wants to be root.
dkms()
{
	local -a root=()

	((UID == 0)) || root=(unshare -r)
	PATH=$dir/bin:$PATH "${root[@]}" bash "$set/dkms/usr/sbin/dkms" --dkmstree "$tree/var/lib/dkms" \
		--sourcetree "$tree/usr/src" --installtree "$tree/lib/modules" --kernelsourcedir "$headers" \
		-k "$kver/x86_64" "$@"
}

is_installed()
{
	dkms status | grep -x "dsm_cache/1, $kver, x86_64: installed" &&
		[[ $(cd "$tree/lib/modules/$kver" && echo updates/dkms/*) == updates/dkms/dsm_cache.ko* ]]
}

is_gone()
{
	dkms remove dsm_cache/1 && [[ -z $(dkms status) ]] &&
		! find "$tree/lib/modules" "$tree/var/lib/dkms" | grep dsm_cache
}

install_by_dkms()
{
	rm -rf "$tree"
	mkdir -p "$tree"/{usr/src,var/lib/dkms} "$tree/lib/modules/$kver"
	cp -r "$top/kmod" "$tree/usr/src/dsm_cache-1" || exit 1
	says "dkms adds" dkms add dsm_cache/1
	says "dkms builds" dkms build dsm_cache/1
	says "dkms installs" dkms install dsm_cache/1
	says "dkms says so" is_installed
	((failed == 0)) || exit 1
}

# In the guest. The same steps as in kmod/README.md; udev in a root of its own, with the guest's devices.
write_steps()
{
	cat >"$dir/steps.sh" <<-END
		udev='$set/udev'
		export SYSTEMD_IGNORE_CHROOT=1 # udevadm does nothing there otherwise
		in_udev() { chroot "\$udev" "\$@"; }
		node() { stat -c '%U:%g %a' /dev/dsm_cache; }
		as() { setpriv --reuid 1234 --regid 1234 --"\$1" "\${@:2}"; }
		open() { as "\$@" bash -c ': <>/dev/dsm_cache'; }
		check()
		{
			local out

			if out=\$("\${@:2}" 2>&1); then
				echo "ok     \$1"
			else
				echo "FAILED \$1: \$out"
				exit 1
			fi
		}
		is() { [[ \$("\${@:2}") == "\$1" ]] || { echo "it is \$("\${@:2}")"; return 1; }; }
		not() { ! "\$@"; }
		told() { in_udev udevadm test /sys/class/misc/dsm_cache 2>&1 | awk '
			/dsm_cache.rules/ { print }
			/[Uu]nknown|[Ii]nvalid|[Ff]ailed to/ && /dsm/ { print; bad = 1 }
			/70-dsm_cache.rules:2 MODE 0660/ { mode = 1 }
			END { exit bad || !mode }'; }

		cp -r '$tree/lib/modules/$kver/updates' /lib/modules/$kver/ && depmod || exit
		check "modprobe finds what dkms installed" is '/lib/modules/$kver/updates/dkms/$1' modinfo -n dsm_cache
		check "modprobe loads it" modprobe dsm_cache
		check "without udev the device is root's alone" is 'root:0 660' node
		check "modprobe unloads it" modprobe -r dsm_cache
		for i in dev proc sys run; do mount --rbind /\$i "\$udev/\$i"; done
		in_udev groupadd --system dsm && mkdir -p "\$udev/etc/udev/rules.d" &&
			cp '$top/kmod/70-dsm_cache.rules' "\$udev/etc/udev/rules.d/" || exit
		gid=\$(awk -F : '\$1 == "dsm" { print \$3 }' "\$udev/etc/group")
		in_udev /lib/systemd/systemd-udevd --daemon && modprobe dsm_cache &&
			in_udev udevadm settle --timeout=30 || exit
		check "udev gives the device to the group" is "root:\$gid 660" node
		check "udev finds nothing wrong with the rule" told
		check "a member opens it" open groups=\$gid
		check "others do not" not open clear-groups
		check "dsm_info finds it for a member" grep -q 'module dsm_cache  *yes, version 1' <(as groups=\$gid '$build/tools/dsm_info')
		check "and says to others what to do" grep -q 'join the group' <(as clear-groups '$build/tools/dsm_info')
		check "modprobe unloads it" modprobe -r dsm_cache
		in_udev udevadm settle --timeout=30
		check "the device is gone" not test -e /dev/dsm_cache
		in_udev udevadm control --exit
	END
}

provide
DSM_VM_EXPOSE="$build $set"
# shellcheck source=tests/vm/lab.sh
. "$here/../vm/lab.sh"
lab_fetch || exit
kver=$(cat "$lab_set/kver")
headers=$("$here/headers.sh" "$kver") || { set -- $?; echo "$headers"; exit "$1"; }
for program in make cc; do
	command -v $program >/dev/null || { echo "skipped: no $program here: apt-get install gcc make"; exit 77; }
done
write_programs
install_by_dkms
write_steps "$(basename "$tree/lib/modules/$kver"/updates/dkms/*)"
trap lab_off EXIT
lab_boot 1 || exit
lab_run 1 240 "bash '$dir/steps.sh'" || failed=1
lab_output "$lab_job"
lab_check || failed=1
says "dkms removes" is_gone
exit $failed
