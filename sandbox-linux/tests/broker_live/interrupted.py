# Makes names while a timer interrupts every call. A call that ends with EINTR is made again with the very same arguments and must then
# not find what it made itself.
import ctypes, errno, os, signal

libc = ctypes.CDLL(None, use_errno=True)
hits = []; wrong = []; ends = 0
signal.signal(signal.SIGALRM, lambda n, f: hits.append(n))
signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
before = len(os.listdir("/proc/self/fd"))

def again(name, *args):
    global ends
    args = [ctypes.create_string_buffer(a) if isinstance(a, bytes) else a for a in args]
    while True:
        result = getattr(libc, name)(*args)
        if result >= 0: return result
        number = ctypes.get_errno()
        if number != errno.EINTR: return wrong.append((name, args[0].value, errno.errorcode[number]))
        ends += 1

for i in range(400):
    name = b"d%d" % i
    again("mkdir", name, 0o755)
    fd = again("open", name + b"/x", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    if fd is not None: os.close(fd)
    again("rename", name + b"/x", name + b"/y"); again("link", name + b"/y", name + b"/z"); again("symlink", b"t", name + b"/s")
signal.setitimer(signal.ITIMER_REAL, 0)
print("wrong", len(wrong)); print("interrupted", len(hits) > 10); print("leaked", len(os.listdir("/proc/self/fd")) - before)
