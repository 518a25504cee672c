# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Debian packages of any suite and architecture, downloaded with an apt state of our own: the
# machine's sources, lists, status and archives are neither read nor written. Needs no privilege.
# Sourced.
#
# The status file is empty, so a download brings everything that a package depends on, libc too: what
# is unpacked is complete by itself.

apt_mirror=${DSM_VM_MIRROR:-http://deb.debian.org}
apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_init DIRECTORY ARCHITECTURE: a state in a new directory; sets apt_options.
apt_init()
{
	local dir=$1 arch=$2

	mkdir -p "$dir"/{state/lists,cache/archives}/partial "$dir/parts"
	: >"$dir/status"
	apt_dir=$dir
	apt_options=(-q -o APT::Get::Assume-Yes=true
		-o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status"
		-o "Dir::Cache=$dir/cache" -o "Dir::Etc::sourcelist=$dir/sources.list"
		-o "Dir::Etc::sourceparts=$dir/parts" -o "Dir::Etc::preferencesparts=$dir/parts"
		-o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
		-o APT::Install-Recommends=false -o APT::Sandbox::User= -o Debug::NoLocking=true
		-o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
}

# apt_suites SUITE...: bookworm, bookworm-backports or bookworm-security; fetches their lists.
apt_suites()
{
	local suite archive

	for suite in "$@"; do
		archive=debian
		[[ $suite != *-security ]] || archive=debian-security
		echo "deb [signed-by=$apt_keyring] $apt_mirror/$archive $suite main"
	done >"$apt_dir/sources.list"
	apt-get "${apt_options[@]}" -o APT::Update::Error-Mode=any update
}

# apt_dependency PACKAGE: the first package that it depends on: the kernel behind a name that stays.
apt_dependency()
{
	apt-cache "${apt_options[@]}" depends "$1" | awk '$1 == "Depends:" { print $2; exit }'
}

# apt_fetch ROOT [OPTION...] PACKAGE...: download them and all they depend on, and unpack into ROOT.
apt_fetch()
{
	local root=$1

	shift
	rm -f "$apt_dir"/cache/archives/*.deb
	apt-get "${apt_options[@]}" --download-only install "$@" || return
	apt_unpack "$root" "$apt_dir"/cache/archives/*.deb
}

# apt_fetch_alone ROOT PACKAGE...: without what they depend on.
apt_fetch_alone()
{
	local root=$1

	shift
	rm -f "$apt_dir"/cache/archives/*.deb
	(cd "$apt_dir/cache/archives" && apt-get "${apt_options[@]}" download "$@") || return
	apt_unpack "$root" "$apt_dir"/cache/archives/*.deb
}

# apt_unpack ROOT PACKAGE...: into a root whose /bin, /lib and so on are links to those in /usr.
apt_unpack()
{
	local root=$1 deb dir

	shift
	for dir in bin sbin lib lib64; do
		mkdir -p "$root/usr/$dir"
		[[ -L $root/$dir ]] || ln -s "usr/$dir" "$root/$dir"
	done
	for deb in "$@"; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -C "$root" -x --keep-directory-symlink --no-same-owner || return
	done
}
