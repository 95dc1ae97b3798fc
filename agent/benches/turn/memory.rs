//! What `weir exec` and its exec-server hold while they wait for the model: read from /proc, process by process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::sandbox::kin;

/// What the agent may have held at most, in MB of resident memory: `VmHWM`, what it shares with others included.
const AGENT_MB: f64 = 40.0;

/// What all processes of the exec-server may hold together, in MB; what several share counts once (`Pss`).
const SERVER_MB: f64 = 40.0;

const KB_IN_MB: f64 = 1024.0;

/// Of one process, or of several, in kB.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    most: u32,
    resident: u32,
    shared_out: u32,
}

impl Memory {
    /// None where it cannot be seen: the server's processes are hidden from all but root.
    fn of(process: i32) -> Option<Self> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        Some(Self {
            most: field(&status, "VmHWM:")?,
            resident: field(&status, "VmRSS:")?,
            shared_out: field(&rollup, "Pss:")?,
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            most: self.most.max(other.most),
            resident: self.resident + other.resident,
            shared_out: self.shared_out + other.shared_out,
        }
    }
}

fn field(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn mb(kb: u32) -> f64 {
    f64::from(kb) / KB_IN_MB
}

/// The exec-server of the same build, where the command line looks for it.
fn weir() -> PathBuf {
    let weir = PathBuf::from(env!("CARGO_BIN_EXE_weir"));
    let profile: &[&str] =
        if weir.parent().is_some_and(|at| at.ends_with("release")) { &["--release"] } else { &[] };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", "weir-exec-server"])
        .args(profile)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    weir
}

/// `weir exec` in a home of its own, asking who listens at `url`.
fn exec(weir: &Path, home: &Path, url: &str) -> Command {
    let table =
        format!("model = \"m\"\nmodel_provider = \"x\"\n[model_providers.x]\nbase_url = \"{url}/v1\"\n");
    fs::create_dir_all(home.join(".weir")).unwrap();
    fs::create_dir_all(home.join("project")).unwrap();
    fs::write(home.join(".weir/config.toml"), table).unwrap();
    let mut command = Command::new(weir);
    command.args(["exec", "--json", "hello"]).current_dir(home.join("project"));
    command.env("HOME", home).env("WEIR_SERVER", "none").env_remove("WEIR_HOME").env_remove("TMPDIR");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Prints what is held, and says whether the aims are met.
pub(crate) fn measure() -> bool {
    let home = tempfile::tempdir().unwrap();
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", provider.local_addr().unwrap());
    let mut agent = exec(&weir(), home.path(), &url).spawn().unwrap();
    // The request is all there: from now on everyone waits.
    let (asked, _) = provider.accept().unwrap();
    let mut lines = BufReader::new(&asked).lines();
    while lines.next().unwrap().unwrap() != "" {}
    let pid = i32::try_from(agent.id()).unwrap();
    let agents = Memory::of(pid).unwrap();
    let family = kin::family(pid);
    let servers: Vec<_> = family.iter().filter(|process| process.pid != pid).collect();
    let found = servers.iter().map(|process| Memory::of(process.pid)).collect::<Option<Vec<_>>>();
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    agent.wait().unwrap();
    let most = mb(agents.most);
    println!("the agent while it waits: most resident     {most:>8.1} MB  aim {AGENT_MB} MB");
    println!(
        "  resident, and without others' share       {:>8.1} MB  {:.1} MB",
        mb(agents.resident),
        mb(agents.shared_out)
    );
    let Some(found) = found else {
        println!("its exec-server                             hidden from all but root");
        return most < AGENT_MB;
    };
    let all = found.into_iter().fold(Memory::default(), Memory::and);
    let shared_out = mb(all.shared_out);
    println!(
        "its exec-server, {} processes together       {shared_out:>8.1} MB  aim {SERVER_MB} MB",
        servers.len()
    );
    println!(
        "  resident, added up; most of one           {:>8.1} MB  {:.1} MB",
        mb(all.resident),
        mb(all.most)
    );
    most < AGENT_MB && shared_out < SERVER_MB
}
