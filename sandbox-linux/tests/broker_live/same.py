# Makes calls with every kind of argument and prints what each answers. Run with and without the broker, the two outputs must be
# the same to the byte. The working directory is empty at start.
import ctypes, errno, fcntl, os, stat, sys, threading

libc = ctypes.CDLL(None, use_errno=True)
AT = -100
HERE = os.getcwd()
count = 0

def say(*words):
    print(*[str(word).replace(HERE, "HERE").replace("/proc/%d/" % os.getpid(), "/proc/PID/") for word in words], flush=True)

def call(label, *args):
    ctypes.set_errno(0)
    result = getattr(libc, label[0])(*args)
    number = ctypes.get_errno()
    return result if result >= 0 else -number

def attempt(label, function):
    global count
    count += 1
    try:
        answer = function()
    except OSError as error:
        answer = errno.errorcode[error.errno]
    say(count, label, "->", answer)
    return answer

def kind(path):
    try:
        status = os.lstat(path)
    except OSError as error:
        return errno.errorcode[error.errno]
    return oct(status.st_mode), status.st_size, status.st_nlink if not stat.S_ISDIR(status.st_mode) else "", status.st_gid

def opened(path, flags, mode=0o666, **more):
    def act():
        fd = os.open(path, flags, mode, **more)
        try:
            # Under live rules what is opened through its place tells nothing of O_NOFOLLOW.
            told = fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NOFOLLOW
            return hex(told), fcntl.fcntl(fd, fcntl.F_GETFD), oct(os.fstat(fd).st_mode), os.fstat(fd).st_size
        finally:
            os.close(fd)
    return attempt(("open", path, hex(flags), oct(mode)), act)

C, W, R, RW = os.O_CREAT, os.O_WRONLY, os.O_RDONLY, os.O_RDWR

# Things to meet.
os.mkdir("d"); os.mkdir("d/e"); os.mkdir("sealed"); os.chmod("sealed", 0o500)
open("file", "w").write("0123456789")
os.symlink("file", "to-file"); os.symlink("d", "to-dir"); os.symlink("missing", "dangling")
os.symlink("d/new-through", "dangling-deep"); os.symlink("nowhere/x", "dangling-lost")
os.symlink("loop", "loop"); os.symlink(HERE + "/d", "abs-dir"); os.symlink("to-dir/e", "to-e")
os.mkfifo("fifo")

long = "n" * 255
for path in ["new", "d/new", "d//new2", "./d/./new3", "d/../up", "to-dir/in-dir", "abs-dir/in-abs", "to-e/in-e", HERE + "/absolute",
             "//" + HERE + "//double", "file", "to-file", "d", "d/", "file/", "new/", "newer/", ".", "..", "/", "d/.", "d/..", "file/x", "missing/x",
             "", "dangling-lost", "loop", "loop/x", long, long + "n", "a/" * 2040 + "b", "x" * 4095, "x" * 4096, "sealed/x", "\n \"'",
             "/proc/self/cwd/by-cwd", "/proc/self/cwd/d/by-cwd2", "/proc/thread-self/cwd/by-thread", "/proc/%d/cwd/by-pid" % os.getpid(),
             "/proc/%d/root%s/by-root" % (os.getpid(), HERE), "/proc/self/root" + HERE + "/by-root2", "/proc/self/nothing", "/proc/nothing",
             "/proc/self", "/proc/self/", "/proc/self/fd", "/proc/self/../self/cwd/twice", "/dev/null", "/dev/zero", "/dev/full", "/dev/nothing",
             "/dev/fd", "/dev/fd/99", "/proc/self/fd/99", "/proc/mounts", "/proc/self/comm", "/proc/thread-self/comm", "/proc/self/exe"]:
    for flags in [C | W, C | W | os.O_EXCL, C | RW | os.O_TRUNC | os.O_CLOEXEC, C | R | os.O_NOFOLLOW, C | W | os.O_APPEND | os.O_NONBLOCK]:
        opened(path, flags)
    say(kind(path) if len(path) < 4000 else "")
for path in ["dangling", "dangling-deep"]:
    opened(path, C | W | os.O_EXCL); opened(path, C | W | os.O_NOFOLLOW); opened(path, C | W); say(kind(path), kind("missing"), kind("d/new-through"))

# Flags and modes.
for flags in [C | R | os.O_DIRECTORY, C | W | os.O_SYNC, C | W | os.O_DSYNC, C | RW | os.O_ASYNC, C | 3, C | W | os.O_NOATIME, C | os.O_PATH,
              C | os.O_TMPFILE | RW, C | W | 0x40000000, C | W | os.O_NOCTTY]:
    opened("flagged-%x" % flags, flags); opened("flagged-%x" % flags, flags); say(kind("flagged-%x" % flags))
