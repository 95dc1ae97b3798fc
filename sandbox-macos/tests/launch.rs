//! The launch plan: what is started, with which arguments, variables and limits.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/world.rs"]
mod world;

use weir_protocol::policy::{
    Access, Confinement, Degradation, Origin, PolicyParts, PrivateDirectory, Resource, Sourced, StandIn,
};
use weir_sandbox_macos::launch::{
    Command, ENDING, Ending, LaunchError, MAX_ARGUMENT_BYTES, MeasuredLimit, ProcessLimit, SANDBOX_EXEC, plan,
};
use weir_sandbox_macos::{LaunchPlan, Run};

use world::{EXACT, Sketch, path, run};

fn command(variables: &[(&str, &str)]) -> Command {
    Command {
        program: path("/bin/sh"),
        arguments: vec![b"-c".to_vec(), b"echo \"$1\"".to_vec(), b"-D".to_vec()],
        working_directory: path("/p"),
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}

fn parts(sketch: &Sketch) -> PolicyParts {
    sketch.policy().into()
}

fn planned(parts: PolicyParts, run: &Run, command: &Command) -> LaunchPlan {
    plan(&parts.into(), EXACT, run, command).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_command_follows_the_profile_and_its_parameters() {
    let plan = planned(parts(&Sketch::files(&[("/p", Access::Write)], &[])), &run(), &command(&[]));
    assert_eq!(plan.program, path(SANDBOX_EXEC));
    let arguments: Vec<&str> = plan.arguments.iter().map(|argument| text(argument)).collect();
    assert_eq!(arguments[..2], [SANDBOX_EXEC, "-p"]);
    assert!(arguments[2].starts_with("(version 1)\n(deny default (with message \"weir-test\"))\n"));
    // Nothing of the command comes before `--`, where sandbox-exec would take it for its own.
    assert_eq!(arguments[3..], ["-D", "PATH_0=/p", "--", "/bin/sh", "-c", "echo \"$1\"", "-D"]);
    assert_eq!(plan.working_directory, path("/p"));
}

#[test]
fn unrestricted_runs_the_program_itself() {
    let mut parts = parts(&Sketch::default());
    parts.confinement.value = Confinement::Unrestricted;
    let plan = planned(parts, &run(), &command(&[("DYLD_LIBRARY_PATH", "/x"), ("A_TOKEN", "s")]));
    assert_eq!((plan.program, plan.compiled), (path("/bin/sh"), None));
    assert_eq!(plan.environment.len(), 2);
}

#[test]
fn no_variable_steers_the_loader_or_passes_the_gate_and_stand_ins_are_named() {
    let own = Run { scratch: Some(path("/private/tmp/run")), ..run() };
    let mut parts = parts(&Sketch { network: true, ..Sketch::default() });
    let mut fs = parts.filesystem.to_parts();
    for (at, kind) in [("/Users/u", StandIn::Home), ("/tmp", StandIn::Temporary)] {
        fs.private.push(PrivateDirectory { path: path(at), kind });
    }
    parts.filesystem = fs.into();
    let caller = [
        ("PATH", "/usr/bin"),
        ("HOME", "/Users/u"),
        ("NO_PROXY", "*"),
        ("DYLD_INSERT_LIBRARIES", "/x"),
        ("CI", "1"),
        ("TMPDIR", "/var/folders/x"),
    ];
    let plan = planned(parts, &own, &command(&caller));
    let found: Vec<String> =
        plan.environment.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    assert_eq!(
        found,
        [
            "ALL_PROXY=socks5h://127.0.0.1:1080",
            "CFFIXED_USER_HOME=/private/tmp/run/home",
            "CI=1",
            "HOME=/private/tmp/run/home",
            "HTTPS_PROXY=http://127.0.0.1:3128",
            "HTTP_PROXY=http://127.0.0.1:3128",
            "PATH=/usr/bin",
            "TEMP=/private/tmp/run/tmp",
            "TMP=/private/tmp/run/tmp",
            "TMPDIR=/private/tmp/run/tmp",
            "all_proxy=socks5h://127.0.0.1:1080",
            "http_proxy=http://127.0.0.1:3128",
            "https_proxy=http://127.0.0.1:3128",
        ]
    );
}

#[test]
fn the_listing_names_every_step() {
    let listing =
        planned(parts(&Sketch::files(&[("/p", Access::Write)], &[])), &run(), &command(&[])).listing();
    for expect in [
        "start /usr/bin/sandbox-exec\n",
        "  PATH_0=/p\n",
        "in /p\n",
        "OwnGroup",
        "LookAgain",
        "(deny default",
    ] {
        assert!(listing.contains(expect), "{expect}: {listing}");
    }
}

#[test]
fn limits_are_split_into_what_the_system_holds_and_what_is_measured() {
    let mut parts = parts(&Sketch::default());
    let limit = |value| Sourced { value, origin: Origin::implied("test") };
    for (resource, value) in [
        (Resource::Memory, 1 << 30),
        (Resource::Processes, 64),
        (Resource::OpenFiles, 256),
        (Resource::FileSize, 1 << 20),
    ] {
        parts.resources.set(resource, limit(value));
    }
    parts.degradations.insert(Degradation::ProcessLimits, Origin::implied("test"));
    let plan = planned(parts, &run(), &command(&[]));
    assert_eq!(
        plan.limits,
        [ProcessLimit::NoCore, ProcessLimit::OpenFiles(256), ProcessLimit::FileSize(1 << 20)]
    );
    assert_eq!(plan.measured, [MeasuredLimit::Memory(1 << 30), MeasuredLimit::Processes(64)]);
}

#[test]
fn what_no_program_can_be_given_is_refused() {
    let policy = Sketch::default().policy();
    let with = |argument: Vec<u8>| Command { arguments: vec![argument], ..command(&[]) };
    let nul = plan(&policy, EXACT, &run(), &with(b"a\0b".to_vec())).unwrap_err();
    assert!(matches!(nul, LaunchError::NulInArgument { .. }), "{nul}");
    let long = plan(&policy, EXACT, &run(), &with(vec![b'a'; MAX_ARGUMENT_BYTES])).unwrap_err();
    assert!(matches!(long, LaunchError::TooLong { .. }), "{long}");
    assert!(plan(&policy, EXACT, &run(), &with(vec![b'a'; MAX_ARGUMENT_BYTES / 2])).is_ok());
}

#[test]
fn a_tree_is_frozen_before_it_is_killed_and_looked_for_again_before_it_is_reaped() {
    let order = ENDING.map(|step| step.act);
    assert_eq!(
        order,
        [Ending::Watch, Ending::Freeze, Ending::Kill, Ending::LookAgain, Ending::Reap, Ending::Sweep]
    );
    assert!(ENDING.iter().all(|step| !step.reason.is_empty()));
}
