//! A server part that has been taken over: the test holds its post and speaks to supervisor and launchers in its place. Whatever it
//! says, it gets what the user of that part could have had anyway, below the ceiling, on the record.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketType, recvmsg, sockopt,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde_json::{Value, json};
use weir_exec_server::wire::{Read, Wire};
use weir_tests::sandbox::PATH;
use weir_tests::sandbox::way::is_root;

use super::client::standpoint;
use super::place::{ALICE, BOB, Place, Server, below, send, status};

/// `work` may be written and nothing else; `sealed` may not be read.
fn requirements(place: &Place) -> String {
    let work =
        [ALICE, BOB].map(|user| format!("{:?} = \"write\"\n", place.world(user).join("work"))).concat();
    format!(
        "[ceiling.filesystem]\n\":root\" = \"read\"\n{work}[ceiling.deny]\nread = [{:?}]\n",
        place.at("sealed")
    )
}

/// Codes of the protocol.
const CEILING: i64 = -32014;
const QUESTION: i64 = -32015;
const STATE: i64 = -32024;

/// The post of a server part, which hears nothing itself any more.
struct Post(OwnedFd);

impl Post {
    /// Takes it from the part of this user, which has just begun and is the only one that waits at a post.
    fn of(server: &Server, known: &[i32]) -> Option<Self> {
        let parts = below(server.pid());
        let fresh = parts.iter().filter(|pid| !known.contains(pid) && status(**pid, "Seccomp") == "2");
        fresh.into_iter().find_map(|pid| {
            let handle = pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?;
            let names = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let numbers = names.filter_map(|name| name.ok()?.file_name().to_str()?.parse::<i32>().ok());
            let mut copies =
                numbers.filter_map(|number| pidfd_getfd(&handle, number, PidfdGetfdFlags::empty()).ok());
            let post = copies.find(|copy| sockopt::socket_type(copy) == Ok(SocketType::SEQPACKET))?;
            send(*pid, libc::SIGSTOP);
            Some(Self(post))
        })
    }

    fn say(&self, bytes: &[u8]) {
        rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL).unwrap();
    }

    /// Waits until there is something to hear; the part had set it not to wait.
    fn wait(&self) {
        let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut watched, None).unwrap();
    }

    /// Asks for a launcher.
    fn launcher(&self) -> Launcher {
        self.say(&[1, 0, 0, 0, 0]);
        self.wait();
        let (mut bytes, mut space) = ([0; 5], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        assert_eq!((got.unwrap().bytes, bytes[0]), (5, 1));
        let mut passed = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Launcher(Wire::new(UnixStream::from(passed.next().unwrap())))
    }
}

/// A launcher that listens to the test.
struct Launcher(Wire);

impl Launcher {
    /// What it tells next; nothing when it has gone.
    fn told(&mut self) -> Option<Value> {
        loop {
            if let Some(told) = self.0.take().unwrap() {
                return Some(serde_json::from_slice(&told).unwrap());
            }
            if !matches!(self.0.read(), Ok(Read::Bytes)) {
                return None;
            }
        }
    }