for mask in [0o022, 0o077, 0o000, 0o777, 0o027]:
    os.umask(mask)
    for mode in [0o666, 0o777, 0o4755, 0o1777, 0o000, 0o7777]:
        name = "%o-%o" % (mask, mode)
        opened("f" + name, C | W, mode); attempt("mkdir", lambda: os.mkdir("d" + name, mode)); attempt("mkfifo", lambda: os.mkfifo("p" + name, mode))
        attempt("mknod", lambda: os.mknod("n" + name, mode | stat.S_IFREG)); attempt("socket", lambda: os.mknod("s" + name, mode | stat.S_IFSOCK))
        say(kind("f" + name), kind("d" + name), kind("p" + name), kind("n" + name), kind("s" + name))
os.umask(0o022)
os.mkdir("sgid"); os.chmod("sgid", 0o2775)
opened("sgid/f", C | W, 0o2777); attempt("mkdir sgid", lambda: os.mkdir("sgid/d")); say(kind("sgid/f"), kind("sgid/d"))

# Directories by descriptor.
dfd = os.open("d", os.O_RDONLY); pfd = os.open("d", os.O_PATH); ffd = os.open("file", os.O_RDONLY)
for fd in [dfd, pfd, ffd, 999, -1, -100]:
    opened("by-fd%d" % (fd if fd < 0 else 0), C | W, dir_fd=fd if fd != -100 else None); opened("../by-fd-up", C | W, dir_fd=fd if fd != -100 else None)
    attempt("mkdirat", lambda: os.mkdir("made-by-fd%d" % (fd if fd < 0 else 0), dir_fd=fd if fd != -100 else None))
    attempt("mkdirat absolute", lambda: os.mkdir(HERE + "/absolutely", dir_fd=fd if fd != -100 else None))
    opened("/proc/self/fd/%d/through-fd" % fd, C | W); opened("/dev/fd/%d/through-dev" % fd, C | W)
opened("/proc/self/fd/%d" % ffd, C | RW); opened("/dev/fd/%d" % ffd, C | W | os.O_TRUNC); say(kind("file"))
open("file", "w").write("0123456789")
opened("/proc/self/fd/%d" % ffd, C | W | os.O_EXCL); opened("/proc/self/fd/%d" % ffd, C | W | os.O_NOFOLLOW)
r, w = os.pipe()
opened("/proc/self/fd/%d" % w, C | W); opened("/proc/self/fd/%d" % w, C | W | os.O_NONBLOCK); opened("/proc/self/fd/%d" % r, C | RW)
opened("/dev/stdout", C | W | os.O_APPEND); opened("fifo", C | W | os.O_NONBLOCK); opened("fifo", C | RW)
fifo = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK); opened("fifo", C | W); opened("fifo", C | W | os.O_NONBLOCK); os.close(fifo)

# Bad addresses. A string that ends at the end of mapped memory.
import mmap
for name, args in [("open", (0, C | W, 0o644)), ("open", (1, C | W, 0o644)), ("mkdir", (0, 0o755)), ("mkdir", (8, 0o755)), ("rename", (0, 0)), ("rename", (b"file", 0)),
                   ("symlink", (0, b"x")), ("symlink", (b"t", 0)), ("symlink", (b"", b"empty-target")), ("link", (b"file", 0)), ("link", (0, b"x")), ("mknod", (0, 0o644, 0)),
                   ("creat", (0, 0o644)), ("creat", (b"created", 0o640)), ("mkdir", (b"", 0o755)), ("rename", (b"", b"x")), ("rename", (b"file", b"")), ("link", (b"", b"x"))]:
    say(name, args, call((name,), *args))
say(kind("created"))
area = mmap.mmap(-1, 8192)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
libc.mprotect(ctypes.c_void_p(start + 4096), 4096, 0)
area[4090:4096] = b"edge-\0"; say("edge", call(("mkdir",), ctypes.c_void_p(start + 4090), 0o755), kind("edge-"))
area[4090:4096] = b"edges!"; say("over", call(("mkdir",), ctypes.c_void_p(start + 4090), 0o755))

# mkdir, mknod, symlink: what is there, slashes, dots.
for path in ["m", "m/", "m//x", "m/x///", "file", "file/", "file/x", "d", "d/.", "d/..", ".", "/", "dangling2/", "to-dir", "to-dir/", "missing/x", "loop/x", "sealed/y", long + "n", "/proc/self/x", "/proc/self/cwd/m2"]:
    attempt(("mkdir", path), lambda: os.mkdir(path)); attempt(("mkfifo", path), lambda: os.mkfifo(path)); attempt(("symlink", path), lambda: os.symlink("t", path))
    attempt(("link", path), lambda: os.link("file", path)); say(kind(path))
attempt("mknod dir", lambda: os.mknod("nd", stat.S_IFDIR)); attempt("mknod zero", lambda: os.mknod("nz", 0o644)); attempt("mknod odd", lambda: os.mknod("no", 0o170644))
attempt("symlink long", lambda: os.symlink("x" * 4095, "sl")); attempt("symlink longer", lambda: os.symlink("x" * 4096, "sm"))

