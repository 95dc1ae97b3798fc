//! How long it takes until a sandbox has run `true`, beside `true` without one: what matters are the ratios, which are printed.
//!
//! All variants take turns, so that what else the machine does meets all of them alike; medians are compared. `weir run` as a whole is
//! measured beside `bwrap` with the equivalent arguments, where that is installed and `weir` lies in the same build. What an `open` and a `stat` cost
//! inside is measured by this program itself, run inside. With arguments that cargo does not pass on by itself: `--rounds N`, and `--only TEXT` for
//! the variants whose names contain that text, beside the bare one, as a profiler wants them. What lies in `/tmp`
//! counts: a command may write there, so it is searched for repositories; an empty one makes runs comparable.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people, whose answer is its output"
)]

#[path = "support/built.rs"]
mod built;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use weir_exec_server::profile::resolve::resolve;
use weir_exec_server::profile::surroundings::{Host as Terrain, Surroundings};
use weir_exec_server::profile::{builtin, load, merge};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Layer, Policy};
use weir_protocol::profile::Format;
use weir_sandbox_linux::compile::{Facts, compile};
use weir_sandbox_linux::host::{Fact, Host, Namespaces};
use weir_sandbox_linux::plan::{Credentials, Plan};
use weir_sandbox_linux::prepare::{self, Prepared};
use weir_sandbox_linux::start::{Source, Wires, start};
use weir_sandbox_linux::survey::{Moment, Survey};

/// Turns, where nothing else is asked for.
const ROUNDS: usize = 300;

/// Calls of each kind, when the cost inside is measured.
const CALLS: u32 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "--calls") {
        return calls(Path::new(&arguments[at + 1]));
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1)
    };
    let rounds = value("--rounds").and_then(|number| number.parse().ok());
    launches(rounds.unwrap_or(ROUNDS), value("--only").map(String::as_str));
}

/// What is compared by name.
const ISOLATED: &str = "full isolation";
const GATED: &str = "full isolation, rules for hosts";
const WEIR_RUN: &str = "weir run -- true";
const WEIR_RUN_GATED: &str = "weir run -- true, rules for hosts";

/// The profile of the last, and one whose readings are not told.
const PROFILE: &str = "[permissions.untold]\nextends = \":workspace\"\ndegrade = [\"untold-readings\"]\n\
    [permissions.gated]\nextends = \":workspace\"\n[permissions.gated.network]\nenabled = true\n\
    domains = { \"registry.example.org\" = \"allow\" }\n";

/// One thing to be measured.
struct Variant {
    name: &'static str,
    /// At most so many times the first variant is aimed at.
    aim: Option<f64>,
    act: Box<dyn FnMut()>,
    times: Vec<Duration>,
}

impl Variant {
    fn new(name: &'static str, aim: Option<f64>, act: impl FnMut() + 'static) -> Self {
        Self { name, aim, act: Box::new(act), times: Vec::new() }
    }

    fn median_us(&mut self) -> f64 {
        self.times.sort();
        self.times[self.times.len() / 2].as_secs_f64() * 1e6
    }
}

fn launches(rounds: usize, only: Option<&str>) {
    let ground = tempfile::tempdir_in("/var/tmp").unwrap();
    let place = ground.path().join("work");
    std::fs::create_dir_all(&place).unwrap();
    let mut variants = vec![Variant::new("bare: vfork and exec of `true`", None, || {
        assert!(Command::new("/bin/true").status().unwrap().success());
    })];
    let cases = [
        ("Landlock and seccomp alone", Some(1.3), Isolation::Bare, "off"),
        ("full isolation, the host's network", Some(2.5), Isolation::Full, "full"),
        (ISOLATED, Some(3.5), Isolation::Full, "off"),
        (GATED, None, Isolation::Full, "gate"),
    ];
    for (name, aim, isolation, network) in cases {
        let launch = Launch::new(&place, isolation, network);
        variants.push(Variant::new(name, aim, move || launch.run()));
    }
    let policy = policy(&place, Isolation::Full, "off");
    variants.push(Variant::new("survey and compile before it", None, move || {
        let host = Host::presumed();
        let survey = Survey::take(&policy).unwrap();
        compiled(&policy, &host, &survey);
    }));
    whole_programs(&place, &mut variants);
    if let Some(part) = only {
        let bare = variants[0].name;
        variants.retain(|variant| variant.name == bare || variant.name.contains(part));
    }
    for _ in 0..rounds {
        for variant in &mut variants {
            let begun = Instant::now();
            (variant.act)();
            variant.times.push(begun.elapsed());
        }
    }
    report(&mut variants);
    for [without, with] in [[ISOLATED, GATED], [WEIR_RUN, WEIR_RUN_GATED]] {
        gate_adds(&mut variants, without, with);
    }
    if only.is_none() {
        calls_inside(&place);
    }
}

