//! SIGKILL to any part of a server: what depends on the part is gone a moment later, and the rest goes on.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_tests::sandbox::kin::{self, Process};
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// Rounds for each victim and way, where `WEIR_LIFE_ROUNDS` asks for nothing else.
const ROUNDS: usize = 2;

/// Ticks of a millisecond after which everything must be gone.
const GONE_MS: u32 = 10_000;

/// What a command does until it is ended: a child that left its session holds the output too.
const LASTING: &str = "(setsid tail -f /dev/null) & echo ready; exec tail -f /dev/null";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Supervisor,
    ServerPart,
    Launcher,
    Init,
    Client,
}

const VICTIMS: [Victim; 5] =
    [Victim::Supervisor, Victim::ServerPart, Victim::Launcher, Victim::Init, Victim::Client];

/// A server that runs one command, and everyone who has part in that.
struct Scene {
    world: World,
    server: Server,
    client: Client,
    id: u64,
    /// Server part, resolver, launcher.
    parts: Vec<Process>,
    init: Process,
    /// The launcher and all below it.
    sandbox: BTreeSet<Process>,
}

fn lasting(client: &mut Client, world: &World) -> u64 {
    let answer = client.ask("process/start", start(world, &["sh", "-c", LASTING]));
    let id = answer["result"]["id"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    loop {
        match client.hear() {
            Heard::Data(_, bytes) if bytes == b"ready\n" => return id,
            heard => assert!(heard != Heard::End),
        }
    }
}

impl Scene {
    fn new(way: Way) -> Self {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let id = lasting(&mut client, &world);
        let parts = kin::children(server.pid());
        assert_eq!(parts.len(), 3, "{parts:?}");
        let sandbox = kin::family(parts[2].pid);
        let init = kin::children(parts[2].pid)[0];
        // Launcher, init, shell or its successor, and the child that left.
        assert!(sandbox.len() >= 4, "{sandbox:?}");
        Self { world, server, client, id, parts, init, sandbox }
    }

    fn strike(&mut self, victim: Victim) {
        match victim {
            Victim::Supervisor => kin::kill(self.supervisor()),
            Victim::ServerPart => kin::kill(self.parts[0]),
            Victim::Launcher => kin::kill(self.parts[2]),
            Victim::Init => kin::kill(self.init),
            // A client that dies is a connection that ends.
            Victim::Client => self.client.socket().shutdown(std::net::Shutdown::Both).unwrap(),
        }
    }

    fn supervisor(&self) -> Process {
        let family = kin::family(self.server.pid());
        family.into_iter().find(|one| one.pid == self.server.pid()).unwrap()
    }

    /// Someone who comes afterwards finds a server that runs commands and knows nothing of what was ended.
    fn serves(&self) {
        let mut client = self.server.client();
        let list = client.ask("process/list", Value::Null);
        assert_eq!(list["result"]["commands"], json!([]), "{list}");
        let ran = client.run(start(&self.world, &["true"])).unwrap();
        assert_eq!(ran.end, json!({ "reason": "exited", "code": 0 }));
    }
}

fn gone(processes: &BTreeSet<Process>, what: &str) {
    let ticks = kin::wait_for_ends(processes, GONE_MS);
    let left = kin::living("no process bears this mark", processes);
    let told: Vec<_> = left.iter().map(|one| (one.pid, kin::arguments(one.pid))).collect();
    left.iter().copied().for_each(kin::kill);
    assert!(told.is_empty(), "{what}: after {ticks} ms there are {told:?}");
}

fn round(way: Way, victim: Victim) {
    let mut scene = Scene::new(way);
    let mut doomed = scene.sandbox.clone();
    // Of another client, who must not notice where only a command or its client was struck.
    let mut bystander = scene.server.client();
    let other = lasting(&mut bystander, &scene.world);
    let everyone = kin::family(scene.server.pid());
    scene.strike(victim);
    let what = format!("{way:?}, {victim:?}");
    match victim {
        Victim::Supervisor => {
            gone(&everyone, &what);
            assert_eq!(scene.client.hear(), Heard::End);
            assert!(UnixStream::connect(scene.server.socket()).is_err());
        }
        Victim::ServerPart => {
            doomed.extend(everyone.difference(&BTreeSet::from([scene.supervisor()])));
            gone(&doomed, &what);
            assert_eq!((scene.client.hear(), bystander.hear()), (Heard::End, Heard::End));
            scene.serves();
        }
        Victim::Launcher | Victim::Init | Victim::Client => {
            if victim != Victim::Client {
                let end = scene.client.outcome(scene.id).end;
                assert!(end["reason"] != "exited" && end["reason"].is_string(), "{what}: {end}");
            }
            gone(&doomed, &what);
            bystander.call("process/signal", json!({ "id": other, "signal": 15, "to": "all" }));
            let end = bystander.outcome(other).end;
            assert_eq!(end, json!({ "reason": "signalled", "signal": 15 }), "{what}");
            scene.serves();
        }
    }
}

#[test]
fn nothing_outlives_what_it_depends_on() {
    let rounds = std::env::var("WEIR_LIFE_ROUNDS").ok().map(|rounds| rounds.parse().unwrap());
    Way::each("server::killed", |way| {
        for victim in VICTIMS {
            (0..rounds.unwrap_or(ROUNDS)).for_each(|_| round(way, victim));
        }
    });
}

#[test]
fn a_first_process_that_is_stopped_is_ended_all_the_same() {
    Way::each("server::killed_stopped", |way| {
        let mut scene = Scene::new(way);
        kill_process(Pid::from_raw(scene.init.pid).unwrap(), Signal::STOP).unwrap();
        scene.client.call("process/kill", json!({ "id": scene.id, "grace_ms": 0 }));
        gone(&scene.sandbox, &format!("{way:?}"));
        assert_eq!(scene.client.outcome(scene.id).end["reason"], "cancelled");
    });
}
