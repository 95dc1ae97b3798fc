# The probe set in a booted kernel, run as root: prints lines `USER PROFILE ACT VERDICT`, or `USER PROFILE refused MESSAGE`.
# The profile `outside` is the control, without Weir; `limits` stands for what limits.sh checks.

KIT=/usr/share/weir-kit
PORT=7777
PROFILES=":read-only :workspace :isolated custom degraded"

# A project, a home with a secret, and a place outside, all the user's own.
prepare() {
    user=$1 home=$2
    project=/srv/$user
    mkdir -p $project/.git/hooks $project/.git/objects $project/.git/refs $project/closed/open $project/fixed \
        $project/deep/er /srv/outside "$home/.ssh"
    echo "ref: refs/heads/main" >$project/.git/HEAD
    for file in .git/config file emptied closed/file closed/open/file fixed/file deep/er/secret.env; do
        echo x >$project/$file
    done
    echo x >"$home/.ssh/id_ed25519"
    echo x >/srv/outside/file
    echo x >/srv/outside/emptied
    chown -R "$user" $project "$home" /srv/outside
}

# Runs the acts as a user: without Weir where the profile is `outside`.
acts() {
    user=$1 home=$2 profile=$3
    if [ "$profile" = outside ]; then run=""; else
        run="weir run --quiet --config $KIT/profiles.toml --profile $profile --env SENTINEL --env PORT --env SECRET --"
    fi
    env="HOME=$home SENTINEL=$sentinel PORT=$PORT SECRET=$home/.ssh/id_ed25519"
    command="cd /srv/$user && $env $run /bin/sh $KIT/acts.sh </dev/null >/tmp/out 2>/tmp/err; echo \$? >/tmp/code"
    rm -f /tmp/out /tmp/err /tmp/code
    if [ "$user" = root ]; then sh -c "$command"; else su -s /bin/sh "$user" -c "$command"; fi
    if [ "$(cat /tmp/code)" = 0 ]; then
        sed "s/^/$user $profile /" /tmp/out
    else
        echo "$user $profile refused code $(cat /tmp/code): $(tr '\n' ' ' </tmp/err)"
    fi
}

nc -ll -p $PORT -e true >/dev/null 2>&1 &
for user in root user; do
    home=/home/$user
    prepare $user $home
    # Its own process, that it may signal.
    if [ $user = root ]; then sleep 98765 & else su -s /bin/sh $user -c 'sleep 98765' & fi
    job=$!
    while ! sentinel=$(pidof sleep | tr ' ' '\n' | head -n 1) || [ -z "$sentinel" ]; do :; done
    for profile in outside $PROFILES; do acts $user $home $profile; done
    echo "$user way $(weir doctor | head -n 1)"
    kill "$sentinel"
    wait $job
    rm -rf /srv/outside
done

# Limits: root makes groups below the machine's first one, a user only below one that was handed over.
. $KIT/limits.sh
for user in root user; do prepare $user /home/$user; done
user=user
refused not-handed-over
limits root $GROUPS_TOP
mkdir -p $GROUPS_TOP/delegated/main
for file in . cgroup.procs cgroup.subtree_control main main/cgroup.procs; do chown user $GROUPS_TOP/delegated/$file; done
limits user $GROUPS_TOP/delegated
