# Opens that wait for another process, and what interrupts them; terminals; many threads. Prints what each answers.
import errno, fcntl, os, pty, signal, subprocess, sys, termios, threading, time

def say(*words): print(*words, flush=True)
CREATE = os.O_CREAT | os.O_WRONLY
os.mkfifo("p")

# A writer waits for a reader, while other calls go on.
def write():
    fd = os.open("p", CREATE, 0o644); os.write(fd, b"through\n"); os.close(fd)
thread = threading.Thread(target=write); thread.start()
for i in range(200): os.mkdir("m%d" % i)
say("meanwhile", len([n for n in os.listdir(".") if n.startswith("m")]))
fd = os.open("p", os.O_RDONLY); say(os.read(fd, 100)); os.close(fd); thread.join()
# A reader with O_CREAT waits for a writer.
def read():
    fd = os.open("p", os.O_CREAT | os.O_RDONLY, 0o644); say("read", os.read(fd, 100), hex(fcntl.fcntl(fd, fcntl.F_GETFL))); os.close(fd)
thread = threading.Thread(target=read); thread.start(); fd = os.open("p", os.O_WRONLY); os.write(fd, b"other way"); os.close(fd); thread.join()
# By magic link.
fd = os.open("p", os.O_RDONLY | os.O_NONBLOCK); other = os.open("/proc/self/fd/%d" % fd, CREATE); os.write(other, b"m"); say(os.read(fd, 9), hex(fcntl.fcntl(other, fcntl.F_GETFL))); os.close(other); os.close(fd)

# A signal with a handler interrupts; without SA_RESTART the call ends, with it it goes on.
class Stop(Exception): pass
def stop(number, frame): raise Stop
signal.signal(signal.SIGALRM, stop)
try: signal.setitimer(signal.ITIMER_REAL, 0.1); os.open("p", CREATE, 0o644); say("opened?")
except Stop: say("interrupted")
# An end that was closed, or whose opening was interrupted, is gone at once: without the other end nobody writes, and nothing is to be read.
phantoms = 0
def writer(): os.close(os.open("p", os.O_WRONLY))
for _ in range(100):
    thread = threading.Thread(target=writer); thread.start(); os.close(os.open("p", os.O_CREAT | os.O_RDONLY, 0o644)); thread.join()
    try: os.close(os.open("p", os.O_WRONLY | os.O_NONBLOCK)); phantoms += 1
    except OSError as error: phantoms += error.errno != errno.ENXIO
for _ in range(20):
    try: signal.setitimer(signal.ITIMER_REAL, 0.01); os.open("p", CREATE, 0o644); say("opened?")
    except Stop: pass
    fd = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    try: phantoms += os.read(fd, 1) != b""
    except BlockingIOError: phantoms += 1
    os.close(fd)
say("phantoms", phantoms)
hits = []
def note(number, frame): hits.append(number)
# The reader comes when some signals have come, however late: the interpreter writes a byte to this pipe for each.
seen, told = os.pipe(); os.set_blocking(told, False); signal.set_wakeup_fd(told)
def come():
    for _ in range(3): os.read(seen, 1)
    os.close(os.open("p", os.O_RDONLY))
thread = threading.Thread(target=come); thread.start()
signal.signal(signal.SIGALRM, note); signal.siginterrupt(signal.SIGALRM, False); signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
os.close(os.open("p", CREATE, 0o644)); signal.setitimer(signal.ITIMER_REAL, 0); signal.set_wakeup_fd(-1); say("went on", len(hits) >= 1)
# Its end is closed before the next opener comes, who else would find a reader.
thread.join()
# A caller that is killed leaves nobody waiting.
child = subprocess.Popen([sys.executable, "-I", "-c", "import os; os.open('p', os.O_CREAT | os.O_WRONLY)"])
child.send_signal(signal.SIGKILL) if child.poll() is None else None; say("killed", child.wait())
child = subprocess.Popen(["sh", "-c", "echo x > p"]);
try: child.wait(0.3)
except subprocess.TimeoutExpired: pass
child.send_signal(signal.SIGTERM); say("ended", child.wait())
# Stopped and continued.
child = subprocess.Popen(["sh", "-c", "echo late > p"])
try: child.wait(0.2)
except subprocess.TimeoutExpired: pass
child.send_signal(signal.SIGSTOP); os.waitpid(child.pid, os.WUNTRACED); child.send_signal(signal.SIGCONT); fd = os.open("p", os.O_RDONLY); say(os.read(fd, 100), child.wait()); os.close(fd)

# The controlling terminal.
main, side = pty.openpty()
attributes = termios.tcgetattr(side); attributes[1] &= ~termios.OPOST; termios.tcsetattr(side, termios.TCSANOW, attributes)
script = "echo by-tty > /dev/tty; echo again >> /dev/tty; echo out > /dev/stdout; echo err > /dev/stderr; exec 5<>/dev/tty; echo five >&5; : > /dev/null; echo fd > /dev/fd/1"
def drained(size):
    text = b""
    while len(text) < size: text += os.read(main, 1000)
    return text
def session():
    os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)
done = subprocess.run(["bash", "-c", script], stdin=side, stdout=side, stderr=side, preexec_fn=session); say(done.returncode, drained(29))
done = subprocess.run(["bash", "-c", script], stdin=side, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=session); say(done.returncode, drained(18), done.stdout)
done = subprocess.run(["bash", "-c", "echo x > /dev/tty"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True); say(done.returncode, done.stdout)

# A lease is broken while the opener waits.
open("leased", "w").write("x"); fd = os.open("leased", os.O_RDONLY)
signal.signal(signal.SIGIO, lambda n, f: fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)); fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
done = subprocess.run(["sh", "-c", "echo y > leased"]); say("lease", done.returncode, open("leased").read())

# Threads all at once; each name by exactly one.
os.mkdir("race"); won = []
def race(i):
    for n in range(50):
        try: os.close(os.open("race/%d" % n, CREATE | os.O_EXCL)); won.append(n)
        except FileExistsError: pass
threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]; [t.start() for t in threads]; [t.join() for t in threads]
say("won", len(won), len(set(won)), len(os.listdir("race")))
# A busy timer during calls that make names. A signal before the broker has taken a call up ends the call with EINTR; then nothing
# must have been done.
hits.clear(); signal.signal(signal.SIGALRM, lambda n, f: hits.append(n)); signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003); wrong = []
def again(act):
    while True:
        try: return act()
        except InterruptedError: pass
        except OSError as error: return wrong.append(error)
# On a fast machine the 300 rounds that must be right are over before the timer has fired often enough.
i = 0
while i < 300 or (len(hits) <= 10 and i < 100000):
    i += 1
    again(lambda: os.mkdir("t%d" % i)); again(lambda: os.close(os.open("t%d/x" % i, CREATE | os.O_EXCL))); again(lambda: os.rename("t%d/x" % i, "t%d/y" % i))
signal.setitimer(signal.ITIMER_REAL, 0); say("interrupted calls", wrong, len(hits) > 10)
