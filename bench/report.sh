#!/bin/bash
# SPDX-License-Identifier: MIT
#
# How fast libdsm is beside the floors under it and the systems that a user would take instead, on
# this machine: every test of dsm_bench, and one-sided communication by Open MPI, MPICH and
# OpenSHMEM, in turns. What comes out, in build/report or --out:
#
#	report.csv   every figure of every run: test,size,ranks,system,repeat,value,unit
#	medians.csv  over the runs: test,size,ranks,system,unit,median,least,most,runs
#	report.md    tables with ratios
#	*.svg        latency and rate against size
#	apps.csv     the applications' runs, where there are applications (bench/apps)
#
# docs/performance.md says what is measured and how to read it.
set -u -o pipefail
# shellcheck source=tools/common.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../tools/common.sh"
# shellcheck source=bench/report/progress.sh
. "$top/bench/report/progress.sh"

bench=$top/bench
docs=$top/docs/performance.md
usage()
{
	cat <<END
usage: bench/report.sh [--quick] [--out DIR] [--build DIR] [--from DIR] [--docs] [--no-install]
  Measure libdsm, the floors under it and its peers; takes about ten minutes. Leave the machine alone.
  --quick       one short run of each, about a minute: to see that all of it works, not how fast
  --out DIR     where results go (default: build/report)
  --build DIR   a build of this tree that is there already; nothing is built but the peers
  --from DIR    measure nothing: tables and plots anew, of what is in DIR
  --docs        put the tables into docs/performance.md and the plots beside it
  --no-install  never call apt-get; peers that are missing are columns that say so
END
}

refuse()
{
	printf '%s: %s\n' "$self" "$*" >&2
	usage >&2
	exit 2
}

quick=0 install=1 to_docs=0
out=$top/build/report
build_dir=
from=
while (($#)); do
	case $1 in
	--quick) quick=1 ;;
	--no-install) install=0 ;;
	--docs) to_docs=1 ;;
	--out | --build | --from)
		[[ -n ${2-} ]] || refuse "$1 needs a directory"
		case $1 in
		--out) out=$2 ;;
		--build) build_dir=$2 ;;
		--from) from=$2 ;;
		esac
		shift
		;;
	-h | --help) usage; exit 0 ;;
	*) refuse "$1: no such option" ;;
	esac
	shift
done
[[ -z $from ]] || out=$from
[[ -z $from || -r $from/report.csv ]] || die "$from/report.csv: no such file; --from takes what --out was"
[[ -z $build_dir || -x $build_dir/bench/dsm_bench ]] ||
	die "$build_dir/bench/dsm_bench: no such program; --build takes a build directory of CMake's"
((!to_docs || !quick)) || refuse "--docs takes no --quick run: its figures mean nothing"
mkdir -p "$out" && out=$(realpath "$out") || exit 1
log=$out/report.log

repeats=5 blocks=1 peer_blocks=2 limit_s=15 dsm_limit_s=180
rank_counts=(2 3 4)
sizes=() # the programs' own
if ((quick)); then
	repeats=1 peer_blocks=1 limit_s=5
	rank_counts=(2 3)
	sizes=(8 4096 1048576)
fi

#
# What there is to run. A system is a name in the tables; a step is a run of it with so many ranks.
#

# What the peers are called, in the order of the tables.
peers=(openmpi mpich openshmem)
# dsm_bench under other settings: "name|ranks' placement|environment". The first has the defaults.
modes=("libdsm||")
steps=()
declare -A missing_peer # why

# What sets libdsm beside others, and what a mode of handling faults makes a difference to.
compared=(get put fetch_add relock lock_handover lock_contended barrier)
by_mode=(read_miss write_upgrade ping_pong lock_handover barrier)

# Debian has one mpirun.NAME beside another.
launcher()
{
	local command

	for command in "$@"; do
		has_command "$command" && echo "$command" && return
	done
	return 1
}

is_openmpi()
{
	"$1" --version 2>/dev/null | grep -qi 'open *mpi\|open-mpi'
}

