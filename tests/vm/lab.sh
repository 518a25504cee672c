# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Guests joined by an Ethernet of their own, for tests and by hand. Sourced; see `lab` for a command.
#
#	lab_boot 2                         boot two guests, g1 and g2, 10.77.0.1 and 10.77.0.2
#	lab_run 1 30 'ping -c 1 g2'        run a command in g1 for at most 30 s; its status is this one's
#	lab_output                         what it printed
#	lab_start 2 60 'cmd'; job=$lab_job  the same in the background ...
#	lab_await "$job" PATTERN 20        ... until a line of its output matches ...
#	lab_wait "$job"                    ... until it ends
#	lab_link 2 off                     unplug g2's cable, or plug it in: on
#	lab_kill 2                         g2 is gone, as if by power
#	lab_check                          say what the guests' kernels complained of
#	lab_keep DIRECTORY                 copy what they have said there
#	lab_off                            end them all
#
# Status 124: ended at its limit. Status 250: the guest is gone.
#
# shellcheck disable=SC2054 # the commas in arrays are QEMU's

lab_here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
lab_top=$(realpath "$lab_here/../..")

read -r -a lab_archs <<<"${DSM_VM_ARCH:-amd64}" # of each guest; the last one's of all others too
lab_cpus=${DSM_VM_CPUS:-1}
lab_memory_mib=${DSM_VM_MEMORY_MIB:-512}
lab_rxe=${DSM_VM_RXE:-1}
lab_life_s=${DSM_VM_LIFE_S:-900}           # no guest lives longer
lab_boot_s=${DSM_VM_BOOT_S:-120}
read -r -a lab_expose <<<"${DSM_VM_EXPOSE:-} $lab_top" # what guests see at its own path
lab_live=0 # 1: what changes in exposed directories is seen, and nothing can be written there
lab_dir=
lab_guests=0
declare -A lab_sets=() # by architecture
lab_leash=(setpriv --pdeathsig KILL) # guests end with this process
declare -A lab_answers=()

# lab_fetch: what guests are made of is there. Status 77, with the reason on stdout: the download was
# refused.
lab_fetch()
{
	local arch set

	for arch in "${lab_archs[@]}"; do
		[[ -z ${lab_sets[$arch]:-} ]] || continue
		set=$("$lab_here/fetch.sh" "$arch") || { set -- $?; echo "$set"; return "$1"; }
		lab_sets[$arch]=$set
	done
	lab_of 1
}

# lab_of GUEST: sets lab_arch and lab_set to its own.
lab_of()
{
	local last=$((${#lab_archs[@]} - 1))

	lab_arch=${lab_archs[$(($1 - 1 < last ? $1 - 1 : last))]}
	lab_set=${lab_sets[$lab_arch]}
}

# lab_qemu GUEST: the command that runs it, in the array lab_command.
lab_qemu()
{
	local dir=$lab_dir/$1 i=0 expose

	lab_command=("$lab_here/run_host.sh" "$lab_set/host")
	lab_machine "$(cat "$lab_set/host/qemu")"
	lab_command+=(
		-L "$lab_set/host/usr/share/qemu" -L "$lab_set/host/usr/share/seabios"
		-nodefaults -no-user-config -no-reboot -display none
		-smp "$lab_cpus" -m "$lab_memory_mib"
		-kernel "$lab_set/vmlinux" -initrd "$lab_dir/initramfs-$lab_arch"
		-chardev "file,id=console,path=$dir/console.log" -serial chardev:console
		-chardev "pipe,id=qmp,path=$dir/qmp" -mon chardev=qmp,mode=control
		-device virtio-serial-pci
		-chardev "pipe,id=channel,path=$dir/channel"
		-device virtserialport,chardev=channel)
	lab_share lab "$dir/share" off
	lab_share guest "$lab_set/guest" on
	[[ $lab_arch != amd64 ]] || lab_share base / on
	for expose in "${lab_expose[@]}"; do
		lab_share "expose$i" "$expose" on
		i=$((i + 1))
	done
	lab_network "$1"
}

# lab_machine QEMU_VERSION
lab_machine()
{
	local append="console=ttyS0 loglevel=5 panic=-1 oops=panic nokaslr mitigations=off"

	append+=" random.trust_cpu=on rcupdate.rcu_cpu_stall_timeout=60"
	case $lab_arch in
	amd64)
		# A kernel that counts the processor's cycles against the PIT, on a busy machine, may
		# believe that its clock is seven times as fast as it is.
		lab_command+=(qemu-system-x86_64 -accel "tcg,thread=multi" -M q35,pit=off
			-append "$append tsc=reliable $(lab_tsc)")
		# 7.2 gets cmpxchg16b wrong: 6.12 double-faults.
		(($1 >= 10)) || lab_command+=(-cpu "max,-cx16")
		;;
	arm64)
		# With a thread a processor, on x86, a load-acquire overtakes the store-release before
		# it (QEMU 10: 300 times in 256,000), which no arm64 does: sleepers are not woken.
		lab_command+=(qemu-system-aarch64 -accel "tcg,thread=single" -M "virt,gic-version=3"
			-cpu cortex-a76 -append "${append/ttyS0/ttyAMA0}")
		;;
	esac
}

# lab_tsc: how fast the guest's cycles go, which are this machine's, where it says so; else the guest
# measures it, to some percent. Where frequencies change, what /proc/cpuinfo has is something else.
lab_tsc()
{
	[[ ! -d /sys/devices/system/cpu/cpu0/cpufreq ]] || return 0
	awk -F : '/^cpu MHz/ { printf "tsc_early_khz=%.0f", 1000 * $2; exit }' /proc/cpuinfo
}

# lab_share TAG DIRECTORY READONLY
lab_share()
{
	lab_command+=(-virtfs "local,path=$2,mount_tag=$1,security_model=none,readonly=$3,multidevs=remap")
}

# lab_network GUEST: one guest has a card that nobody listens to, two have a cable, more a segment.
lab_network()
{
	local server=off

	(($1 > 1)) || server=on
	case $lab_guests in
	1) lab_command+=(-netdev user,id=net0,restrict=on,ipv6=off) ;;
	2) lab_command+=(-netdev "stream,id=net0,server=$server,addr.type=unix,addr.path=$lab_dir/cable") ;;
	*) lab_command+=(-netdev "socket,id=net0,mcast=$lab_group,localaddr=127.0.0.1") ;;
	esac
	lab_command+=(-device "virtio-net-pci,netdev=net0,id=nic0,romfile=,host_mtu=4200,mac=52:54:00:77:00:0$1")
}

