# The acts of the probe set, done inside a sandbox (or outside, as the control): prints one line `ACT +` or `ACT -` each.
# Runs in the project, under busybox. SENTINEL is the number of a process outside, PORT a TCP port that answers outside.

try() {
    act=$1
    shift
    if ("$@") >/dev/null 2>&1; then echo "$act +"; else echo "$act -"; fi
}

into() { echo x >>"$1"; }
makes() { echo x >"$1" && rm "$1"; }
empties() { : >"$1"; }
renames() { mkdir -p one two && echo x >one/file && mv one/file two/file && rm -r one two; }
links() { ln /srv/outside/file linked && rm linked; }
guards() { mkdir .claude && rmdir .claude; }
sees() { cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -q "[s]leep 98765"; }
mounts() { mkdir -p "/tmp/mounted$$" && mount -t tmpfs none "/tmp/mounted$$" && umount "/tmp/mounted$$"; }
names() { hostname "$(hostname)"; }
sets() { echo 1 >/proc/sys/vm/oom_dump_tasks; }
device() { mknod device c 1 3 && rm device; }

try null-device into /dev/null
try read-project cat file
try write-project makes new
try rename-across renames
try truncate-project empties emptied
try read-closed cat closed/file
try read-reopened cat closed/open/file
try write-reopened makes closed/open/new
try write-fixed into fixed/file
try read-pattern cat deep/er/secret.env
try write-git-hook makes .git/hooks/new
try write-git-config into .git/config
try make-guarded guards
try read-outside cat /srv/outside/file
try write-outside into /srv/outside/file
try truncate-outside empties /srv/outside/emptied
try link-outside links
try read-secret cat "$SECRET"
try write-tmp makes "/tmp/new$$"
try see-process sees
try signal-process kill -0 "$SENTINEL"
try connect nc -w 2 127.0.0.1 "$PORT" </dev/null
try user-namespace unshare -U true
try mount mounts
try set-host-name names
try write-sysctl sets
try make-device device
