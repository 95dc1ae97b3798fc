# Connects to sockets of every kind; prints what each answers. argv: a granted and a denied socket of the host.
import errno, os, socket, sys, threading
granted, denied, host = sys.argv[1:4]

def attempt(label, act):
    try: answer = act() or "ok"
    except OSError as error: answer = errno.errorcode[error.errno]
    print(label, answer, flush=True)

def connect(address, kind=socket.SOCK_STREAM, blocking=True, family=socket.AF_UNIX):
    def act():
        s = socket.socket(family, kind); s.setblocking(blocking)
        with s: s.connect(address)
    return act

for blocking in [True, False]:
    attempt("granted", connect(granted, blocking=blocking)); attempt("denied", connect(denied, blocking=blocking)); attempt("host", connect(host, blocking=blocking))
    attempt("missing", connect("missing", blocking=blocking)); attempt("abstract", connect(b"\0weir-test-none", blocking=blocking))
os.symlink(denied, "to-denied"); os.symlink(granted, "to-granted"); os.symlink(os.path.dirname(denied), "dir")
attempt("link to granted", connect("to-granted")); attempt("link to denied", connect("to-denied")); attempt("through link", connect("dir/" + os.path.basename(denied)))
attempt("by proc", connect("/proc/self/cwd/to-denied")); attempt("dots", connect(os.path.dirname(granted) + "/../" + os.path.basename(os.path.dirname(denied)) + "/" + os.path.basename(denied)))
os.link(denied, "hard") if os.access(os.path.dirname(denied), os.W_OK) else None
attempt("hard link", connect("hard")); 
try: os.rename(host, "moved"); attempt("moved here", connect("moved")); os.rename("moved", host)
except OSError: print("moved here EACCES")
# Bound inside.
server = socket.socket(socket.AF_UNIX); attempt("bind", lambda: server.bind("inside.sock")); attempt("name", lambda: str(server.getsockname())); server.listen(50)
attempt("inside", connect("inside.sock")); attempt("inside again", connect(os.path.abspath("inside.sock"), blocking=False)); os.rename("inside.sock", "renamed.sock"); attempt("inside renamed", connect("renamed.sock"))
attempt("bind taken", lambda: socket.socket(socket.AF_UNIX).bind("renamed.sock")); attempt("bind nowhere", lambda: socket.socket(socket.AF_UNIX).bind("nowhere/x")); attempt("bind slash", lambda: socket.socket(socket.AF_UNIX).bind("x/"))
attempt("autobind", lambda: socket.socket(socket.AF_UNIX).bind("")); absolute = socket.socket(socket.AF_UNIX); path = os.path.abspath("absolute.sock"); absolute.bind(path); print(absolute.getsockname() == path)
os.umask(0o077); masked = socket.socket(socket.AF_UNIX); masked.bind("masked.sock"); print(oct(os.stat("masked.sock").st_mode)); os.umask(0o022)
attempt("file", connect("/etc/passwd")); attempt("directory", connect("/etc")); attempt("empty", connect("")); attempt("long", lambda: connect("x" * 107)())
# Datagrams; pairs.
attempt("datagram", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()); attempt("datagram pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].close()); attempt("raw", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_RAW).close())
a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1)); q = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); attempt("seqpacket", lambda: q.connect(denied)); attempt("sendto", lambda: q.sendto(b"x", denied))
# Other families work as before.
tcp = socket.create_server(("127.0.0.1", 0)); attempt("tcp", connect(tcp.getsockname(), family=socket.AF_INET)); attempt("tcp again", connect(tcp.getsockname(), family=socket.AF_INET, blocking=False))
closed = socket.socket(); closed.bind(("127.0.0.1", 0)); attempt("tcp refused", connect(closed.getsockname(), family=socket.AF_INET)); udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.connect(tcp.getsockname()); print(udp.getpeername() == tcp.getsockname())
attempt("not a socket", lambda: socket.socket(fileno=os.open("/dev/null", 0), family=1, type=1).connect("x")); 
import ctypes; libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket(socket.AF_UNIX)
for args in [(999, b"\1\0x", 3), (s.fileno(), 0, 10), (s.fileno(), b"\1\0x", -1), (s.fileno(), b"\1\0x", 129), (s.fileno(), b"\1\0x", 0), (s.fileno(), b"\1\0", 2), (s.fileno(), b"\2\0" + bytes(14), 16), (s.fileno(), b"\1", 1)]:
    libc.connect(*args); print("raw", args[1:], errno.errorcode[ctypes.get_errno()])
