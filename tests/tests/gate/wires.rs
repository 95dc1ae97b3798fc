//! Two network namespaces and a pair of interfaces between them. Both vanish with the value.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use weir_tests::sandbox::way::USER;
use weir_tests::sandbox::{Run, Way, World, finish, programs};

use super::peers::Peers;

/// Where "the host" is, and the only way out of it. Public addresses: nothing here is reached outside.
pub(crate) const HOST: &str = "11.22.33.1";
/// Where the peers are.
pub(crate) const PEERS: &str = "11.22.33.2";
/// The same in version 6.
pub(crate) const PEERS_V6: &str = "2a0f:1122:33::2";
/// Beside it, and nobody's.
pub(crate) const NOBODY: &str = "2a0f:1122:33::9";
/// An address of the peers that no rule opens.
pub(crate) const PRIVATE: &str = "10.9.8.7";

/// A process that holds namespaces open, and ends with its input.
struct Holder(Child);

impl Holder {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-c", "echo held; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// A command in its namespaces.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.id(), "--net", "--mount"]);
        command
    }

    fn run(&self, words: &str) {
        let done: Run = finish(self.enter().args(words.split(' ')));
        assert_eq!(done.code, 0, "{words}: {}", done.stderr);
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A host with its peers, and a world of a command on it.
pub(crate) struct Wires {
    host: Holder,
    far: Holder,
    pub(crate) peers: Peers,
    pub(crate) world: World,
}

impl Wires {
    /// Runs a test with wires in each way that this machine has and in which the gate can be had.
    pub(crate) fn each(test_id: &str, test: impl Fn(&Self)) {
        if Way::Root.available().is_err() {
            return weir_tests::skip(&format!("gate::{test_id}"), "only root lays wires between namespaces");
        }
        Way::each_of(&[Way::Root, Way::User], &format!("gate::{test_id}"), |way| test(&Self::new(way)));
    }

    /// The same without namespaces, where nothing leads to the gate.
    pub(crate) fn bare(test_id: &str, test: impl Fn(&Self)) {
        if Way::Root.available().is_err() {
            return weir_tests::skip(&format!("gate::{test_id}"), "only root lays wires between namespaces");
        }
        Way::each_of(&[Way::Bare], &format!("gate::{test_id}"), |way| test(&Self::new(way)));
    }

    fn new(way: Way) -> Self {
        let (host, far) = (Holder::new(), Holder::new());
        let world = World::new(way);
        host.run(&format!("ip link add near type veth peer name far netns {}", far.id()));
        for (holder, device, v4, v6) in
            [(&host, "near", HOST, "2a0f:1122:33::1"), (&far, "far", PEERS, PEERS_V6)]
        {
            holder.run("ip link set lo up");
            holder.run(&format!("ip address add {v4}/24 dev {device}"));
            holder.run(&format!("ip -6 address add {v6}/64 dev {device} nodad"));
            holder.run(&format!("ip link set {device} up"));
        }
        far.run(&format!("ip address add {PRIVATE}/24 dev far"));
        host.run(&format!("ip route add default via {PEERS}"));
        let peers = Peers::start(File::open(format!("/proc/{}/ns/net", far.id())).unwrap());
        let wires = Self { host, far, peers, world };
        wires.show(
            "/etc/resolv.conf",
            format!("nameserver {PEERS}\noptions timeout:1 attempts:2\n").as_bytes(),
        );
        wires.show("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n");
        let user = format!("tester:x:{USER}:{USER}::{}:/bin/sh\n", wires.world.at("home").display());
        let passwd = [&fs::read("/etc/passwd").unwrap_or_default()[..], user.as_bytes()].concat();
        wires.show("/etc/passwd", &passwd);
        wires.far.run(&format!("mount --bind {} /etc/passwd", wires.world.at("host/passwd").display()));
        let roots = "/etc/ssl/certs/ca-certificates.crt";
        let mut bundle = fs::read(roots).unwrap_or_default();
        bundle.extend_from_slice(wires.peers.authority().as_bytes());
        wires.show(roots, &bundle);
        wires
    }

    /// Puts a file over another one, on "the host" alone.
    pub(crate) fn show(&self, path: &str, content: &[u8]) {
        let name = format!("host/{}", Path::new(path).file_name().unwrap().to_string_lossy());
        let file = self.world.file(name, content);
        self.host.run(&format!("mount --bind {} {path}", file.display()));
    }

    /// A command where the peers are, as root.
    pub(crate) fn far(&self) -> Command {
        let mut command = self.far.enter();
        command.stdin(Stdio::null());
        command
    }

    /// A command on "the host", as the world's user, in `work`.
    fn on_host(&self) -> Command {
        let mut command = self.host.enter();
        command.arg(format!("--wdns={}", self.world.at("work").display()));
        if let Some(user) = self.world.way().user() {
            let user = user.to_string();
            command.args(["--setuid", &user, "--setgid", &user]);
        }
        command.env_clear().env("PATH", weir_tests::sandbox::PATH).env("LANG", "C.UTF-8");
        command.env("HOME", self.world.at("home")).env("WEIR_HOME", self.world.at("weir"));
        command.env("WEIR_SERVER", "none").stdin(Stdio::null());
        if self.world.way() == Way::Bare {
            command.arg(&programs().probe).arg("refuse-user-namespaces");
        }
        command
    }

    /// Without Weir: the control.
    pub(crate) fn outside(&self, words: &[&str]) -> Run {
        finish(self.on_host().args(words))
    }

    /// Under the profile in force.
    pub(crate) fn run(&self, words: &[&str]) -> Run {
        self.run_with(&[], words)
    }

    /// The same with options of `weir run`.
    pub(crate) fn run_with(&self, options: &[&str], words: &[&str]) -> Run {
        finish(self.on_host().arg(&programs().weir).arg("run").args(options).arg("--").args(words))
    }

    /// The words of a run with options of `weir run`.
    pub(crate) fn weir<'a>(&self, options: &[&'a str], words: &[&'a str]) -> Vec<&'a str> {
        let weir = programs().weir.to_str().unwrap();
        [&[weir, "run"], options, &["--"], words].concat()
    }

    /// The same as a line for a shell.
    pub(crate) fn run_line(&self, options: &[&str], words: &[&str]) -> String {
        let quoted = |word: &&str| format!("'{}'", word.replace('\'', "'\\''"));
        self.weir(options, words).iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// A command on "the host", as [`Wires::outside`] runs it.
    pub(crate) fn host_command(&self, program: &str) -> Command {
        let mut command = self.on_host();
        command.arg(program);
        command
    }

    /// Sets a profile with these lines of `[permissions.test.network]`.
    pub(crate) fn profile(&self, network: &str) {
        self.profile_giving_up(&[], network);
    }

    /// The same, giving up guarantees by name.
    pub(crate) fn profile_giving_up(&self, names: &[&str], network: &str) {
        let filesystem = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";
        let network = format!("[permissions.test.network]\nenabled = true\n{network}");
        self.world.profile_giving_up(names, filesystem, &network);
    }
}
