//! The compiled filter in the kernel: every refused call is made for real, with and without the filter.
//!
//! Each attempt runs in a forked child that makes raw system calls only. Without the filter the same call must succeed or
//! at least answer otherwise (its arguments are chosen so that nothing on the machine changes); as root, because as
//! another user the kernel refuses many of them itself.
#![cfg(target_os = "linux")]

#[path = "seccomp_live/attempt.rs"]
mod attempt;
#[path = "support/confine.rs"]
mod confine;
#[path = "seccomp_live/refused.rs"]
mod refused;
#[path = "support/skip.rs"]
mod skip;

use std::process::Command;

use attempt::{As, Outcome, attempt};
use refused::{Case, Outside};
use skip::skip;
use weir_sandbox_linux::bpf::{Arch, Program};
use weir_sandbox_linux::seccomp::{self, Grant, Ipc, Needs, Network, Pids};

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// A command with its own namespaces, loopback, and unix sockets.
const PRIVATE: Needs = Needs { network: Network::Private, unix_sockets: Grant::Allowed, ..Needs::STRICT };
/// Landlock and seccomp alone.
const BARE: Needs = Needs { ipc: Ipc::Shared, pids: Pids::Shared, ..Needs::STRICT };

/// Refusals that say "as on a kernel without it", so a kernel without it gives no positive control.
const ABSENT: [i32; 3] = [libc::ENOSYS, libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT];

fn filter(needs: &Needs) -> Program {
    seccomp::compile(needs, HERE).unwrap_or_else(|defect| panic!("{needs:?}: {defect}"))
}

/// Whether the outcome is what the case expects of a call that no filter stops.
fn passed_outside(case: &Case, outcome: Outcome) -> bool {
    match case.outside {
        Outside::Succeeds => outcome == Outcome::Returned(0),
        Outside::Reaches => outcome != Outcome::Returned(case.refused),
    }
}

