#!/usr/bin/env python3
"""Stands in for `weir-exec-server --embedded` in tests: speaks the protocol, runs commands, and confines nothing.

A command whose first word is `fake:…` is played instead of run; see PLAYED. What the client sent is written to the file that
FAKE_LOG names, one JSON value a line. It is no model for the real server: one command, no limits, errors end it.
"""

import array
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time

TERMINAL_SIGNALS = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP,
                    signal.SIGUSR1, signal.SIGUSR2]
NOT_FOUND, NOT_EXECUTABLE = -32022, -32023
ORIGIN = {"layer": "user", "profile": "team", "place": {"file": "config.toml", "line": 4, "column": 1}, "rule": "r"}
USAGE = {"wall_us": 1, "user_us": 1, "system_us": 1, "max_rss_kib": 1}


def octets(value):
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def log(value):
    with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


def enforcement(degradations=()):
    return {"profile": "fake", "digest": "0" * 64, "way": "bare", "mechanisms": [{"name": "none", "detail": ""}],
            "degradations": list(degradations), "remarks": []}


class Client:
    def __init__(self):
        self.socket = socket.socket(fileno=0)
        self.buffer = b""
        self.descriptors = []

    def send(self, message, descriptors=()):
        payload = json.dumps({"jsonrpc": "2.0", **message}).encode()
        frame = struct.pack(">IB", len(payload), 0) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self.socket.sendmsg([frame], rights)
        if sent < len(frame):
            self.socket.sendall(frame[sent:])

    def answer(self, request, result, descriptors=()):
        self.send({"id": request["id"], "result": result}, descriptors)

    def refuse(self, request, code, message):
        self.send({"id": request["id"], "error": {"code": code, "message": message}})

    def event(self, name, **params):
        self.send({"method": "process/" + name, "params": {"id": 1, **params}})

    def exited(self, end, denials=(), new_repositories=()):
        self.event("exited", end=end, usage=USAGE, denials=list(denials), new_repositories=list(new_repositories))

    def receive(self):
        """Reads once; the whole requests in it, or None when the client has gone."""
        data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 8)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self.descriptors += descriptors
        if not data:
            return None
        self.buffer += data
        requests = []
        while len(self.buffer) >= 5 and len(self.buffer) >= 5 + int.from_bytes(self.buffer[:4], "big"):
            end = 5 + int.from_bytes(self.buffer[:4], "big")
            requests.append(json.loads(self.buffer[5:end]))
            self.buffer = self.buffer[end:]
        return requests