find_programs()
{
	local name version reason

	openmpi=$(launcher mpirun.openmpi mpirun) && is_openmpi "$openmpi" || openmpi=
	mpich=$(launcher mpirun.mpich mpiexec.hydra mpirun) || mpich=
	oshrun=$(launcher oshrun) || oshrun=
	while IFS=$'\t' read -r name version reason; do
		if [[ $version == - ]]; then
			missing_peer[$name]=$reason
		else
			printf '%s %s\n' "$name" "$version" >>"$out/systems"
		fi
	done < <("$bench/peers/build.sh" "$build_dir/bench/peers")
	[[ -n $openmpi ]] || missing_peer[openmpi]=${missing_peer[openmpi]-"no mpirun of Open MPI's (Debian: openmpi-bin)"}
	[[ -n $mpich ]] || missing_peer[mpich]=${missing_peer[mpich]-"no mpirun of MPICH's (Debian: mpich)"}
	[[ -n $oshrun ]] || missing_peer[openshmem]=${missing_peer[openshmem]-"no oshrun (Debian: openmpi-bin)"}
}

find_modes()
{
	local handler

	for handler in core inline; do
		modes+=("libdsm $handler||DSM_FAULT_HANDLER=$handler")
	done
	[[ -n $openmpi ]] || return 0
	modes+=("libdsm unbound|--bind-to none|")
	for handler in core inline; do
		modes+=("libdsm $handler unbound|--bind-to none|DSM_FAULT_HANDLER=$handler")
	done
}

# In turns: every system once, with every number of ranks, before any comes again.
plan()
{
	local repeat ranks mode peer

	for ((repeat = 1; repeat <= repeats; repeat++)); do
		for ranks in "${rank_counts[@]}"; do
			for mode in "${modes[@]}"; do
				((ranks == 2)) || [[ $mode == "libdsm||" ]] || continue
				steps+=("$repeat|$ranks|$mode")
			done
			for peer in "${peers[@]}"; do
				[[ -v missing_peer[$peer] ]] || steps+=("$repeat|$ranks|$peer||")
			done
		done
	done
	[[ ! -x $bench/apps/run.sh ]] || steps+=("1|2|applications||")
}

#
# One run
#

# start_ranks RANKS PLACEMENT PROGRAM...: of libdsm: by Open MPI's launcher; where there is none, by hand.
start_ranks()
{
	local ranks=$1
	local -a placement

	read -ra placement <<<"$2"
	shift 2
	if [[ -n $openmpi ]]; then
		limited $dsm_limit_s "$openmpi" -n "$ranks" "${placement[@]}" "$@"
		return
	fi
	# shellcheck disable=SC2016 # expanded by the inner shell
	DSM_SIZE=$ranks limited $dsm_limit_s bash -c '
		export DSM_ROOT=127.0.0.1:$((20000 + RANDOM % 10000)) DSM_TOKEN=report-$$-$RANDOM
		for ((rank = 1; rank < DSM_SIZE; rank++)); do DSM_RANK=$rank "$@" & done
		DSM_RANK=0 "$@"
		status=$?
		wait
		exit $status' bash "$@"
}

# run_libdsm REPEAT RANKS NAME PLACEMENT ENVIRONMENT
run_libdsm()
{
	local -a tests=("${compared[@]}") options=(--format=csv --repeat="$1" --system="$3" --blocks="$blocks")
	local -a environment
	local IFS=,

	((${#sizes[@]} == 0)) || options+=(--sizes="${sizes[*]}")
	((!quick)) || options+=(--bytes=4M)
	unset IFS
	[[ $3 == libdsm ]] || tests=("${by_mode[@]}")
	[[ $3 != libdsm || $2 != 2 ]] || tests=(all)
	read -ra environment <<<"$5"
	start_ranks "$2" "$4" env "${environment[@]}" "$build_dir/bench/dsm_bench" "${options[@]}" "${tests[@]}"
}

# run_peer REPEAT RANKS NAME. Where ranks outnumber processors, some wait without giving theirs away.
run_peer()
{
	local -a command=("$build_dir/bench/peers/$3" "$3" "$1" "$peer_blocks" "$limit_s" "${sizes[@]}")

	(($2 <= $(nproc))) || command[3]=1
	case $3 in
	mpich) limited $((limit_s * 2)) "$mpich" -n "$2" "${command[@]}" ;;
	openshmem) limited $((limit_s * 2)) "$oshrun" -n "$2" "${command[@]}" ;;
	*) limited $((limit_s * 2)) "$openmpi" -n "$2" "${command[@]}" ;;
	esac
}