/// What the network gate adds to a launch, where both were measured.
fn gate_adds(variants: &mut [Variant], without: &str, with: &str) {
    let mut of = |name: &str| variants.iter_mut().find(|one| one.name == name).map(Variant::median_us);
    if let (Some(less), Some(more)) = (of(without), of(with)) {
        println!("the gate adds to `{without}`: {:.0} µs   aim < 1500", more - less);
    }
}

fn report(variants: &mut [Variant]) {
    let bare = variants[0].median_us();
    for variant in variants {
        let median = variant.median_us();
        let aim = variant.aim.map(|aim| format!("   aim {aim:.1}")).unwrap_or_default();
        println!("{:44} {median:9.0} µs   {:5.2} × bare{aim}", variant.name, median / bare);
    }
}

/// How far a launch is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isolation {
    Bare,
    Full,
}

/// A launch that is prepared and can be run again and again.
struct Launch(Prepared);

impl Launch {
    fn new(place: &Path, isolation: Isolation, network: &str) -> Self {
        let mut host = Host::presumed();
        if isolation == Isolation::Bare {
            host.direct = Namespaces::UNTRIED;
            host.user_namespace = Fact::Untried;
        }
        let policy = policy(place, isolation, network);
        let mut survey = Survey::take(&policy).unwrap();
        if isolation == Isolation::Bare {
            survey.list_siblings(&policy);
        }
        let plan = compiled(&policy, &host, &survey);
        let command = prepare::Command {
            argv: vec![b"/bin/true".to_vec()],
            env: Vec::new(),
            cwd: AbsPath::from_host(place).unwrap(),
            umask: None,
        };
        Self(Prepared::new(&plan, &command, &own()).unwrap())
    }

    fn run(&self) {
        let (mut told, error) = std::io::pipe().unwrap();
        let (ours, control) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let null = || {
            Source::Descriptor(OwnedFd::from(
                std::fs::File::options().read(true).write(true).open("/dev/null").unwrap(),
            ))
        };
        let wires =
            Wires { error: error.into(), control, stdio: [null(), null(), null()], size: None, group: None };
        let first = start(&self.0, &wires).unwrap();
        drop(wires);
        let mut record = Vec::new();
        told.read_to_end(&mut record).unwrap();
        assert!(record.is_empty(), "{record:?}");
        waitpid(Pid::from_raw(first.pid), WaitOptions::empty()).unwrap();
        drop(ours);
    }
}

fn compiled(policy: &Policy, host: &Host, survey: &Survey) -> Plan {
    let credentials = own();
    // As the launcher does, which looks at the tree just before.
    let facts = Facts { surveyed: Moment::now(), ..Facts::new(host, survey, &credentials) };
    compile(policy, &facts).unwrap()
}

fn own() -> Credentials {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Credentials { uid, gid, groups: Vec::new() }
}

/// `:workspace` with one setting of the network; what Landlock alone cannot hold is given up by name.
fn policy(place: &Path, isolation: Isolation, network: &str) -> Policy {
    let network = match network {
        "off" => "enabled = false",
        "gate" => "enabled = true\ndomains = { \"registry.example.org\" = \"allow\" }",
        mode => &format!("enabled = true\nmode = \"{mode}\""),
    };
    let degrade = match isolation {
        Isolation::Bare => {
            "degrade = [\"shared-processes\", \"shared-metadata\", \"no-stand-ins\", \"no-carve-out\"]"
        }
        Isolation::Full => "extends = \":workspace\"",
    };
    let files = match isolation {
        Isolation::Bare => {
            "[permissions.x.filesystem]\n\":root\" = \"read\"\n\":project_roots\" = \"write\"\n"
        }
        Isolation::Full => "",
    };
    let text = format!("[permissions.x]\n{degrade}\n{files}[permissions.x.network]\n{network}\n");
    let reading = load::parse("bench", text.into_bytes(), Format::Toml, Layer::User);
    let document = reading.document.unwrap();
    let profiles = merge::profiles([builtin::document(), &document]);
    let profile = merge::extended(&profiles, "x", None).unwrap();
    let place = AbsPath::from_host(place).unwrap();
    let around = Surroundings {
        home: AbsPath::from_host(&home(place.as_path())).unwrap(),
        cwd: place.clone(),
        project_roots: vec![place.clone()],
        tmpdir: None,
        weir_home: AbsPath::from_host(&home(place.as_path()).join(".weir")).unwrap(),
        other_homes: Vec::new(),
    };
    resolve("x", &profile, &around, &Terrain::default()).unwrap().policy
}

