#!/bin/sh
# The whole user space of the mini guest: one shell as process 1 (docs: the guest's commands and workloads).
#
# A fork costs several milliseconds of emulated CPU, so everything that repeats uses the shell's builtins:
# `read -t` on a FIFO nobody writes to is the sleep, and /proc gives the clocks.

export PATH=/bin PS1='\h# '
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs -o size=50% shm /dev/shm
exec 8<>/never

name=mini address='' workload=idle
for word in $(cat /proc/cmdline); do
    case $word in
        luc.name=*) name=${word#*=} ;;
        luc.address=*) address=${word#*=} ;;
        luc.workload=*) workload=${word#*=} ;;
    esac
done
for module in $(cat /modules/base ${address:+/modules/network}); do insmod "/modules/$module"; done
read -r boot </proc/sys/kernel/random/boot_id
hostname "$name"

rest() { read -r -t "$1" _ <&8 || :; } # seconds
clock() { # now_cs: hundredths of a second since boot (1NN - 100: "08" would be octal)
    read -r now_cs _ </proc/uptime
    now_cs=$((${now_cs%.*} * 100 + 1${now_cs#*.} - 100))
}
until_cs() { # sleep until this instant; false when it is past by over 0.1 s
    clock
    left_cs=$(($1 - now_cs))
    if [ $left_cs -ge 100 ]; then rest 1; until_cs "$1"
    elif [ $left_cs -ge 10 ]; then rest 0.$left_cs
    elif [ $left_cs -gt 0 ]; then rest 0.0$left_cs
    else [ $left_cs -gt -10 ]
    fi
}

# Busy for a share of the wall-clock time, in periods of 0.15 s. The shell's own run time, which its kernel
# also counts while the host runs something else, says when the share is used: a starved guest keeps
# wanting the same and saves up no debt.
work_cpu() { # percent
    clock; next_cs=$now_cs
    read -r target_ns _ </proc/self/schedstat
    while :; do
        target_ns=$((target_ns + 1500000 * $1)) next_cs=$((next_cs + 15))
        while read -r used_ns _ </proc/self/schedstat; [ "$used_ns" -lt $target_ns ]; do :; done
        until_cs $next_cs || { next_cs=$now_cs; target_ns=$used_ns; }
    done
}

# Rewrites 16 MiB of memory in place, 64 KiB blocks, a burst every half second: that is the working set.
work_dirty() { # MiB per second
    for _ in 1 2 3 4 5 6 7 8 9; do cat /bin/busybox; done >/dev/shm/dirty
    clock; next_cs=$now_cs at=0
    while :; do
        left=$((8 * $1)) next_cs=$((next_cs + 50))
        while [ $left -gt 0 ]; do
            [ $at -lt 256 ] || at=0
            count=$((left < 256 - at ? left : 256 - at))
            dd if=/dev/shm/dirty of=/dev/shm/dirty bs=64k skip=$at seek=$at count=$count conv=notrunc 2>/dev/null
            left=$((left - count)) at=$((at + count))
        done
        until_cs $next_cs || next_cs=$now_cs
    done
}

work_tick() {
    count=0
    clock; next_cs=$now_cs
    while :; do
        count=$((count + 1)) next_cs=$((next_cs + 25))
        read -r up _ </proc/uptime
        echo "tick $count uptime=$up boot=$boot"
        until_cs $next_cs || next_cs=$now_cs
    done
}

number() { # is $1 within $2..$3?
    case $1 in '' | *[!0-9]* | ??????*) return 1 ;; esac
    [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}
check() { # the parts of a workload: true when all are known, else `why` says what is wrong
    [ $# -gt 0 ] || { why="no workload"; return 1; }
    for part in "$@"; do
        case $part in
            idle | tick) ;;
            cpu:*) number "${part#*:}" 1 100 || { why="cpu takes 1 to 100 percent, not ${part#*:}"; return 1; } ;;
            dirty:*) number "${part#*:}" 1 10000 || { why="dirty takes 1 to 10000 MiB/s, not ${part#*:}"; return 1; } ;;
            *) why="unknown workload $part"; return 1 ;;
        esac
    done
}
jobs_now='' tick_job=''
run() { # a workload: parts joined by +
    all=+$1+ IFS=+; set -- $1; unset IFS
    check "$@" || return 1
    [ -z "$jobs_now" ] || { kill -9 $jobs_now; wait $jobs_now; } 2>/dev/null
    jobs_now=''
    case $all in # the count goes on for as long as every workload has it
        *+tick+*) [ -n "$tick_job" ] || { work_tick >/dev/ttyS0 & tick_job=$!; } ;;
        *) [ -z "$tick_job" ] || { kill -9 $tick_job; wait $tick_job; tick_job=''; } 2>/dev/null ;;
    esac
    rm -f /dev/shm/dirty
    for part in "$@"; do
        case $part in
            idle | tick) continue ;;
            cpu:*) work_cpu "${part#*:}" & ;;
            dirty:*) work_dirty "${part#*:}" & ;;
        esac
        jobs_now="$jobs_now $!"
    done
}
answer() { # one command line
    case $1 in
        "workload "*) if run "${1#* }"; then workload=${1#* }; echo "ok workload=$workload"; else echo "error $why"; fi ;;
        ping | "ping "*) read -r up _ </proc/uptime; echo "ok${1#ping} name=$name workload=$workload boot=$boot uptime=$up" ;;
        poweroff) echo "ok poweroff"; poweroff -f ;;
        *) echo "error unknown command $1: workload W, ping or poweroff" ;;
    esac
}

if [ -n "$address" ] && ip link set eth0 up; then ip address add "$address" dev eth0; fi
run "$workload" || { echo "lucos-guest: $why" >/dev/ttyS0; workload=idle; }
dd if=/dev/input/event0 of=/dev/null bs=24 count=1 2>/dev/null && poweroff -f & # ACPI power button
while :; do read -r _ && setsid cttyhack sh; done </dev/ttyS0 >/dev/ttyS0 2>&1 & # a shell after Enter

for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$(echo /dev/vport*)
    [ -c "$port" ] && break
    rest 0.1
done
hello="lucos-guest up name=$name workload=$workload boot=$boot"
echo "$hello" >/dev/ttyS0
[ -c "$port" ] || while :; do rest 1000; done
exec 3<>"$port"
echo "$hello" >&3 & # blocks until the host opens the port
while :; do
    # Without a host at the other end a read returns at once.
    if read -r line <&3; then answer "$line" >&3; else rest 1.5; fi
done
