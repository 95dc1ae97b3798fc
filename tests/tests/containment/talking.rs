//! Ways to reach other processes without a file: queues, shared memory, keys, unix sockets, descriptors from outside.

use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Way, World, act, finish};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// Keys that name this process's objects, so that parallel tests do not meet.
fn key() -> String {
    (0x5745_0000 | (std::process::id() & 0xffff)).to_string()
}

#[test]
fn system_v_objects_of_the_host_are_out_of_reach() {
    Way::each("containment::sysv", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let key = key();
        let run = |acts: &[weir_tests::sandbox::Act]| world.outside(world.probe_words(acts)).text();
        assert_eq!(run(&[act(["sysv-make", &key])]), "ok");
        let looks = [act(["shm", &key]), act(["msg", &key]), act(["sem", &key])];
        let (outside, inside) = (run(&looks), world.run(world.probe_words(&looks)).text());
        let removed = run(&[act(["sysv-remove", &key])]);
        assert_eq!((outside.as_str(), removed.as_str()), ("ok\nok\nok", "ok"));
        let expect = if way == Way::Bare { "ENOSYS\nENOSYS\nENOSYS" } else { "ENOENT\nENOENT\nENOENT" };
        assert_eq!(inside, expect);
        if way != Way::Bare {
            // Inside they work, and go with the sandbox.
            assert_eq!(
                world.run(world.probe_words(&[act(["sysv-make", &key]), act(["shm", &key])])).text(),
                "ok\nok"
            );
            assert_eq!(run(&[act(["shm", &key])]), "ENOENT");
        }
    });
}

#[test]
fn posix_queues_and_shared_memory_of_the_host_are_out_of_reach() {
    Way::each("containment::posix_ipc", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let name = format!("weir-test-{}", std::process::id());
        let shared = tempfile::Builder::new().prefix("weir-test-").tempfile_in("/dev/shm").unwrap();
        let shared_path = shared.path().to_str().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(shared_path, mode).unwrap();
        let run = |acts: &[weir_tests::sandbox::Act]| world.outside(world.probe_words(acts)).text();
        assert_eq!(run(&[act(["mq-make", &name])]), "ok");
        let looks = [act(["mq", &name]), act(["open-write", shared_path])];
        let (outside, inside) = (run(&looks), world.run(world.probe_words(&looks)).text());
        assert_eq!((outside.as_str(), run(&[act(["mq-remove", &name])]).as_str()), ("ok\nok", "ok"));
        assert!(inside.lines().all(|answer| ["ENOENT", "ENOSYS", "EACCES"].contains(&answer)), "{inside}");
        if way != Way::Bare {
            let acts = [act(["create", &format!("/dev/shm/{name}")])];
            assert_eq!(world.run(world.probe_words(&acts)).text(), "ok");
            assert!(!Path::new("/dev/shm").join(&name).exists());
        }
    });
}

#[test]
fn keyrings_are_closed() {
    Way::each("containment::keyrings", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(
            |_| {},
            &[
                act(["add-key"]).inside(Expect::Errors(&["EPERM"])),
                act(["request-key"]).inside(Expect::Errors(&["EPERM"])),
                act(["keyring"]).inside(Expect::Errors(&["EPERM"])),
            ],
        );
    });
}

/// A server outside that greets whoever comes, and gives a descriptor of a secret file to whoever asks for one.
struct Server {
    path: PathBuf,
    _threads: Vec<JoinHandle<()>>,
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
}

impl Server {
    fn start(world: &World, directory: &str) -> Self {
        let path = world.directory(directory).join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        open_to_all(&path);
        let greeting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.and_then(|mut stream| stream.write_all(b"greeting"));
            }
        });
        Self { path, _threads: vec![greeting] }
    }
}

#[test]
fn unix_sockets_of_the_host_are_out_of_reach() {
    Way::each("containment::unix_sockets", |way| {
        let world = World::new(way);
        for network in ["", "[permissions.test.network]\nenabled = true"] {
            world.profile(&format!("{PROFILE}\n\"{{w}}/run\" = \"write\""), network);
            world.clear();
            let server = Server::start(&world, "run");
            let path = server.path.to_str().unwrap().to_owned();
            let name = format!("weir-test-{}-{}-{}", std::process::id(), way.name(), network.len());
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
            let abstract_server = std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let _ = stream.and_then(|mut stream| stream.write_all(b"greeting"));
                }
            });
            let datagrams = world.at("run/datagrams");
            let queue = UnixDatagram::bind(&datagrams).unwrap();
            open_to_all(&datagrams);
            let datagrams = datagrams.to_str().unwrap().to_owned();
            let acts = [
                act(["unix", &path]),
                act(["abstract", &name]),
                act(["unix-datagram", &datagrams]),
                act(["read", "/etc/passwd"]).works(),
            ];
            let outside = world.outside(world.probe_words(&acts)).text();
            assert!(outside.starts_with("ok greeting\nok greeting\nok\nok "), "{outside}");
            let inside = world.run(world.probe_words(&acts)).text();
            let answers: Vec<&str> = inside.lines().collect();
            assert!(
                answers.len() == 4 && answers[..3].iter().all(|answer| !answer.starts_with("ok")),
                "{network}: {inside}"
            );
            assert!(answers[3].starts_with("ok "), "{inside}");
            drop((queue, abstract_server));
        }
    });
}