fn check(needs: &Needs, cases: &[Case]) {
    let program = filter(needs);
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        skip("seccomp::controls", "positive controls need root");
    }
    let mut wrong = Vec::new();
    for case in cases {
        let Some(nr) = seccomp::by_name(case.name).and_then(|call| call.number(HERE)) else { continue };
        let call = || attempt::call(nr, &case.args);
        if root {
            let outside = attempt(As::Caller, None, &call);
            if outside == Outcome::Returned(case.refused) && ABSENT.contains(&case.refused) {
                skip(
                    &format!("seccomp::control_{}", case.name),
                    "this kernel has it not, and says so as the filter does",
                );
            } else if !passed_outside(case, outside) {
                wrong.push(format!("{} outside: {outside:?}", case.name));
            }
        }
        let users: &[As] = if root { &[As::Caller, As::Nobody] } else { &[As::Caller] };
        for &user in users {
            let inside = attempt(user, Some(&program), &call);
            if inside != Outcome::Returned(case.refused) {
                wrong.push(format!("{} inside as {user:?}: {inside:?}, not {}", case.name, case.refused));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "{needs:?}");
}

#[test]
fn calls_are_refused() {
    check(&PRIVATE, &refused::always());
    check(&Needs::STRICT, &refused::always());
}

/// Into a real terminal of the caller's own session, which the kernel allows at least to root.
#[test]
fn nothing_is_typed_into_a_terminal() {
    let program = filter(&PRIVATE);
    for above in [0, 0xdead_beef_0000_0000] {
        let typed = || match attempt::inject(above) {
            1 => 0,
            errno if errno < 0 => errno,
            _ => -i64::from(libc::EBADMSG),
        };
        let outside = attempt(As::Caller, None, &typed);
        if outside == Outcome::Returned(libc::EIO) {
            skip("seccomp::control_tiocsti", "dev.tty.legacy_tiocsti is 0");
        } else {
            assert_eq!(outside, Outcome::Returned(0));
        }
        assert_eq!(attempt(As::Caller, Some(&program), &typed), Outcome::Returned(libc::EPERM));
    }
}

#[test]
fn internet_sockets_are_refused_without_network() {
    check(&Needs::STRICT, &refused::internet());
    check(&Needs::STRICT, &refused::unix());
}

#[test]
fn host_wide_objects_are_refused_without_namespaces() {
    check(&BARE, &refused::shared());
}

#[test]
fn granted_calls_pass() {
    let wide = Needs { nested_user_namespaces: Grant::Allowed, io_uring: Grant::Allowed, ..PRIVATE };
    let program = filter(&wide);
    for case in refused::granted() {
        let Some(nr) = seccomp::by_name(case.name).and_then(|call| call.number(HERE)) else { continue };
        let call = || attempt::call(nr, &case.args);
        let inside = attempt(As::Caller, Some(&program), &call);
        assert_eq!(inside, attempt(As::Caller, None, &call), "{}", case.name);
        assert_ne!(attempt(As::Caller, Some(&filter(&PRIVATE)), &call), inside, "{}", case.name);
    }
}

/// Numbers that no kernel has yet.
#[test]
fn unknown_numbers_answer_enosys() {
    let program = filter(&PRIVATE);
    for nr in [480, 511, 599, 4095] {
        let call = || attempt::call(nr, &[0; 6]);
        assert_eq!(attempt(As::Caller, Some(&program), &call), Outcome::Returned(libc::ENOSYS), "{nr}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_i386_entry_ends_the_process() {
    /// `getpid`, `ptrace`, `socketcall`, `mount` of i386.
    const CALLS: [u32; 4] = [20, 26, 102, 21];
    let program = filter(&PRIVATE);
    for nr in CALLS {
        let call = || attempt::int80(nr);
        let outside = attempt(As::Caller, None, &call);
        if outside == Outcome::Killed(libc::SIGSEGV) {
            skip("seccomp::int80", "this kernel has no i386 entry");
            return;
        }
        assert!(matches!(outside, Outcome::Returned(_)), "{nr}: {outside:?}");
        assert_eq!(attempt(As::Caller, Some(&program), &call), Outcome::Killed(libc::SIGSYS), "{nr}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn x32_numbers_answer_enosys() {
    let program = filter(&PRIVATE);
    // getpid, and the x32 numbers of execve, ptrace, io_setup.
    for nr in [39, 520, 521, 543] {
        let call = || attempt::x32(nr);
        assert_eq!(attempt(As::Caller, Some(&program), &call), Outcome::Returned(libc::ENOSYS), "{nr}");
    }
    if attempt(As::Caller, None, &|| attempt::x32(39)) == Outcome::Returned(libc::ENOSYS) {
        skip("seccomp::x32_control", "this kernel has no x32");
    }
}

/// Runs a program with and without the filter; the output must be the same and must be `want`.
fn same_output(needs: &Needs, argv: &[&str], want: &str) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let run = |program: Option<Program>| {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).current_dir(dir.path()).env("HOME", dir.path());
        if let Some(program) = program {
            confine::confine(&mut command, program);
        }
        command.output()
    };
    let outside = match run(None) {
        Ok(output) if output.status.success() => output,
        other => {
            skip("seccomp::program", &format!("{argv:?} does not run here even without a filter: {other:?}"));
            return;
        }
    };
    let inside = run(Some(filter(needs))).unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    let errors = String::from_utf8_lossy(&inside.stderr);
    assert_eq!(inside.status, outside.status, "{argv:?}: {errors}");
    assert_eq!(String::from_utf8_lossy(&inside.stdout), want, "{argv:?}: {errors}");
    assert_eq!(inside.stdout, outside.stdout, "{argv:?}");
}

#[test]
fn shells_compilers_and_git_work() {
    let build = "printf 'int puts(const char*);int main(){return puts(\"built\")<0;}' > a.c && cc -O1 -pthread a.c -o a && ./a";
    let make = "printf 'all: x y z\\nx y z:\\n\\t@true\\n' > Makefile && make -s -j3 && echo made";
    let git = "rm -rf r && git init -q r && cd r && echo hi > f && git add f && git -c user.name=a -c user.email=a@b commit -qm x \
               && git log --format=%s && git stash list && git gc -q";
    let jobs = "set -m; (exit 3) & wait %1; echo $?; echo a | tr a b; ulimit -n 64; ulimit -n";
    for needs in [Needs::STRICT, PRIVATE, BARE] {
        same_output(&needs, &["bash", "-c", build], "built\n");
        same_output(&needs, &["bash", "-c", make], "made\n");
        same_output(&needs, &["bash", "-c", git], "x\n");
        same_output(&needs, &["bash", "-c", jobs], "3\nb\n64\n");
        same_output(
            &needs,
            &["bash", "-c", "mkfifo p && (echo through > p &) && cat p && rm p"],
            "through\n",
        );
    }
}

#[test]
fn interpreters_work() {
    let python = "import threading, subprocess, asyncio, multiprocessing, mmap, sqlite3, tempfile\n\
                  out=[]\n\
                  ts=[threading.Thread(target=lambda: out.append(1)) for _ in range(8)]\n\
                  [t.start() for t in ts]; [t.join() for t in ts]\n\
                  async def sub():\n    p=await asyncio.create_subprocess_exec('true'); return await p.wait()\n\
                  print(len(out), subprocess.run(['true']).returncode, asyncio.run(sub()))\n\
                  q=multiprocessing.get_context('fork').SimpleQueue()\n\
                  p=multiprocessing.get_context('fork').Process(target=q.put, args=(7,)); p.start(); print(q.get()); p.join()\n";
    same_output(&PRIVATE, &["python3", "-c", python], "8 0 0\n7\n");
    let loopback = "import socket\ns=socket.create_server(('127.0.0.1',0))\n\
                    c=socket.create_connection(s.getsockname())\na,_=s.accept()\na.send(b'x')\nprint(c.recv(1))\n\
                    u=socket.socketpair()\nu[0].send(b'y')\nprint(u[1].recv(1))\nsocket.getaddrinfo('localhost',80)\n\
                    print(socket.if_nameindex()[0][1])\n";
    same_output(&PRIVATE, &["python3", "-c", loopback], "b'x'\nb'y'\nlo\n");
    let node = "const {Worker}=require('worker_threads');const cp=require('child_process');\
                new Worker('require(\"worker_threads\").parentPort.postMessage(5)',{eval:true}).on('message',m=>{\
                console.log(m, cp.execSync('echo sub').toString().trim(), require('fs').readdirSync('.').length)})";
    same_output(&PRIVATE, &["node", "-e", node], "5 sub 0\n");
    same_output(&Needs::STRICT, &["node", "-e", node], "5 sub 0\n");
    same_output(&Needs::STRICT, &["perl", "-e", "print `echo perl`"], "perl\n");
    same_output(&PRIVATE, &["bash", "-c", "java -Xshare:auto -version 2>/dev/null && echo java"], "java\n");
}
