//! What Landlock refuses, as the kernel's audit records tell it. Needs root, and a kernel that makes such records.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use weir_sandbox_linux::audit::status;
use weir_sandbox_linux::host::Host;
use weir_tests::sandbox::way::is_root;
use weir_tests::sandbox::{Way, World, programs};
use weir_tests::skip;

use super::case::{Case, PROFILE, blind, check_by, given_up, prepare, reported_by};

/// A server that has switched the kernel's audit on, and the right of this test to say so alone: it is the machine's.
struct Auditing {
    server: Child,
    _alone: File,
}

impl Auditing {
    fn begin(world: &World) -> Self {
        let alone = File::create(programs::room().join("kernel-audit.lock")).unwrap();
        flock(alone.as_fd(), FlockOperation::LockExclusive).unwrap();
        let program = programs().weir.with_file_name("weir-exec-server");
        let mut command = Command::new(program);
        command.arg("--listen").arg(world.at("server.sock")).arg("--state").arg(world.at("state"));
        command.args(["--server-user", "nobody", "--kernel-audit", "enable"]).stdin(Stdio::null());
        command.env("NOTIFY_SOCKET", world.at("notify"));
        let told = std::os::unix::net::UnixDatagram::bind(world.at("notify")).unwrap();
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It is switched on before the server says that it is ready.
        told.recv(&mut [0; 64]).unwrap();
        Self { server, _alone: alone }
    }

    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.server.wait().unwrap().success());
    }
}

/// A test that fails leaves the machine as it was found, too.
impl Drop for Auditing {
    fn drop(&mut self) {
        if matches!(self.server.try_wait(), Ok(None)) {
            let pid = rustix::process::Pid::from_child(&self.server);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = self.server.wait();
        }
    }
}

/// Weir as root without what makes namespaces, so that Landlock alone holds the files.
fn bare_as_root(world: &World, options: Vec<String>) -> Command {
    let mut command = world.command("setpriv");
    command.args(["--bounding-set", "-sys_admin"]).arg(&programs().probe).arg("refuse-user-namespaces");
    command.arg(&programs().weir).arg("run").args(options).arg("--");
    command
}

fn has_records() -> Result<(), &'static str> {
    if !is_root() {
        return Err("only root reads the kernel's audit records");
    }
    // audit_netlink_ok(): status is told and set in the first PID namespace alone.
    if status().is_err() {
        return Err("the kernel's audit cannot be asked or switched from here");
    }
    let host = Host::probe();
    match (host.audit.records.works(), host.landlock.usable()) {
        (false, _) => Err("the kernel's audit records cannot be read"),
        (true, ..7) => Err("this kernel's Landlock makes no records"),
        (true, _) => Ok(()),
    }
}

const fn case(
    act: &'static [&'static str],
    told: (&'static str, &'static str),
    rule: Option<&'static str>,
    option: &'static [&'static str],
    opens: &'static str,
) -> Case {
    Case { act, told, rule, option, opens }
}

const DATA: Option<&str> = Some("\"{w}/data\" = \"read\"");

const CASES: [Case; 12] = [
    case(
        &["read", "{w}/other/secret"],
        ("read", "{w}/other/secret"),
        None,
        &["--read", "{w}/other/secret"],
        "{w}/other/secret",
    ),
    case(&["list", "{w}/other"], ("list", "{w}/other"), None, &["--read", "{w}/other"], "{w}/other"),
    case(
        &["exec", "{w}/other/tool"],
        ("execute", "{w}/other/tool"),
        None,
        &["--read", "{w}/other/tool"],
        "{w}/other/tool",
    ),
    case(
        &["write", "{w}/other/secret"],
        ("write", "{w}/other/secret"),
        None,
        &["--write", "{w}/other/secret"],
        "{w}/other/secret",
    ),
    case(
        &["write", "{w}/data/seen"],
        ("write", "{w}/data/seen"),
        DATA,
        &["--write", "{w}/data/seen"],
        "{w}/data/seen",
    ),
    case(
        &["open-write", "{w}/data/old/file"],
        ("write", "{w}/data/old/file"),
        DATA,
        &["--write", "{w}/data/old/file"],
        "{w}/data/old/file",
    ),
    case(
        &["truncate", "{w}/data/seen"],
        ("truncate", "{w}/data/seen"),
        DATA,
        &["--write", "{w}/data/seen"],
        "{w}/data/seen",
    ),
    case(&["unlink", "{w}/data/seen"], ("remove", "{w}/data"), DATA, &["--write", "{w}/data"], "{w}/data"),
    case(
        &["unlink", "{w}/data/old/file"],
        ("remove", "{w}/data/old"),
        DATA,
        &["--write", "{w}/data/old"],
        "{w}/data/old",
    ),
    case(
        &["rmdir", "{w}/data/empty"],
        ("remove-directory", "{w}/data"),
        DATA,
        &["--write", "{w}/data"],
        "{w}/data",
    ),
    case(
        &["rmdir", "{w}/other/empty"],
        ("remove-directory", "{w}/other"),
        None,
        &["--write", "{w}/other"],
        "{w}/other",
    ),
    case(
        &["unlink", "{w}/other/secret"],
        ("remove", "{w}/other"),
        None,
        &["--write", "{w}/other"],
        "{w}/other",
    ),
];

#[test]
fn what_landlock_refuses_is_told_by_the_kernel() {
    if let Err(reason) = has_records() {
        return skip("denials::records", reason);
    }
    let world = World::new(Way::Root);
    let found = status().unwrap();
    let place = World::new(Way::Root);
    let auditing = Auditing::begin(&place);
    assert!(status().unwrap().enabled);
    let profile = PROFILE.replace("\"{w}/data/shut\" = \"none\"\n", "");
    for case in &CASES {
        check_by(&bare_as_root, &world, &profile, case, "landlock");
    }
    closed_inside(&world);
    the_last(&world);
    with_mounts(&world);
    auditing.end();
    assert_eq!(status().unwrap().enabled, found.enabled, "it is left as it was found");
}

/// A place that a rule closes inside one that can be read.
fn closed_inside(world: &World) {
    let case = case(
        &["read", "{w}/data/shut/hidden"],
        ("read", "{w}/data/shut/hidden"),
        Some("\"{w}/data/shut\" = \"none\""),
        &["--read", "{w}/data/shut/hidden"],
        "{w}/data/shut/hidden",
    );
    check_by(&bare_as_root, world, PROFILE, &case, "landlock");
}

/// What comes last is told, however short the command is.
fn the_last(world: &World) {
    world.clear();
    prepare(world);
    world.profile_giving_up(&given_up("landlock"), "\"{w}/work\" = \"write\"", "");
    for _ in 0..20 {
        let words = ["cat".to_owned(), world.expand("{w}/other/secret")];
        let (_, exited) = super::case::report_by(&bare_as_root, world, &[], words);
        let reads = exited.denials.iter().filter(|one| one.target.to_string().ends_with("other/secret"));
        assert_eq!((reads.count(), exited.sight.lost), (1, 0), "{exited:?}");
        assert!(!blind(&exited.sight).contains(&"landlock"), "{exited:?}");
    }
}

/// Where there are mounts as well the records are read, and what mounts refuse is not told.
fn with_mounts(world: &World) {
    let (run, exited) = reported_by(&World::weir::<String>, world, &[], &["read", "{w}/other/secret"]);
    assert!(!run.text().starts_with("ok"), "{run:?}");
    assert_eq!((exited.denials.len(), blind(&exited.sight)), (0, vec!["mounts"]), "{exited:?}");
}
