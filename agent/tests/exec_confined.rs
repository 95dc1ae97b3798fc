//! `weir exec` has given up what it does not need by the time it asks its provider for the first time.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use place::{Place, weir};

/// A number of /proc/PID/status (proc_pid_status(5)).
fn status(process: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key}: {text}")).trim().parse().unwrap()
}

#[test]
fn the_agent_is_confined_before_it_asks() {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", provider.local_addr().unwrap());
    let place = Place::with_config(&format!(
        "model = \"m\"\nmodel_provider = \"local\"\n[model_providers.local]\nname = \"l\"\nbase_url = \"{url}\"\n"
    ));
    let mut exec = place.command(weir().to_str().unwrap());
    let quiet = exec.args(["exec", "hello"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut exec = quiet.spawn().unwrap();
    let asked = provider.accept().unwrap();
    let agent = exec.id().to_string();
    // Each of its threads: the confinement came before the first one.
    let threads = fs::read_dir(format!("/proc/{agent}/task")).unwrap().count();
    for thread in fs::read_dir(format!("/proc/{agent}/task")).unwrap() {
        let thread = format!("{agent}/task/{}", thread.unwrap().file_name().to_str().unwrap());
        assert_eq!(status(&thread, "NoNewPrivs"), 1);
        assert!(status(&thread, "Seccomp_filters") >= status("self", "Seccomp_filters") + 2);
    }
    assert!(threads > 1, "the executor has one of its own");
    exec.kill().unwrap();
    exec.wait().unwrap();
    drop(asked);
}