# lab_open_job GUEST JOB: a place for its output and its answer, held open by this shell.
lab_open_job()
{
	local dir=$lab_dir/$1/share/jobs/$2 answer

	mkfifo "$dir/done" && : >"$dir/out" || return 1
	exec {answer}<>"$dir/done"
	lab_answers[$1/$2]=$answer
}

# lab_start_guest GUEST: returns when its QEMU takes commands.
lab_start_guest()
{
	local dir=$lab_dir/$1 base=0 greeting

	lab_of "$1"
	[[ $lab_arch != amd64 ]] || base=1
	mkdir -p "$dir/share/jobs/ready"
	mkfifo "$dir"/{channel,qmp}.{in,out}
	lab_open_job "$1" ready
	cp "$lab_here"/{agent,rsh}.sh "$dir/share/"
	cat >"$dir/share/config" <<-END
		lab_guest=$1
		lab_guests=$lab_guests
		lab_base=$base
		lab_rxe=$lab_rxe
		lab_expose="${lab_expose[*]}"
		lab_top=$lab_top
		lab_live=$lab_live
	END
	lab_qemu "$1"
	"${lab_leash[@]}" bash "$lab_here/guest.sh" "$dir" "$lab_life_s" "${lab_command[@]}" \
		</dev/null >"$dir/guest.log" 2>&1 &
	echo $! >"$dir/keeper"
	if ! read -r -t 30 greeting <>"$dir/qmp.out" || ! lab_qmp "$1" qmp_capabilities; then
		echo "lab: QEMU of guest $1 does not start: ${greeting:-no greeting}" >&2
		cat "$dir/qemu.log" "$dir/guest.log" >&2
		return 1
	fi
}

# lab_boot COUNT: boot so many guests and wait until each is ready. Status 77: no download.
lab_boot()
{
	local guest arch

	lab_fetch || return
	lab_guests=$1
	lab_dir=${lab_dir:-$(mktemp -d "${TMPDIR:-/tmp}/dsm-lab.XXXXXX")} || return 1
	lab_group=239.77.$((RANDOM % 256)).$((RANDOM % 256)):$((20000 + RANDOM % 10000))
	for arch in "${!lab_sets[@]}"; do
		"$lab_here/initramfs.sh" "${lab_sets[$arch]}" "$lab_dir/initramfs-$arch" || return 1
	done
	for ((guest = 1; guest <= lab_guests; guest++)); do
		lab_start_guest "$guest" || return 1
	done
	for ((guest = 1; guest <= lab_guests; guest++)); do
		lab_wait "$guest/ready" "$lab_boot_s" && continue
		echo "lab: guest $guest is not ready after $lab_boot_s s" >&2
		tail -n 20 "$lab_dir/$guest/"{console,qemu}.log >&2
		return 1
	done
}