class Command:
    """A command under an init of its own, which leads the session: so the command's group is no orphan."""

    def __init__(self, params, descriptors):
        self.master = self.slave = None
        streams = list(descriptors)
        own = params["stdio"].get("open") or params["stdio"]["own"]
        if params["stdio"]["kind"] == "terminal":
            self.master, self.slave = os.openpty()
            fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", *params["stdio"]["size"], 0, 0))
        self.streams = [streams.pop(0) if mine else self.slave for mine in own]
        events, told = os.pipe()
        self.events = os.fdopen(events, "r")
        error, fail = os.pipe()
        self.init = os.fork()
        if self.init == 0:
            self.lead(params, told, fail)
        os.close(told)
        os.close(fail)
        for descriptor in descriptors:
            os.close(descriptor)
        with os.fdopen(error, "rb") as file:
            self.errno = int(file.read() or b"0")
        self.pid = int(self.events.readline()) if not self.errno else None

    def lead(self, params, told, fail):
        os.setsid()
        if self.slave is not None:
            os.close(self.master)
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            if self.slave is not None:
                os.tcsetpgrp(self.slave, os.getpid())
            for number in TERMINAL_SIGNALS + [signal.SIGTTOU, signal.SIGPIPE]:
                signal.signal(number, signal.SIG_DFL)
            self.execute(params, fail)
        os.close(fail)
        if self.slave is not None:
            os.close(self.slave)
        os.write(told, b"%d\n" % pid)
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            if os.WIFSTOPPED(status):
                os.write(told, b"stopped %d\n" % os.WSTOPSIG(status))
                continue
            kind, number = (b"exited", os.WEXITSTATUS(status)) if os.WIFEXITED(status) \
                else (b"signalled", os.WTERMSIG(status))
            os.write(told, b"%s %d\n" % (kind, number))
            os._exit(0)

    def execute(self, params, fail):
        streams = [None if stream is None else fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, 10)
                   for stream in self.streams]
        for number, stream in enumerate(streams):
            if stream is None:
                os.close(number)
            else:
                os.dup2(stream, number)
        environment = {octets(name): octets(value) for name, value in params["env"] + params["set"]}
        argv = [octets(argument) for argument in params["argv"]]
        os.chdir(params["choice"]["standpoint"]["cwd"])
        try:
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            os.write(fail, b"%d" % error.errno)
        os._exit(1)

    def kill(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def run(client, request):
    params = request["params"]
    command = Command(params, client.descriptors)
    client.descriptors = []
    if command.errno:
        code = NOT_FOUND if command.errno == 2 else NOT_EXECUTABLE
        return client.refuse(request, code, "%s: %s" % (params["argv"][0], os.strerror(command.errno)))
    started = {"id": 1, "pid": command.pid, "enforcement": enforcement()}
    client.answer(request, started, [command.master] if command.master is not None else [])
    if command.master is not None:
        os.close(command.master)
    deadline = time.monotonic() + params["timeout_ms"] / 1000 if params["timeout_ms"] else None
    while True:
        left = max(0, deadline - time.monotonic()) if deadline else None
        ready, _, _ = select.select([client.socket, command.events], [], [], left)
        if not ready:
            command.kill()
            break
        if client.socket in ready:
            requests = client.receive()
            if requests is None:
                command.kill()
                sys.exit(0)
            for got in requests:
                log({"signal": got["params"]["signal"], "to": got["params"]["to"]})
                command.kill(got["params"]["signal"])
                client.answer(got, None)
        if command.events in ready:
            kind, number = command.events.readline().split()
            if kind == "stopped":
                client.event("stopped", signal=int(number))
                continue
            break
    os.waitpid(command.init, 0)
    if command.slave is not None:
        os.close(command.slave)
    if not ready:
        client.exited({"reason": "timed-out", "limit_ms": params["timeout_ms"]})
    else:
        client.exited({"reason": kind, {"exited": "code", "signalled": "signal"}[kind]: int(number)})


def play_refusal(client, request, code, message):
    client.refuse(request, int(code), message)


def play_death(client, request):
    """Dies after the start, the command's terminal still open."""
    master, slave = os.openpty()
    client.answer(request, {"id": 1, "pid": 1, "enforcement": enforcement()}, [master])
    os.write(slave, b"last words")
    while client.receive():  # Waits for a signal, which says that the client has taken the terminal.
        os.kill(os.getpid(), signal.SIGKILL)


def play_footer(client, request):
    degraded = {"name": "shared-processes", "origin": ORIGIN, "lost": "processes of the host can be seen"}
    denial = {"operation": "create", "target": "/a", "mechanism": "landlock", "origin": ORIGIN, "count": 2}
    client.answer(request, {"id": 1, "pid": 1, "enforcement": enforcement([degraded])})
    client.exited({"reason": "exited", "code": 3}, [denial, denial], ["/new"])


def play_gifts(client, request):
    """Sends descriptors that nobody asked for, and tells by a pipe's end that they have been closed."""
    read, write = os.pipe()
    client.answer(request, {"id": 1, "pid": 1, "enforcement": enforcement()}, [write, write])
    os.close(write)
    os.read(read, 1)
    client.exited({"reason": "exited", "code": 0})


def play_end(client, request, reason):
    client.answer(request, {"id": 1, "pid": 1, "enforcement": enforcement()})
    client.exited({"reason": reason})


def play_silence(client, request):
    print("silent", file=sys.stderr, flush=True)


def play_garbage(client, request):
    client.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


PLAYED = {"fake:refuse": play_refusal, "fake:death": play_death, "fake:footer": play_footer, "fake:gifts": play_gifts,
          "fake:end": play_end, "fake:silence": play_silence, "fake:garbage": play_garbage}


def status(key):
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(line.split()[1] for line in file if line.startswith(key))


def main():
    # Before Python touches anything: what was inherited.
    log({"argv": sys.argv[1:], "ignored": IGNORED, "blocked": status("SigBlk:"), "descriptors": INHERITED,
         "group": os.getpgrp()})
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, 1024)  # What the test runner left open.
    client = Client()
    while (requests := client.receive()) is not None:
        for request in requests:
            log({"method": request["method"], "params": request["params"], "count": len(client.descriptors)})
            argv = request["params"]["argv"]
            if request["method"] == "process/plan":
                client.answer(request, {"enforcement": enforcement(), "listing": "step one\nstep two"})
            elif argv[0] in PLAYED:
                PLAYED[argv[0]](client, request, *argv[1:])
            else:
                run(client, request)


def inherited():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found


INHERITED = inherited()
# Python ignores SIGPIPE and SIGXFSZ by itself; 32 and 33 are the C library's.
IGNORED = int(status("SigIgn:"), 16) & ~sum(1 << number - 1 for number in (13, 25, 32, 33))
if __name__ == "__main__":
    main()
