//! A server on standard input and output, as through ssh(1).

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_tests::sandbox::kin;
use weir_tests::sandbox::{Way, World, programs};

use super::peer::{Client, Server, start};

/// Ticks of a millisecond after which everything must be gone.
const GONE_MS: u32 = 10_000;

fn command(world: &World) -> Command {
    let mut command = world.command(programs().weir.with_file_name("weir-exec-server"));
    command.arg("--stdio").arg("--state").arg(world.at("state")).env("XDG_RUNTIME_DIR", world.at("home"));
    if world.way() == Way::Root {
        command.args(["--server-user", "nobody"]);
    }
    command
}

#[test]
fn a_server_of_one_connection_serves_and_goes_with_it() {
    Way::each("server::remote", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let (mut client, mut child) = Client::through(command(&world));
        let ran = client.run(start(&world, &["head", "-c", "500000", "/dev/zero"])).unwrap();
        assert_eq!(ran.output[0].len(), 500_000);
        let account = &ran.closed["streams"][0];
        assert_eq!(account["blake3"], blake3::hash(&ran.output[0]).to_hex().as_str());
        let explained = client.ask("host/doctor", Value::Null);
        assert!(explained["result"].is_object(), "{explained}");
        // Also what would go on without its client, for nobody could come back to it.
        let mut lasting = start(&world, &["tail", "-f", "/dev/null"]);
        lasting["output"]["when_left"] = "stay".into();
        assert!(client.ask("process/start", lasting)["error"].is_null());
        let everyone = kin::family(i32::try_from(child.id()).unwrap());
        assert!(everyone.len() >= 6, "{everyone:?}");
        drop(client);
        assert!(child.wait().unwrap().success());
        let ticks = kin::wait_for_ends(&everyone, GONE_MS);
        let left = kin::living("no process bears this mark", &everyone);
        assert!(left.is_empty(), "after {ticks} ms there are {left:?}");
    });
}

#[test]
fn what_is_stopped_goes_with_its_client_as_well() {
    Way::each("server::remote_stopped", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let (mut client, mut relay) = Client::through(command(&world));
        let script = "trap '' TERM; (setsid tail -f /dev/null) & exec tail -f /dev/null";
        assert!(client.ask("process/start", start(&world, &["sh", "-c", script]))["error"].is_null());
        let own = i32::try_from(relay.id()).unwrap();
        let everyone = kin::family(own);
        assert!(everyone.len() >= 6, "{everyone:?}");
        for process in everyone.iter().filter(|process| process.pid != own) {
            kill_process(Pid::from_raw(process.pid).unwrap(), Signal::STOP).unwrap();
        }
        drop(client);
        assert!(relay.wait().unwrap().success());
        let ticks = kin::wait_for_ends(&everyone, GONE_MS);
        let left = kin::living("no process bears this mark", &everyone);
        assert!(left.is_empty(), "after {ticks} ms there are {left:?}");
    });
}

#[test]
fn a_server_that_runs_is_the_one_that_serves() {
    // Where root's server would be, nothing may be made.
    Way::each_of(&[Way::User], "server::remote_running", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        world.directory("home/weir");
        let server = Server::start_at(&world, world.at("home/weir/exec-server.sock"), &[]);
        let (mut one, mut first) = Client::through(command(&world));
        let lasting = start(&world, &["tail", "-f", "/dev/null"]);
        let id = one.ask("process/start", lasting)["result"]["id"].clone();
        let (mut other, mut second) = Client::through(command(&world));
        let list = other.ask("process/list", Value::Null);
        assert_eq!(list["result"]["commands"][0]["id"], id, "{list}");
        assert!(id.is_u64());
        assert!(other.ask("process/kill", json!({ "id": id, "grace_ms": 0 }))["error"].is_null());
        drop((one, other));
        assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
        drop(server);
    });
}

/// A pipe is read while the relay waits for more to carry to it: through ssh(1) nothing else is there.
#[test]
fn what_is_carried_into_a_pipe_can_be_read_at_once() {
    Way::each_of(&[Way::User], "server::remote_pipe", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let (mut client, mut child) = Client::through_pipes(command(&world));
        for _ in 0..3 {
            let ran = client.run(start(&world, &["head", "-c", "500000", "/dev/zero"])).unwrap();
            assert_eq!(ran.output[0].len(), 500_000);
        }
        drop(client);
        assert!(child.wait().unwrap().success());
    });
}
