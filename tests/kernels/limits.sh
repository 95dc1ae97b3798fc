# Limits of the whole tree, by real control groups: sourced by guest.sh as root, prints lines `USER limits CHECK VERDICT`.
# Under the profile `limited`: 64 MiB, 20 processes, half a processor. FOUND is where groups are made for the user. The checks are listed
# in the file `limits`.

GROUPS_TOP=/sys/fs/cgroup
# Seconds until something is given up.
PATIENCE=20

say() {
    if [ "$2" = 0 ]; then echo "$user limits $1 +"; else echo "$user limits $1 -"; fi
}

# Runs a command line as the user, in the group that is the user's own where there is one.
as_user() {
    if [ "$user" = root ]; then sh -c "$1"; else
        (
            [ -d $GROUPS_TOP/delegated/main ] && sh -c 'echo $PPID' >$GROUPS_TOP/delegated/main/cgroup.procs
            exec su -s /bin/sh "$user" -c "$1"
        )
    fi
}

# `weir run` of a shell line; its report is in /tmp/report.
limited() {
    rm -f /tmp/report
    printf '%s\n' "$1" >/srv/$user/line.sh
    as_user "cd /srv/$user && HOME=/home/$user exec weir run --quiet --config $KIT/profiles.toml --profile limited \
        --report /tmp/report -- /bin/sh line.sh </dev/null" 2>/tmp/err
}

groups() { ls -d "$FOUND"/weir-* 2>/dev/null; }

# Waits for what a condition says; fails where it never comes.
until_true() {
    since=$(date +%s)
    until "$@" >/dev/null 2>&1; do [ $(($(date +%s) - since)) -lt $PATIENCE ] || return 1; done
}

# Numbers of the processes of which the command line holds these words; of a process's children, the oldest first.
having() { ps -o pid,args | grep "[${1%"${1#?}"}]${1#?}" | awk '{ print $1 }'; }
children() { ps -o pid,ppid | awk -v of="$1" '$2 == of { print $1 }'; }
lives() { [ -n "$(having "$1")" ]; }

no_groups() { [ -z "$(groups)" ]; }
none_left() { no_groups && ! lives weir-exec-server && ! lives 'sleep 4321'; }
is_running() { group=$(groups) && [ "$(grep -c . "$group/tree/cgroup.procs")" -ge 2 ] && lives 'sleep 4321'; }
throttled() { grep -q '^nr_throttled [1-9]' "$(groups)/cpu.stat"; }
holds() { [ "$(cat "$(groups)/$1")" = "$2" ]; }

outside() {
    (dd if=/dev/zero of=/dev/null bs=200M count=1) 2>/dev/null
    say outside-takes-200-MiB $?
    jobs_of_40='n=0; while [ $n -lt 40 ]; do sleep 4321 & n=$((n + 1)); done; echo all >/tmp/all'
    rm -f /tmp/all
    as_user "$jobs_of_40" 2>/dev/null
    [ -e /tmp/all ]
    say outside-makes-40 $?
    for one in $(having 'sleep 4321'); do kill -9 "$one"; done
}

inside() {
    limited 'dd if=/dev/zero of=/dev/null bs=8M count=1 2>/dev/null'
    say takes-8-MiB $?
    grep -q '"detail": "memory 67108864 bytes, no swap, 2[12] processes with Weir.s own, 0.250 cores"' /tmp/report
    say is-told-in-the-report $?
    # Another sandbox of the same profile, which must not feel it.
    printf 'sleep 4321\n' >/srv/$user/other.sh
    as_user "cd /srv/$user && HOME=/home/$user exec weir run --quiet --config $KIT/profiles.toml --profile limited -- \
        /bin/sh other.sh </dev/null" &
    other=$!
    until_true is_running
    say is-in-its-group $?
    first=$(groups)
    limited '(dd if=/dev/zero of=/dev/null bs=200M count=1); echo went on >/srv/'$user'/went-on'
    code=$?
    [ $code = 137 ] && grep -q '"reason": "memory"' /tmp/report && grep -q '"limit_bytes": 67108864' /tmp/report
    say hog-is-ended $?
    [ ! -e /srv/$user/went-on ]
    say its-whole-tree-with-it $?
    [ "$(groups)" = "$first" ] && lives 'sleep 4321'
    say other-sandbox-lives $?
    holds memory.max 67108864 && holds memory.swap.max 0 && holds memory.oom.group 1
    say memory-max $?
    holds cpu.max "25000 100000"
    say cpu-max $?
    # Two of Weir's own where there is no PID namespace, otherwise one.
    holds pids.max 21 || holds pids.max 22
    say pids-max $?
    for one in $(having 'sleep 4321'); do kill "$one"; done
    wait "$other" 2>/dev/null
    until_true none_left
    say gone-afterwards $?

    limited 'n=0; while [ $n -lt 10 ]; do true & n=$((n + 1)); done; wait'
    say makes-10 $?
    rm -f /srv/$user/all
    limited 'n=0; while [ $n -lt 40 ]; do sleep 4321 & n=$((n + 1)); done; echo all >all'
    [ ! -e /srv/$user/all ] && grep -q '"operation": "fork"' /tmp/report
    say bomb-is-bounded $?
    until_true none_left
    say bomb-is-gone $?
}

busy() {
    printf 'while :; do :; done & sleep 4321\n' >/srv/$user/other.sh
    as_user "cd /srv/$user && HOME=/home/$user exec weir run --quiet --config $KIT/profiles.toml --profile limited -- \
        /bin/sh other.sh </dev/null" 2>/dev/null &
    client=$!
    until_true is_running
}

struck() {
    busy
    until_true throttled
    say is-slowed $?
    for one in $(having 'sleep 4321'); do kill -9 "$one"; done
    wait "$client" 2>/dev/null
    until_true none_left
    for victim in client launcher server first; do
        busy
        weir=$(having 'weir run' | head -n 1) launcher=$(children "$weir")
        case $victim in
        client) pid=$weir ;;
        launcher) pid=$launcher ;;
        server) pid=$(children "$launcher" | head -n 1) ;;
        # The one that is in the group and the launcher's child.
        first) for pid in $(children "$launcher"); do grep -qx "$pid" "$(groups)/tree/cgroup.procs" && break; done ;;
        esac
        kill -9 "$pid"
        wait "$client" 2>/dev/null
        until_true none_left
        say gone-after-kill-of-$victim $?
    done
}

refused() {
    limited true
    code=$?
    [ $code = 125 ] && grep -q 'limiting memory for the whole tree needs a version 2 control group' /tmp/err
    say "$1" $?
}

# One user's part, in the directory in which its groups must appear.
limits() {
    user=$1 FOUND=$2
    outside
    limited true
    code=$?
    say holds $code
    [ $code = 0 ] || return
    inside
    struck
}
