//! Other processes: seen, read, steered, signalled; and what a command finds of Weir itself.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, Way, World, act};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// A process of the same user outside the sandbox. It ends with the value.
struct Outsider {
    child: Child,
    _input: ChildStdin,
    /// Where in its memory the secret lies.
    at: u64,
}

impl Outsider {
    /// It holds a secret in its memory, its environment and descriptor 7, and waits.
    fn start(world: &World) -> Self {
        world.file("secret/outside", "from a descriptor");
        let script = "import ctypes,os,sys\n\
                      fd=os.open(sys.argv[1],os.O_RDONLY); os.dup2(fd,7)\n\
                      b=ctypes.create_string_buffer(b'in memory')\n\
                      print(ctypes.addressof(b),flush=True); sys.stdin.read()";
        let mut command: Command = world.command("/usr/bin/python3");
        command
            .args(["-c", script])
            .arg(world.at("secret/outside"))
            .env("OUTSIDE_VALUE", "in the environment");
        command.current_dir(world.at("secret")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let input = child.stdin.take().unwrap();
        Self { child, _input: input, at: line.trim().parse().unwrap() }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the same of an outside process, with and without Weir, and compares with what is expected.
fn ask(world: &World, acts: &[Act]) {
    world.profile(PROFILE, "");
    // `check` would clear what the outsider holds; its acts change nothing.
    world.check(|_| {}, acts);
}

#[test]
fn proc_of_an_outside_process_tells_nothing() {
    Way::each("containment::proc_pid", |way| {
        let world = World::new(way);
        let mut outsider = Outsider::start(&world);
        let pid = outsider.child.id();
        let path = |name: &str| format!("/proc/{pid}/{name}");
        ask(
            &world,
            &[
                act(["list", &path("root")]),
                act(["list", &path("cwd")]),
                act(["readlink", &path("cwd")]),
                act(["readlink", &path("exe")]),
                act(["read", &path("environ")]),
                act(["read", &path("maps")]),
                act(["open-write", &path("mem")]),
                // Numbers alone where processes are shared; what is behind them stays hidden.
                act(["list", &path("fd")]).inside(if way == Way::Bare {
                    Expect::Works
                } else {
                    Expect::Fails
                }),
                act(["read", &path("fd/7")]),
                act(["readlink", &path("fd/7")]),
                act(["list", &path("map_files")]),
                act(["read", &path("auxv")]),
                act(["readlink", &path("ns/mnt")]),
                act(["open-write", &path("oom_score_adj")]),
                act(["open-write", &path("comm")]),
                act(["read", "/proc/self/status"]).works(),
            ],
        );
        assert!(outsider.is_alive());
    });
}

#[test]
fn an_outside_process_is_neither_traced_nor_read_nor_steered() {
    Way::each("containment::ptrace", |way| {
        let world = World::new(way);
        let mut outsider = Outsider::start(&world);
        let (pid, at) = (outsider.child.id().to_string(), outsider.at.to_string());
        ask(
            &world,
            &[
                act(["memory-read", &pid, &at]).outside(Expect::Answers("in memor".to_owned())),
                act(["memory-write", &pid, &at]),
                act(["pidfd-getfd", &pid, "7"]),
                act(["kcmp", &pid]),
                act(["prlimit", &pid]),
                act(["ptrace", &pid]),
            ],
        );
        assert!(outsider.is_alive());
    });
}

/// Where processes are shared, their priority and processors must still be out of reach.
#[test]
fn an_outside_process_is_not_slowed_down() {
    Way::each("containment::priority", |way| {
        let world = World::new(way);
        let outsider = Outsider::start(&world);
        let pid = outsider.child.id().to_string();
        ask(&world, &[act(["affinity", &pid]), act(["setpriority", &pid])]);
    });
}

#[test]
fn signals_do_not_get_out() {
    Way::each("containment::signals", |way| {
        let world = World::new(way);
        let mut outsider = Outsider::start(&world);
        let pid = outsider.child.id().to_string();
        let mut acts: Vec<Act> = Vec::new();
        for verb in ["kill", "tgkill", "sigqueue", "pidfd-signal"] {
            // SIGURG is ignored: sent outside, it harms nobody.
            acts.push(act([verb, &pid, "23"]));
            acts.push(act([verb, &pid, "9"]).outside(Expect::Anything));
        }
        world.profile(PROFILE, "");
        let control: Vec<Act> = acts.iter().step_by(2).cloned().collect();
        let answers = world.outside(world.probe_words(&control)).text();
        assert!(answers.lines().all(|answer| answer == "ok"), "{answers}");
        let answers = world.run(world.probe_words(&acts)).text();
        assert_eq!(answers.lines().count(), acts.len());
        assert!(answers.lines().all(|answer| ["ESRCH", "EPERM"].contains(&answer)), "{answers}");
        assert!(outsider.is_alive());
    });
}

/// kill(-1) and kill(0) reach everything inside and nothing outside; neither is ever tried outside.
#[test]
fn kill_of_everything_stays_inside() {
    Way::each("containment::kill_all", |way| {
        let world = World::new(way);
        let mut outsider = Outsider::start(&world);
        world.profile(PROFILE, "");
        for target in ["-1", "0"] {
            let script = format!(
                "import os,signal,subprocess\n\
                 signal.signal(15,lambda *_: None)\n\
                 child=subprocess.Popen(['sleep','1000'])\n\
                 os.kill({target},15)\n\
                 print('child',child.wait())"
            );
            let run = world.run(["/usr/bin/python3", "-c", &script]);
            assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "child -15", "{target}: {run:?}");
            assert!(outsider.is_alive(), "{way:?}: kill({target}) got out");
        }
    });
}

#[test]
fn outside_processes_are_not_seen() {
    Way::each_of(&[Way::Root, Way::User], "containment::pid_namespace", |way| {
        let world = World::new(way);
        let outsider = Outsider::start(&world);
        world.profile(PROFILE, "");
        let own = format!("/proc/{}/cmdline", outsider.child.id());
        world.check(|_| {}, &[act(["read", &own]), act(["stat", &own])]);
        let seen = world.run(["sh", "-c", "ls /proc | grep -c '^[0-9]'; kill -0 1 && echo first"]);
        let text = String::from_utf8_lossy(&seen.stdout).into_owned();
        let count: u32 = text.lines().next().unwrap().parse().unwrap();
        assert!(count <= 6, "{text}");
    });
}

/// The first process holds the policy in its memory; its arguments and files must tell nothing of it.
#[test]
fn the_policy_cannot_be_read_inside() {
    Way::each_of(&[Way::Root, Way::User], "containment::policy_hidden", |way| {
        let world = World::new(way);
        world.profile(&format!("{PROFILE}\n\"{{w}}/work/quite-peculiar\" = \"none\""), "");
        world.file("work/quite-peculiar", "content");
        let mut acts = Vec::new();
        for name in [
            "environ",
            "maps",
            "mem",
            "auxv",
            "fd/0",
            "exe",
            "root/etc/passwd",
            "cwd/etc/passwd",
            "stack",
            "syscall",
        ] {
            acts.push(act(["read", &format!("/proc/1/{name}")]).outside(Expect::Anything));
        }
        for name in ["map_files", "root", "cwd"] {
            acts.push(act(["list", &format!("/proc/1/{name}")]).outside(Expect::Anything));
        }
        acts.push(act(["ptrace", "1"]).outside(Expect::Anything));
        acts.push(act(["read", "{w}/weir/config.toml"]).outside(Expect::Anything));
        acts.push(act(["kill", "1", "9"]).outside(Expect::Fails).inside(Expect::Anything));
        let inside: Vec<Act> = acts[..acts.len() - 1].to_vec();
        let run = world.run(world.probe_words(&inside));
        let answers = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(
            answers.lines().count() == inside.len() && !answers.lines().any(|line| line.starts_with("ok")),
            "{answers}"
        );
        let told = world
            .run(["sh", "-c", "cat /proc/1/cmdline /proc/1/comm /proc/1/status /proc/[0-9]*/cmdline"])
            .stdout;
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.contains("Name:") && !told.contains("quite-peculiar"), "{told}");
        // SIGKILL from inside does not reach the first process of a PID namespace.
        assert_eq!(world.run(["sh", "-c", "kill -9 1; echo still"]).text(), "still");
    });
}

/// A process that leaves its session and its parent must still end with the command.
#[test]
fn daemons_end_with_the_command() {
    Way::each("containment::daemons", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let daemon = "import os,sys,time\n\
             for _ in range(4):\n\
             \tif os.fork(): break\n\
             \tos.setsid()\n\
             \tif os.fork(): os._exit(0)\n\
             \tos.setsid() if os.getpid()!=os.getsid(0) else None\n\
             \tfor fd in range(3): os.close(fd)\n\
             \tlock=os.open('lock',os.O_RDWR)\n\
             \tos.lockf(lock,os.F_LOCK,0)\n\
             \topen('up','w').close()\n\
             \ttime.sleep(1000)\n\
             while not os.path.exists('up'): os.sched_yield()\n\
             print('started')";
        world.file("work/lock", "");
        assert_eq!(world.run(["/usr/bin/python3", "-c", daemon]).text(), "started");
        // The lock is free exactly when nothing holds the file any more.
        let free = "import os; f=os.open('lock',os.O_RDWR); os.lockf(f,os.F_TLOCK,0); print('free')";
        assert_eq!(world.outside(["/usr/bin/python3", "-c", free]).text(), "free");
    });
}

/// `nohup`, `setsid`, `disown` and a subreaper of the command's own.
#[test]
fn background_programs_end_with_the_command() {
    Way::each("containment::background", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let script = "mkfifo held; setsid -f sh -c 'exec 8>held; : >a; exec sleep 1000' & \
                      nohup sh -c 'exec 8>held; : >b; exec sleep 1000' >/dev/null 2>&1 & \
                      exec 9<>held; while ! test -e a || ! test -e b; do :; done; echo started";
        assert_eq!(world.run(["bash", "-c", script]).text(), "started");
        // Opening for writing without waiting fails when nobody has the other end, and no writer is left either.
        let free = "import os; f=os.open('held',os.O_RDONLY|os.O_NONBLOCK); print(os.read(f,1))";
        assert_eq!(world.outside(["/usr/bin/python3", "-c", free]).text(), "b''");
    });
}