run_applications()
{
	local -a options=(--csv "$out/apps.csv" "--build=$build_dir")

	if ((quick)); then
		options+=(--quick --repeats 1 heat stream)
	else
		options+=(--repeats 3)
	fi
	limited $((quick ? 200 : 900)) "$bench/apps/run.sh" "${options[@]}"
}

# run_step REPEAT RANKS NAME PLACEMENT ENVIRONMENT: whole lines are kept, whatever the status.
run_step()
{
	local status=0 lines=$out/lines

	printf '\n--- run %s of %s, %s ranks\n' "$1" "$3" "$2" >>"$log"
	case $3 in
	applications) run_applications >>"$log" 2>&1 || status=$? ;;
	libdsm*) run_libdsm "$@" >"$lines" 2>"$out/errors" || status=$? ;;
	*) run_peer "$@" >"$lines" 2>"$out/errors" || status=$? ;;
	esac
	if [[ $3 == applications ]]; then
		((status == 0)) || note "applications" "" "status $status: $(tail -n 1 "$log")"
		return
	fi
	awk -F, 'NF == 7' "$lines" >>"$out/report.csv"
	cat "$out/errors" >>"$log"
	if [[ $3 == libdsm* ]] && ((status)); then
		cat "$out/errors" >&2
		"$build_dir/tools/dsm_info" --check >&2
		die "dsm_bench ended with status $status, as $3 with $2 ranks"
	elif ((status == 124)); then
		note "$3" "$2" "did not come to an end within $((limit_s * 2)) s"
	elif ((status)); then
		note "$3" "$2" "ended with status $status: $(grep -v '^[-=[:space:]]*$' "$out/errors" | head -n 1)"
	elif grep -q 'no time for all' "$out/errors"; then
		note "$3" "$2" "had no time for all sizes in $limit_s s"
	fi
}

# note SYSTEM RANKS SENTENCE: for the foot of the tables, once.
note()
{
	local line=$1${2:+, $2 ranks}": $3"

	grep -qxF -- "$line" "$out/notes" || printf '%s\n' "$line" >>"$out/notes"
}

#
# What comes of it
#

describe_machine()
{
	local load

	read -r load _ </proc/loadavg
	printf '%s; %s processors; Linux %s; %s\n' \
		"$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
		"$(uname -rm)" "$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME")" >"$out/machine"
	printf '%s; %s\n' "$(date -u '+%Y-%m-%d %H:%M UTC')" "load before the first run $load" >>"$out/machine"
	if awk -v load="$load" 'BEGIN { exit !(load > 0.5) }'; then
		note "the machine" "" "was not idle when the runs began (load $load): the figures are not to be trusted"
		say "the machine is busy (load $load): figures will not be worth much" >&2
	fi
	((!quick)) || note "this run" "" "was a quick one: that all of it works is all that its figures show"
}

# A system has the same colour in all plots.
slots="libdsm, dsm_acquire=1|libdsm, loads=4|libdsm, dsm_read=7|libdsm, stores=4|libdsm, loads again=8|libdsm, stores again=8"
slots+="|Open MPI=2|MPICH=5|OpenSHMEM=3|floor: memcpy=6|floor: UFFDIO_COPY=10"

# draw FILE TEST UNIT RANKS TITLE LABEL
draw()
{
	awk -F, -v test="$2" -v unit="$3" -v ranks="$4" -f "$bench/report/series.awk" "$out/medians.csv" |
		awk -v x=size -v y=median -v series=system -v x_unit=bytes -v title="$5" \
			-v x_label="N" -v y_label="$6" -v slots="$slots" -f "$bench/plot.awk" >"$out/$1"
}

draw_all()
{
	local ranks test

	rm -f "$out"/{get,put}-{latency,rate}-[0-9]*.svg
	while read -r ranks; do
		for test in get put; do
			draw "$test-latency-$ranks.svg" $test us "$ranks" \
				"$test of N bytes, cold, $ranks ranks: latency" "us, median"
			draw "$test-rate-$ranks.svg" ${test}_stream MB/s "$ranks" \
				"$test of N bytes after N bytes, $ranks ranks: rate" "MB/s, all ranks together"
		done
	done < <(awk -F, '$1 == "get" { print $3 }' "$out/medians.csv" | sort -nu)
}