    fn order(&mut self, order: &Value, passed: &[BorrowedFd<'_>]) -> Option<Value> {
        self.0.say(order, passed).unwrap();
        self.told()
    }

    /// The code with which a launch is refused; nothing where it is not.
    fn refused(&mut self, launch: &Value) -> Value {
        let told = self.order(&json!({"launch": launch}), &[]);
        told.unwrap_or_default()["refused"]["code"].clone()
    }
}

/// A place with requirements, a server, the post of ALICE's server part, and what ALICE may launch.
struct Stage {
    place: Place,
    server: Server,
    post: Post,
    launch: Value,
}

fn stage() -> Option<Stage> {
    if !is_root() {
        weir_tests::skip("service::forged", "only root can speak in a server part's place");
        return None;
    }
    let place = Place::new();
    place.requirements(&requirements(&place));
    fs::write(place.at("sealed"), "sealed").unwrap();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let world = place.world(ALICE);
    let shown = client.ask("policy/show", &json!({"standpoint": standpoint(&world)})).unwrap();
    let launch = json!({
        "policy": shown["policy"],
        "argv": ["sh", "-c", "id -u > mine; id -G >> mine; cat secret >> mine"],
        "env": [["PATH", PATH]],
        "cwd": world.join("work"),
        "stdio": ["closed", "closed", "closed"],
        "size": null,
        "user": null,
        "standpoint": standpoint(&world),
    });
    let Some(post) = Post::of(&server, &[]) else {
        weir_tests::skip("service::forged_getfd", "this kernel or container lets root take no descriptor");
        return None;
    };
    Some(Stage { place, server, post, launch })
}

fn with(launch: &Value, key: &str, value: Value) -> Value {
    let mut changed = launch.clone();
    changed[key] = value;
    changed
}

#[test]
fn the_honest_request_passes_and_forged_ones_do_not() {
    let Some(Stage { place, server, post, launch }) = stage() else { return };
    let mine = place.world(ALICE).join("work/mine");
    let mut launcher = post.launcher();
    for user in ["root", "bob", "0", "alice"] {
        assert_eq!(launcher.refused(&with(&launch, "user", json!(user))), QUESTION, "{user}");
    }
    for (number, wider) in wider(&place, &launch).iter().enumerate() {
        assert_eq!(launcher.refused(wider), CEILING, "{number}");
    }
    // Standing somewhere else does not change what the ceiling means: it is absolute here.
    let elsewhere = with(&wider(&place, &launch)[0], "standpoint", standpoint(&place.world(BOB)));
    assert_eq!(launcher.refused(&elsewhere), CEILING);
    assert!(!mine.exists());
    // The control, by the same launcher.
    let told = launcher.order(&json!({"launch": launch}), &[]).unwrap();
    assert!(told["launched"]["pid"].is_i64(), "{told}");
    assert_eq!(told["launched"]["enforcement"]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(launcher.told().unwrap()["ended"]["end"]["reason"], "exited");
    assert_eq!(fs::read_to_string(&mine).unwrap(), format!("{ALICE}\n{ALICE}\n"));
    assert_eq!(fs::metadata(&mine).unwrap().uid(), ALICE);
    // One sandbox for each launcher: this one has gone.
    assert_eq!(launcher.told(), None);
    recorded(&server, 4 + 5 + 1);
}

/// Launches whose policy is above the ceiling, each in another way.
fn wider(place: &Place, launch: &Value) -> Vec<Value> {
    let work = place.world(ALICE).join("work");
    let (work, other) = (work.to_str().unwrap().to_owned(), place.world(ALICE).join("other"));
    let rules = launch["policy"]["filesystem"]["rules"].as_array().unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut policy = launch["policy"].clone();
        change(&mut policy);
        with(launch, "policy", policy)
    };
    let of_work = rules.iter().position(|rule| rule["path"] == work.as_str()).unwrap();
    let sealed = rules.iter().position(|rule| rule["path"] == place.at("sealed").to_str().unwrap()).unwrap();
    vec![
        changed(&|policy| {
            let mut more = rules[of_work].clone();
            more["path"] = json!(other);
            let rules = policy["filesystem"]["rules"].as_array_mut().unwrap();
            rules.push(more);
            rules.sort_by_key(|rule| rule["path"].as_str().unwrap().to_owned());
        }),
        // The denial that holds for everyone is gone.
        changed(&|policy| {
            policy["filesystem"]["rules"].as_array_mut().unwrap().remove(sealed);
        }),
        // Or no more than a grant.
        changed(&|policy| policy["filesystem"]["rules"][sealed]["access"] = json!("read")),
        // Nothing holds at all.
        changed(&|policy| policy["confinement"]["value"] = json!("unrestricted")),
    ]
}

/// Each refusal stands in the record, by the launcher, for the user whom the kernel named.
fn recorded(server: &Server, refusals: usize) {
    let log = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<&Value> = records.iter().filter(|record| record["action"] == "refuse").collect();
    assert_eq!(refused.len() + 1, refusals, "{log}");
    assert!(
        records.iter().skip(1).all(|record| record["uid"] == ALICE && record["by"] == "launcher"),
        "{log}"
    );
    // The digest is that of the policy that came, not of what anyone says.
    let started = records.iter().find(|record| record["action"] == "start").unwrap();
    assert!(refused.iter().any(|record| record["digest"] != started["digest"]));
    assert!(refused.iter().any(|record| record["digest"] == started["digest"]));
}

/// A request that ALICE's side made, said to BOB's launcher: it runs as BOB, with BOB's rights.
#[test]
fn a_replayed_request_runs_as_whose_launcher_hears_it() {
    let Some(Stage { place, server, launch, .. }) = stage() else { return };
    let work = place.world(ALICE).join("work");
    fs::write(work.join("secret"), "of alice").unwrap();
    for (path, mode) in [(work.join("secret"), 0o600), (work.clone(), 0o777)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        lchown(&path, Some(ALICE), Some(ALICE)).unwrap();
    }
    let known = below(server.pid());
    let _bob = server.client(BOB);
    let post = Post::of(&server, &known).unwrap();
    let mut launcher = post.launcher();
    let told = launcher.order(&json!({"launch": launch}), &[]).unwrap();
    assert!(told["launched"]["pid"].is_i64(), "{told}");
    assert_eq!(launcher.told().unwrap()["ended"]["end"], json!({"reason": "exited", "code": 1}));
    let mine = work.join("mine");
    assert_eq!(fs::read_to_string(&mine).unwrap(), format!("{BOB}\n{BOB}\n"), "alice's secret is not read");
    assert_eq!(fs::metadata(&mine).unwrap().uid(), BOB);
    let log = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((&last["action"], &last["uid"]), (&json!("end"), &json!(BOB)));
}

#[test]
fn what_is_no_order_gets_nothing() {
    let Some(Stage { place, server, post, launch }) = stage() else { return };
    let mine = place.world(ALICE).join("work/mine");
    for order in [
        json!({"launch": with(&launch, "uid", json!(0))}),
        json!({"launch": with(&launch, "digest", json!("0".repeat(64)))}),
        json!({"launch": with(&launch, "ceiling", json!({}))}),
        json!({"become": "root"}),
        json!("launch"),
    ] {
        assert_eq!(post.launcher().order(&order, &[]), None, "{order}");
    }
    let directory = File::open("/").unwrap();
    let leads_out = with(&launch, "stdio", json!(["passed", "closed", "closed"]));
    let mut launcher = post.launcher();
    let told = launcher.order(&json!({"launch": leads_out}), &[directory.as_fd()]).unwrap();
    assert_eq!(told["refused"]["code"], QUESTION, "{told}");
    assert!(!mine.exists());
    // The launcher itself is the user, with what making a sandbox takes and nothing that passes over a file's mode.
    let mut waits = launch.clone();
    waits["argv"] = json!(["sh", "-c", "mkfifo never; read x < never"]);
    let known = below(server.pid());
    let mut launcher = post.launcher();
    let pid = *below(server.pid()).iter().find(|pid| !known.contains(pid)).unwrap();
    let told = launcher.order(&json!({"launch": waits}), &[]).unwrap();
    assert!(told["launched"]["pid"].is_i64(), "{told}");
    assert_eq!(launcher.refused(&launch), STATE, "one sandbox at a time");
    assert_eq!(status(pid, "Uid"), ALICE.to_string());
    let capabilities = u64::from_str_radix(&status(pid, "CapPrm"), 16).unwrap();
    // Of 1 << 0 to 1 << 4, CAP_CHOWN to CAP_FSETID, and CAP_SETUID (7), CAP_SYS_PTRACE (19), nothing.
    assert_eq!(capabilities & (0b1_1111 | 1 << 7 | 1 << 19), 0, "{capabilities:x}");
    let told = launcher.order(&json!("end"), &[]).unwrap();
    assert_eq!(told["ended"]["end"]["reason"], "cancelled", "{told}");
    assert!(!mine.exists());
    // A word that the supervisor does not know, or that is too long for one, ends the post: nothing can be asked for any more.
    post.say(&[1, 0, 0, 0, 0, 0, 0, 0, 0]);
    post.wait();
    let mut bytes = [0; 5];
    let got = rustix::net::recv(&post.0, bytes.as_mut_slice(), RecvFlags::empty());
    assert!(got.is_ok_and(|(count, _)| count == 0));
}