/// Descriptors that someone outside would pass in (`SCM_RIGHTS`): there is no socket on which they could come.
#[test]
fn nobody_outside_passes_descriptors_in() {
    Way::each("containment::scm_rights", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let secret = world.file("secret/key", "secret");
        let path = world.at("work/giver");
        let script = "import array,os,socket,sys\n\
             s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1],0o777); s.listen()\n\
             print('ready',flush=True)\n\
             while True:\n\
             \tc,_=s.accept(); f=os.open(sys.argv[2],os.O_RDONLY)\n\
             \tsocket.send_fds(c,[b'x'],[f]); os.close(f); c.close()";
        let mut command = world.command("/usr/bin/python3");
        command.args(["-c", script]).args([&path, &secret]).stdout(std::process::Stdio::piped());
        let mut giver = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(giver.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let acts = [act(["receive-descriptor", path.to_str().unwrap()])];
        let outside = world.outside(world.probe_words(&acts)).text();
        let inside = world.run(world.probe_words(&acts)).text();
        giver.kill().unwrap();
        giver.wait().unwrap();
        assert_eq!(outside, "ok secret");
        assert!(["EACCES", "EPERM", "EAFNOSUPPORT"].contains(&inside.as_str()), "{inside}");
    });
}

/// Pairs of connected sockets, which many programs use between their own processes, still work.
#[test]
fn a_pair_of_sockets_works() {
    Way::each("containment::socketpair", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let script = "import socket\na,b=socket.socketpair(); a.send(b'x'); print(b.recv(1))";
        for run in
            [world.outside(["/usr/bin/python3", "-c", script]), world.run(["/usr/bin/python3", "-c", script])]
        {
            assert_eq!(run.text(), "b'x'");
        }
    });
}

#[test]
fn io_uring_is_closed_and_opened_by_name() {
    Way::each("containment::io_uring", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let acts = [act(["io-uring"])];
        if world.outside(world.probe_words(&acts)).text() != "ok" {
            return weir_tests::skip("containment::io_uring", "this kernel has no io_uring for this user");
        }
        world.check(|_| {}, &[act(["io-uring"]).inside(Expect::Errors(&["ENOSYS"]))]);
        // What it would open past the filter is refused by name, whatever else the profile says.
        world.profile(PROFILE, "[permissions.test.kernel]\nio_uring = true");
        let run = world.run(world.probe_words(&acts));
        assert!(run.code == 125 && run.stderr.contains("io_uring"), "{run:?}");
    });
}

/// What the caller left open, on any number.
#[test]
fn inherited_descriptors_are_closed() {
    Way::each("containment::descriptors", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.file("secret/key", "secret");
        world.file("work/given", "given");
        let probe = &weir_tests::sandbox::programs().probe;
        let with = |words: Vec<&std::ffi::OsStr>| {
            let mut command = world.command("bash");
            let script = "exec 3<../secret/key 9<../secret/key 200<../secret/key <given; exec \"$@\"";
            finish(command.args(["-c", script, "bash"]).args(words))
        };
        let acts: Vec<&std::ffi::OsStr> =
            ["descriptor", "3", ",", "descriptor", "9", ",", "descriptor", "200", ",", "descriptors", ","]
                .into_iter()
                .map(AsRef::as_ref)
                .collect();
        let outside = with([vec![probe.as_os_str()], acts.clone()].concat()).text();
        assert!(outside.starts_with("ok secret\nok secret\nok secret\n"), "{outside}");
        let weir = &weir_tests::sandbox::programs().weir;
        let inside =
            with([vec![weir.as_os_str(), "run".as_ref(), "--".as_ref(), probe.as_os_str()], acts].concat())
                .text();
        assert_eq!(inside, "EBADF\nEBADF\nEBADF\nok 0 1 2");
        let given = with(vec![weir.as_os_str(), "run".as_ref(), "--".as_ref(), "cat".as_ref()]).text();
        assert_eq!(given, "given");
    });
}

#[test]
fn secrets_in_the_environment_do_not_pass() {
    Way::each("containment::environment", |way| {
        let world = World::new(way);
        let names = [
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "NPM_TOKEN",
            "MY_PASSWORD",
            "DATABASE_URL",
            "SSH_AUTH_SOCK",
            "DBUS_SESSION_BUS_ADDRESS",
            "LD_PRELOAD_NOT",
        ];
        for inherit in [
            "",
            "[permissions.test.environment]\ninherit = \"all\"",
            "[permissions.test.environment]\ninherit = \"none\"",
        ] {
            world.profile(PROFILE, inherit);
            let run = |mut command: std::process::Command| {
                finish(command.envs(names.map(|name| (name, "value"))).env("LANG", "C.UTF-8").arg("env"))
                    .text()
            };
            let outside = run(world.command("env"));
            let inside = run(world.weir::<&str>([]));
            let passes =
                |text: &str, name: &str| text.lines().any(|line| line.split('=').next() == Some(name));
            for name in names {
                assert!(passes(&outside, name), "{name}");
                let secret = ["KEY", "TOKEN", "PASSWORD"].iter().any(|word| name.ends_with(word));
                let open = inherit.contains("all") && !secret;
                assert_eq!(passes(&inside, name), open, "{name} with {inherit:?}: {inside}");
            }
            assert_eq!(passes(&inside, "PATH"), !inherit.contains("none"), "{inside}");
        }
    });
}