# lab_qmp GUEST COMMAND [ARGUMENTS]: tell QEMU; arguments as JSON.
lab_qmp()
{
	local dir=$lab_dir/$1 line arguments=${3:-{\}} answers

	exec {answers}<>"$dir/qmp.out"
	echo "{\"execute\": \"$2\", \"arguments\": $arguments}" 1<>"$dir/qmp.in"
	while read -r -t 20 line <&"$answers"; do
		[[ $line == *'"return"'* || $line == *'"error"'* ]] && break
	done
	exec {answers}>&-
	[[ $line == *'"return"'* ]] && return
	echo "lab: QEMU of guest $1 refuses $2: ${line:-no answer}" >&2
	return 1
}

# lab_start GUEST SECONDS COMMAND: let it run; its name, GUEST/JOB, is in lab_job.
lab_start()
{
	local dir

	# In the order of their start.
	dir=$(mktemp -d "$lab_dir/$1/share/jobs/$(date +%H%M%S).XXXXXX") || return 1
	lab_job=$1/${dir##*/}
	printf '%s\n' "$3" >"$dir/command"
	lab_open_job "$1" "${dir##*/}" || return 1
	# Whoever ends the guest makes `gone` before it looks for FIFOs, of which this is now one.
	if [[ -e $lab_dir/$1/gone ]]; then
		echo gone 1<>"$dir/done"
	else
		echo "${dir##*/} $2" 1<>"$lab_dir/$1/channel.in"
	fi
}

# lab_wait JOB [SECONDS]: its status; without SECONDS its own limit counts.
lab_wait()
{
	local answer=${lab_answers[$1]} status

	read -r -t "${2:-$lab_life_s}" status <&"$answer" || status=gone
	exec {answer}>&-
	unset "lab_answers[$1]"
	[[ $status != gone* ]] || return 250
	return "$status"
}

# lab_output [JOB]: what it (or the last one) has printed.
lab_output()
{
	local job=${1:-$lab_job}

	cat "$lab_dir/${job%%/*}/share/jobs/${job##*/}/out"
}

# lab_run GUEST SECONDS COMMAND: run it to its end.
lab_run()
{
	lab_start "$@" && lab_wait "$lab_job"
}

# lab_await JOB PATTERN SECONDS: until a line of its output matches, at most so long.
lab_await()
{
	local out=$lab_dir/${1%%/*}/share/jobs/${1##*/}/out

	# shellcheck disable=SC2016 # expanded there
	timeout "$3" bash -c 'grep -q -m 1 -e "$1" < <(exec tail -s 0.1 -n +1 -f "$2")' \
		await "$2" "$out"
}

# lab_link GUEST on|off: plug its cable in, or unplug it.
lab_link()
{
	local up=true

	[[ $2 == on ]] || up=false
	lab_qmp "$1" set_link "{\"name\": \"nic0\", \"up\": $up}"
}

# lab_kill GUEST: it is gone at once.
lab_kill()
{
	kill -KILL "$(cat "$lab_dir/$1/pid")"
}

# lab_check: print what the kernels complained of; status 1 if there was anything.
lab_check()
{
	local guest status=0

	for ((guest = 1; guest <= lab_guests; guest++)); do
		grep -H -n -A 25 -E 'BUG|WARNING|WATCHDOG|Oops|panic|rcu.*stall|blocked for more than' \
			"$lab_dir/$guest/console.log" && status=1
	done
	return $status
}

# lab_keep DIRECTORY: what each guest has said: its console, and each command with its output; instead of
# what is there.
lab_keep()
{
	local guest job kept

	rm -rf "$1"
	for ((guest = 1; guest <= lab_guests; guest++)); do
		kept=$1/g$guest
		mkdir -p "$kept" && cp "$lab_dir/$guest"/*.log "$kept/"
		for job in "$lab_dir/$guest"/share/jobs/*/; do
			job=${job%/}
			{
				sed 's/^/# /' "$job/command"
				cat "$job/out"
			} >"$kept/${job##*/}" 2>/dev/null
		done
	done
}

# lab_off: end the guests and forget them.
lab_off()
{
	local guest

	for ((guest = 1; guest <= lab_guests; guest++)); do
		[[ -s $lab_dir/$guest/pid ]] || continue
		[[ -e $lab_dir/$guest/gone ]] || lab_kill "$guest" 2>/dev/null
		# Not always a child of this process, so not wait.
		tail -s 0.05 --pid="$(cat "$lab_dir/$guest/keeper")" -f /dev/null
	done
	[[ -z $lab_dir ]] || rm -rf "$lab_dir"
	lab_dir=
	lab_guests=0
}