/// The home beside a project: inside it, secrets would be closed in a place that may be written, and init would open every file.
fn home(place: &Path) -> PathBuf {
    place.with_file_name("home")
}

fn quiet(program: &Path, arguments: &[&str], place: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place).env("HOME", home(place)).env_remove("TMPDIR");
    command.stdin(Stdio::null());
    command
}

fn whole_programs(place: &Path, variants: &mut Vec<Variant>) {
    let mut add = |name, program: &Path, arguments: &[&str]| {
        let mut command = quiet(program, arguments, place);
        match command.output() {
            Ok(output) if output.status.success() => {
                variants.push(Variant::new(name, None, move || {
                    assert!(command.status().unwrap().success());
                }));
            }
            found => println!(
                "{name}: not measured ({})",
                found.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned())
            ),
        }
    };
    match built::weir() {
        Some(weir) => {
            std::fs::create_dir_all(home(place).join(".weir")).unwrap();
            std::fs::write(home(place).join(".weir/config.toml"), PROFILE).unwrap();
            add(WEIR_RUN, &weir, &["run", "--", "true"]);
            add(WEIR_RUN_GATED, &weir, &["run", "--profile", "gated", "--", "true"]);
        }
        None => println!("weir run: not measured (build it first: cargo build --release --bins)"),
    }
    let own = place.to_str().unwrap();
    let bwrap = [
        "--unshare-all",
        "--die-with-parent",
        "--new-session",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--bind",
        own,
        own,
        "true",
    ];
    add("bwrap, the equivalent arguments", Path::new("bwrap"), &bwrap);
}

/// Opens and looks at one file many times; nanoseconds for each call.
fn calls(file: &Path) {
    let each = |act: &dyn Fn()| {
        let begun = Instant::now();
        (0..CALLS).for_each(|_| act());
        begun.elapsed().as_nanos() / u128::from(CALLS)
    };
    let open = each(&|| drop(std::fs::File::open(file).unwrap()));
    let stat = each(&|| assert!(std::fs::metadata(file).is_ok()));
    println!("{open} {stat}");
}

/// The profiles under which the program runs, by what is printed of them.
const CALLED_UNDER: [(&str, &[&str]); 2] =
    [("inside", &["run"]), ("inside, readings untold", &["run", "--profile", "untold"])];

/// The same program outside and inside, in turns.
fn calls_inside(place: &Path) {
    let Some(weir) = built::weir() else { return };
    let file = place.join("file");
    std::fs::write(&file, "").unwrap();
    let here = std::env::current_exe().unwrap();
    let act = [here.to_str().unwrap(), "--calls", file.to_str().unwrap()];
    let mut times: [Vec<[f64; 2]>; 1 + CALLED_UNDER.len()] = Default::default();
    for _ in 0..15 {
        let inside = CALLED_UNDER.map(|(_, run)| quiet(&weir, &[run, &["--"], &act].concat(), place));
        let commands = std::iter::once(quiet(&here, &act[1..], place)).chain(inside);
        for (times, mut command) in times.iter_mut().zip(commands) {
            let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
            let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap());
            times.push([numbers.next().unwrap(), numbers.next().unwrap()]);
        }
    }
    for (at, name) in ["open", "stat"].into_iter().enumerate() {
        let median = |times: &[[f64; 2]]| {
            let mut sorted: Vec<f64> = times.iter().map(|pair| pair[at]).collect();
            sorted.sort_by(f64::total_cmp);
            sorted[sorted.len() / 2]
        };
        let outside = median(&times[0]);
        for ((under, _), times) in CALLED_UNDER.iter().zip(&times[1..]) {
            let inside = median(times);
            println!(
                "{name}: {outside:.0} ns outside, {inside:.0} ns {under}   {:.2} ×   aim 1.1",
                inside / outside
            );
        }
    }
}
