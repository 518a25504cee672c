#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Runs the applications in their forms, in turns, checks the results against one another, and prints
# medians: the speed-up over one thread, and the ratio to MPI. Takes three minutes; --quick one.
#
#	bench/apps/run.sh [--build=DIRECTORY] [--csv FILE] [--ranks N] [--class S|W] [--repeats N]
#		[--bind none|core] [--quick] [APP...]
#
# The forms: seq (one thread), plain (libdsm, loads and stores alone), dsm (with what makes them
# faster), mpi. The CSV has a row a run: app,class,form,ranks,repeat,seconds,ok,rate,unit. A row is ok
# if the application got what it expects and its checksum is that of one thread. Exit status 1: one
# is not.
#
# --bind: where mpirun puts a rank of libdsm. On one core it shares that with its agent, which is best
# where there is a processor a rank but not two (else the scheduler at times puts two computing ranks
# on one processor), and worse where there are more: so that is the default.
#
# MPIRUN: the launcher of the MPI form, if it is not mpirun (MPICH's, for a build with MPICH).
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/common.sh
. "$here/../../tools/common.sh"

usage()
{
	sed -n '/^#\tbench/,/^#$/s/^#\t\?//p' "$0"
}

build_dir=$top/build
csv=
ranks=2
classes=
repeats=9
bind=
limit_s=60
apps=()
while (($#)); do
	case $1 in
	--build=*) build_dir=${1#*=} ;;
	--csv) csv=${2:?$(usage)} && shift ;;
	--csv=*) csv=${1#*=} ;;
	--ranks) ranks=${2:?$(usage)} && shift ;;
	--ranks=*) ranks=${1#*=} ;;
	--class) classes=${2:?$(usage)} && shift ;;
	--class=*) classes=${1#*=} ;;
	--repeats) repeats=${2:?$(usage)} && shift ;;
	--repeats=*) repeats=${1#*=} ;;
	--bind) bind=${2:?$(usage)} && shift ;;
	--bind=*) bind=${1#*=} ;;
	--quick)
		classes=W
		repeats=3
		;;
	-h | --help)
		usage
		exit 0
		;;
	-*)
		usage >&2
		exit 2
		;;
	*) apps+=("$1") ;;
	esac
	shift
done
[[ $ranks =~ ^[1-9][0-9]*$ && $repeats =~ ^[1-9][0-9]*$ && $classes =~ ^[SW]?$ &&
	$bind =~ ^(none|core)?$ ]] || {
	usage >&2
	exit 2
}

dsm_apps=$build_dir/bench/apps/dsm_apps
[[ -x $dsm_apps ]] || die "there is no $dsm_apps: build first, or say where with --build="
has_command mpirun || die "mpirun is not installed (Debian: openmpi-bin)"
known=$("$dsm_apps" --list | sed -n 's/^  \([a-z_]*\) .*/\1/p')
((${#apps[@]})) || mapfile -t apps <<<"$known"
for app in "${apps[@]}"; do
	grep -qx -- "$app" <<<"$known" || die "no application is called $app; there are: ${known//$'\n'/ }"
done
forms=(seq plain dsm)
if [[ -x ${dsm_apps}_mpi ]]; then
	forms+=(mpi)
else
	say "there is no ${dsm_apps}_mpi (Debian: libopenmpi-dev): no comparison with MPI" >&2
fi
allow_mpirun
tmp=$(mktemp -d) || exit 1
trap 'end_running; rm -rf "$tmp"' EXIT
: "${csv:=$tmp/csv}"

# What is run in each turn: "APP CLASS". The NAS kernels are published for two classes.
plan=()
for app in "${apps[@]}"; do
	if [[ -n $classes ]]; then
		plan+=("$app $classes")
	else
		[[ $app =~ ^(cg|ft|is)$ ]] && plan+=("$app S")
		plan+=("$app W")
	fi
done

if [[ -z $bind ]]; then
	bind=none
	((ranks > $(nproc) || 2 * ranks <= $(nproc))) || bind=core
fi

# run_form APP CLASS FORM: its lines.
run_form()
{
	case $3 in
	seq) limited $limit_s "$dsm_apps" --form=seq --class="$2" "$1" ;;
	dsm | plain)
		limited $limit_s mpirun -n "$ranks" --bind-to "$bind" "$dsm_apps" --form="$3" \
			--class="$2" "$1"
		;;
	mpi) limited $limit_s "${MPIRUN:-mpirun}" -n "$ranks" "${dsm_apps}_mpi" --class="$2" "$1" ;;
	esac
}

done_runs=0
all_runs=$((${#plan[@]} * ${#forms[@]} * repeats))
progress()
{
	[[ -t 2 ]] || return 0
	local left=-
	((done_runs)) && left=$((SECONDS * (all_runs - done_runs) / done_runs))
	printf '\r%d of %d runs, %s s left: %s\033[K' $done_runs $all_runs "$left" "$1" >&2
}

for ((repeat = 1; repeat <= repeats; repeat++)); do
	for item in "${plan[@]}"; do
		read -r app class <<<"$item"
		for form in "${forms[@]}"; do
			progress "$app, class $class, $form"
			status=0
			run_form "$app" "$class" "$form" >"$tmp/out" 2>"$tmp/err" || status=$?
			if ! grep -q '^app=' "$tmp/out"; then
				say "$app, class $class, $form: exit status $status" >&2
				tail -n 5 "$tmp/err" >&2
				echo "app=$app class=$class form=$form ranks=$ranks ok=0" >"$tmp/out"
			fi
			grep '^app=' "$tmp/out" | sed "s/^/repeat=$repeat /" >>"$tmp/lines"
			((++done_runs))
		done
	done
done
[[ ! -t 2 ]] || printf '\r\033[K' >&2

status=0
awk -f "$here/csv.awk" "$tmp/lines" >"$csv" || status=1
printf 'Ranks: %d. Processors: %d. libdsm bound to: %s. Medians of runs in turns: %d. Aim where sharing is coarse: 0.8 of MPI.\n\n' \
	"$ranks" "$(nproc)" "$bind" "$repeats"
awk -f "$here/table.awk" "$csv"
exit $status
