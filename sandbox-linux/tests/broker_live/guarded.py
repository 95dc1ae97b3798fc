# Tries to bring guarded names into being in every way there is, one after the other, and prints which of them came. Directories:
# top (guarded: .git, .mcp.json, .vscode), repo/.git (guarded: hooks, config), later/deep (guarded: x; not there at start).
# Every act that works is undone, so that each stands alone.
import ctypes, errno, os, shutil, socket, stat, sys

libc = ctypes.CDLL(None, use_errno=True)
AT = -100
HERE = os.getcwd()
NAMES = [".git", ".mcp.json", ".vscode"]

def c(name, *args):
    result = getattr(libc, name)(*[a.encode() if isinstance(a, str) else a for a in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def remove(path):
    if os.path.islink(path) or os.path.isfile(path) or (os.path.lexists(path) and not os.path.isdir(path)): os.unlink(path)
    elif os.path.isdir(path): shutil.rmtree(path)

def attempt(label, act, *made):
    made = made or [os.path.join("top", name) for name in NAMES]
    try:
        act(); answer = "ok"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    came = [path for path in made if os.path.lexists(path)]
    print(label, answer, *came, flush=True)
    for path in came: remove(path)

for d in ["top", "top/sub", "other", "repo", "repo/.git", "src"]: os.makedirs(d, exist_ok=True)
open("src/file", "w").close(); os.makedirs("src/dir/inner"); os.symlink("nothing", "src/link")
os.symlink("top", "to-top"); os.symlink(HERE + "/top", "abs-top"); os.symlink("top/.git", "dangling"); os.symlink(HERE + "/top/.mcp.json", "dangling-abs")
os.symlink("../top/.vscode", "other/up"); os.symlink("other/up", "chain"); os.symlink("/proc/self/cwd/top/.git", "by-proc")
os.symlink(".vscode", "top/alias")
fd = os.open("top", os.O_RDONLY); sub = os.open("top/sub", os.O_PATH); here = os.open(".", os.O_RDONLY)
CREATE = os.O_CREAT | os.O_WRONLY

def opened(path, flags=CREATE, **more): return lambda: os.close(os.open(path, flags, **more))

for path in ["top/.git", "top//.git", "./top/./.git", "top/sub/../.git", "to-top/.mcp.json", "abs-top/.vscode", HERE + "/top/.git", "dangling", "dangling-abs", "chain", "by-proc",
             "top/alias", "/proc/self/cwd/top/.git", "/proc/self/fd/%d/.git" % fd, "/dev/fd/%d/.git" % fd, "/proc/%d/cwd/top/.git" % os.getpid(), "/proc/self/fd/%d/../.mcp.json" % sub,
             "/proc/self/root%s/top/.git" % HERE, "/proc/thread-self/cwd/to-top/.git", "/proc/self/task/%d/cwd/top/.git" % os.getpid()]:
    attempt("open " + path.replace(HERE, "").replace(str(os.getpid()), "PID"), opened(path))
    attempt("excl", opened(path, CREATE | os.O_EXCL)); attempt("trunc", opened(path, CREATE | os.O_TRUNC | os.O_CLOEXEC))
for flags in [os.O_CREAT, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, CREATE | os.O_APPEND]: attempt("flags %x" % flags, opened("top/.git", flags))
attempt("creat", lambda: c("creat", "top/.git", 0o644)); attempt("openat fd", opened(".git", dir_fd=fd)); attempt("openat sub", opened("../.git", dir_fd=sub)); attempt("openat here", opened("top/.mcp.json", dir_fd=here))
os.chdir("top"); attempt("open from within", opened(".git"), ".git"); attempt("mkdir from within", lambda: os.mkdir(".git"), ".git"); os.chdir("sub"); attempt("open from below", opened("../.git"), "../.git"); os.chdir(HERE)
for path in ["top/.git", "top/.git/", "top/.git//", "to-top/.git", "/proc/self/cwd/top/.git", "/proc/self/fd/%d/.git" % fd, "top/sub/../.vscode/"]:
    label = path.replace(str(os.getpid()), "PID")
    attempt("mkdir " + label, lambda: os.mkdir(path)); attempt("symlink " + label, lambda: os.symlink("../src", path)); attempt("mkfifo " + label, lambda: os.mkfifo(path))
    attempt("mknod " + label, lambda: os.mknod(path, stat.S_IFREG | 0o644)); attempt("link " + label, lambda: os.link("src/file", path))
def moved(source, target, back=None):
    def act():
        os.rename(source, target); os.rename(target, source)
    try:
        os.rename(source, target)
    except OSError as error:
        print("rename", source, target, errno.errorcode[error.errno], *[p for p in ["top/" + n for n in NAMES] if os.path.lexists(p)], flush=True); return
    print("rename", source, target, "ok", *[p for p in ["top/" + n for n in NAMES] if os.path.lexists(p)], flush=True); os.rename(target, source)
for source in ["src/file", "src/dir", "src/link", "src"]:
    for target in ["top/.git", "to-top/.git", "/proc/self/cwd/top/.mcp.json", "top/sub/../.vscode"]: moved(source, target)
moved("src/dir", "top/.git/")
for flags in [0, 1, 2, 4]: attempt("renameat2 %d" % flags, lambda: (c("renameat2", AT, "src/file", fd, ".git", flags), c("renameat2", fd, ".git", AT, "src/file", 0)))
# Exchange needs both names; one is guarded and was put there by the host before.
attempt("linkat follow", lambda: c("linkat", AT, "/proc/self/fd/%d" % os.open("src/file", 0), AT, "top/.git", 0x400))
tmp = os.open("src", os.O_TMPFILE | os.O_RDWR, 0o600); attempt("linkat tmpfile", lambda: c("linkat", AT, "/proc/self/fd/%d" % tmp, AT, "top/.mcp.json", 0x400))
def bound(path):
    def act():
        s = socket.socket(socket.AF_UNIX); s.bind(path); s.close()
    return act
attempt("bind", bound("top/.git")); attempt("bind link", bound("to-top/.git")); attempt("bind proc", bound("/proc/self/cwd/top/.git"))

# What is not guarded works: other names there, the same names elsewhere.
print("-- works")
for path in ["top/.gitignore", "top/x.git", "top/sub/.git", "other/.git", "other/.mcp.json", "top/git", "repo/hooks", "repo/.git/index"]:
    attempt("open " + path, opened(path), path); attempt("mkdir " + path, lambda: os.mkdir(path), path)
print("-- moved parents")
attempt("rename parent", lambda: (os.rename("top", "moved"), os.rename("moved", "top"))); attempt("exchange parent", lambda: (c("renameat2", AT, "top", AT, "src", 2), c("renameat2", AT, "top", AT, "src", 2)))
attempt("rename over parent", lambda: os.rename("src/dir/inner", "repo/.git")); os.path.isdir("src/dir/inner") or os.mkdir("src/dir/inner"); os.path.isdir("repo/.git") or os.mkdir("repo/.git")
os.rename("repo", "repo2")
attempt("below a moved one", lambda: os.mkdir("repo2/.git/hooks"), "repo2/.git/hooks"); attempt("config below a moved one", opened("repo2/.git/config"), "repo2/.git/config")
os.makedirs("prepared/.git/hooks"); attempt("prepared comes", lambda: os.rename("prepared", "repo"), "repo/.git/hooks"); remove("repo"); remove("prepared")
os.makedirs("prepared/.git"); attempt("harmless comes", lambda: os.rename("prepared", "repo"), "repo/.git"); os.makedirs("repo/.git", exist_ok=True)
attempt("hooks in its stead", lambda: os.mkdir("repo/.git/hooks"), "repo/.git/hooks"); attempt("and in the old one", lambda: os.mkdir("repo2/.git/hooks"), "repo2/.git/hooks")
os.rmdir("repo/.git"); attempt("link in its stead", lambda: os.symlink("../src", "repo/.git"), "repo/.git"); os.mkdir("repo/.git"); attempt("made anew", lambda: os.mkdir("repo/.git/hooks"), "repo/.git/hooks")
os.mkdir("later"); attempt("deep file", opened("later/deep"), "later/deep"); os.mkdir("later/deep"); attempt("x in deep", lambda: os.mkdir("later/deep/x"), "later/deep/x"); attempt("y in deep", lambda: os.mkdir("later/deep/y"), "later/deep/y")
attempt("later moved away", lambda: os.rename("later", "late"), "late"); os.path.isdir("later") or os.makedirs("later/deep"); attempt("x again", lambda: os.mkdir("later/deep/x"), "later/deep/x")

print("-- the broker's own")
p = os.getppid()
if len(sys.argv) > 1: 
    for path in ["/proc/%d/mem", "/proc/%d/cwd/leaked", "/proc/%d/fd/0", "/proc/%d/fd/3", "/proc/%d/fd/4/x", "/proc/%d/root/tmp/leaked", "/proc/self/../%d/mem", "/proc/%d/task/%d/mem", "/proc/self/cwd/../../../../proc/%d/mem", "/proc/%d/comm",
                 "/proc/%d/oom_score_adj", "/proc/%d/environ"]:
        target = path.replace("%d", str(p)); attempt("own " + path, opened(target, os.O_CREAT | os.O_RDWR)); os.symlink(target, "own"); attempt("own link " + path, opened("own", os.O_CREAT | os.O_RDWR)); os.unlink("own")
    os.chdir("/proc/%d" % p); attempt("own from within", opened("mem", os.O_CREAT | os.O_RDWR)); attempt("own task", opened("task/%d/mem" % p, os.O_CREAT | os.O_RDWR)); attempt("own mkdir", lambda: os.mkdir("cwd/leaked")); os.chdir(HERE)
    own = os.open("/proc/%d" % p, os.O_PATH); attempt("own by fd", opened("mem", os.O_CREAT | os.O_RDWR, dir_fd=own)); attempt("own by fd name", opened("/proc/self/fd/%d/mem" % own, os.O_CREAT | os.O_RDWR))
    for name in ["mem", "comm", "environ", "task/%d/mem" % p, "fd/0", "cwd"]:
        place = os.open("/proc/%d" % p, os.O_PATH); held = None
        try: held = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place)
        except OSError as error: print("own held", errno.errorcode[error.errno])
        if held is not None:
            attempt("own held", opened("/proc/self/fd/%d" % held, os.O_CREAT | os.O_RDWR)); attempt("own held below", opened("/dev/fd/%d/x" % held, os.O_CREAT | os.O_RDWR))
    attempt("own linked", lambda: c("linkat", AT, "/proc/%d/fd/3" % p, AT, "leak", 0x400), "leak"); print("comm", open("/proc/%d/comm" % p).read().strip() != "python3")