# Hard links.
attempt("link to-file", lambda: os.link("to-file", "l1", follow_symlinks=False)); attempt("link -L", lambda: os.link("to-file", "l2", follow_symlinks=True)); say(kind("l1"), kind("l2"))
attempt("link dir", lambda: os.link("d", "l3")); attempt("link dangling -L", lambda: os.link("dangling-lost", "l4", follow_symlinks=True)); attempt("link proc", lambda: os.link("/proc/self/comm", "l5"))
say("linkat flags", call(("linkat",), AT, b"file", AT, b"l6", 0x7)); say("linkat empty", call(("linkat",), 999, b"", AT, b"l6", 0x1000))
tmp = os.open(".", os.O_TMPFILE | RW, 0o600); os.write(tmp, b"from tmpfile")
say("linkat tmpfile", call(("linkat",), AT, b"/proc/self/fd/%d" % tmp, AT, b"tmp-linked", 0x400), kind("tmp-linked"))
say("linkat through dev", call(("linkat",), AT, b"/dev/fd/%d" % ffd, AT, b"file-linked", 0x400), kind("file-linked"))
say("linkat magic unfollowed", call(("linkat",), AT, b"/proc/self/fd/%d" % ffd, AT, b"l7", 0))

# Renames.
for i in range(6): os.mkdir("rd%d" % i); open("rf%d" % i, "w").write(str(i))
open("rd1/full", "w").close()
for old, new in [("rf0", "rf1"), ("rf1", "rd0"), ("rd0", "rf1"), ("rd0", "rd1"), ("rd1", "rd0"), ("rd0", "rd0/in"), ("rd2/", "rd2x/"), ("rf2/", "rf2x"), ("rf2", "rf2x/"), (".", "x"), ("..", "x"),
                 ("d/.", "x"), ("/", "x"), ("rf2", "."), ("rf2", "/"), ("missing", "x"), ("missing", "missing/x"), ("rf2", "missing/x"), ("rf3", "rf3"), ("to-file", "to-file2"), ("to-file2", "to-dir"),
                 ("rf4", "to-dir/rf4"), ("rf4", "loop/x"), ("rf4", "/proc/self/cwd/rf4x"), ("rf4x", long + "n"), ("rf4x", "/proc/self/x"), ("fifo", "fifo2"), ("rf4x", "/dev/rf4x/x"), ("rf5", "sealed/z")]:
    attempt(("rename", old, new), lambda: os.rename(old, new)); say(kind(old), kind(new))
for flags in [0, 1, 2, 3, 4, 5, 6, 8, 0x80000000]:
    for name in ["xa", "xb", "xc", "xd"]:
        if os.path.isdir(name): os.rmdir(name)
        elif os.path.exists(name): os.unlink(name)
    open("xa", "w").write("a"); os.mkdir("xb")
    say("renameat2", flags, call(("renameat2",), AT, b"xa", AT, b"xb", flags), kind("xa"), kind("xb"))
    say("renameat2 missing", flags, call(("renameat2",), AT, b"xc", AT, b"xd", flags))
    say("renameat2 new", flags, call(("renameat2",), dfd, b"../file", AT, b"xe%d" % flags, flags), kind("xe%d" % flags)); os.path.exists("file") or open("file", "w").close()

# A sticky directory, a removed working directory, threads with a directory of their own.
os.mkdir("sticky"); os.chmod("sticky", 0o1777); os.symlink("../file", "sticky/link"); opened("sticky/link", C | W); opened("sticky/f", C | W); opened("sticky/f", C | W)
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone"); opened("x", C | W); attempt("mkdir in gone", lambda: os.mkdir("x")); opened("../from-gone", C | W); os.chdir(HERE)
def own_directory():
    libc.unshare(0x200); os.chdir("d"); opened("by-thread", C | W); attempt("mkdir by thread", lambda: os.mkdir("md")); opened("/proc/thread-self/cwd/t-cwd", C | W)
    opened("/proc/self/cwd/p-cwd", C | W); os.umask(0o007); attempt("mkdir by thread", lambda: os.mkdir("mu", 0o777)); say(kind("mu"))
thread = threading.Thread(target=own_directory); thread.start(); thread.join()
attempt("mkdir with the old mask", lambda: os.mkdir("mu2", 0o777)); say(kind("mu2"), os.getcwd())

# Too many descriptors.
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
full = []
try:
    while True: full.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    say(errno.errorcode[error.errno])
opened("new", C | W); opened("/dev/null", C | W)
for fd in full: os.close(fd)
opened("new", C | W)
for directory, names, files in sorted(os.walk(".")):
    for name in sorted(names + files):
        say(os.path.join(directory, name), kind(os.path.join(directory, name)))
say(count)