write_tables()
{
	awk -f "$bench/report/medians.awk" "$out/report.csv" >"$out/medians.csv" || return
	draw_all
	awk -v dir="$out" -f "$bench/report/tables.awk" "$out/medians.csv" >"$out/report.md" || return
	[[ -s $out/apps.csv && -r $bench/apps/table.awk ]] || return 0
	{
		printf '\n### Applications, 2 ranks\n\nRates; a ratio above 1: libdsm is the faster one.\n\n'
		awk -f "$bench/apps/table.awk" "$out/apps.csv"
	} >>"$out/report.md"
}

# The part of docs/performance.md between its two markers, and the plots that it shows.
write_docs()
{
	local plots=$top/docs/performance

	(($(grep -c '^<!-- report: \(begin\|end\) -->$' "$docs") == 2)) ||
		die "$docs lacks its markers, <!-- report: begin --> and <!-- report: end -->"
	! grep -q '^this run: was a quick one' "$out/notes" ||
		die "$out is of a --quick run, whose figures mean nothing: not put into $docs"
	mkdir -p "$plots" && rm -f "$plots"/*.svg && cp "$out"/*.svg "$plots/" || exit 1
	awk -v tables="$out/report.md" '
		/^<!-- report: end -->$/ { inside = 0 }
		!inside { print }
		/^<!-- report: begin -->$/ {
			inside = 1
			while ((getline line <tables) > 0) {
				gsub(/\]\(/, "](performance/", line)
				print line
			}
		}' "$docs" >"$docs.new" && mv "$docs.new" "$docs"
	say "wrote $docs and $plots"
}

# Peers are better there: on a terminal it is asked whether to install them.
provide_peers()
{
	local -a lack
	local answer

	mapfile -t lack < <(missing "${wants_peers[@]}")
	((${#lack[@]} && install)) || return 0
	if [[ -t 0 && -t 2 ]]; then
		read -r -p "$self: install ${lack[*]}, to compare with? [Y/n] " answer
		[[ ${answer:-y} == [yYjJ]* ]] || return 0
	fi
	say "installing what to compare with: ${lack[*]}"
	apt_install "${lack[@]}" || say "apt-get could not install it; going on without" >&2
}

build_all()
{
	local -a options=(-DDSM_BUILD_TESTS=OFF)

	[[ -z $build_dir ]] || return 0
	build_dir=$top/build
	[[ ! -f $build_dir/CMakeCache.txt ]] || options=()
	say "building into $build_dir"
	configure "$build_dir" "${options[@]}" || die "could not configure"
	build "$build_dir" 600 || die "could not build"
}

measure()
{
	local step peer what

	[[ -n $build_dir ]] || provide $install needs_build wants_launch
	provide_peers
	build_all
	rm -f "$out"/{report.csv,apps.csv,notes,missing,systems,machine,report.log}
	touch "$out"/{notes,missing,systems}
	echo "test,size,ranks,system,repeat,value,unit" >"$out/report.csv"
	allow_mpirun
	unset "${!DSM_@}" # a setting of the caller's would be measured instead of the default
	find_programs
	find_modes
	for peer in "${peers[@]}"; do
		[[ ! -v missing_peer[$peer] ]] || printf '%s: %s\n' "$peer" "${missing_peer[$peer]}"
	done | tee "$out/missing" | sed "s/^/$self: going on without /" >&2
	describe_machine
	plan
	progress_guess_ms["applications 2"]=$((quick ? 15000 : 150000))
	progress_begin "${steps[@]}"
	for step in "${steps[@]}"; do
		IFS='|' read -r -a fields <<<"$step|"
		what="${fields[2]}, ${fields[1]} ranks"
		[[ ${fields[2]} == applications ]] || what+=", run ${fields[0]} of $repeats"
		progress_step "$what" "${fields[2]} ${fields[1]}"
		run_step "${fields[@]:0:5}"
		progress_done "${fields[2]} ${fields[1]}"
	done
	progress_end
	rm -f "$out"/{lines,errors}
}

if [[ -z $from ]]; then
	measure
else
	touch "$out"/{notes,missing,systems,machine}
fi
write_tables || die "could not make tables of $out/report.csv"
((!to_docs)) || write_docs
plots=("$out"/*.svg)
say "results are in $out: report.md, report.csv, medians.csv, ${#plots[@]} plots"
