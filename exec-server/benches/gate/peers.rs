//! Whole programs side by side: the same client inside `weir run`, inside srt and inside `codex sandbox`, each with its network allowed
//! for one host, and by itself; and how long each takes to run `true`.
//!
//! `$SRT` and `$CODEX` name the programs; what is not named, or cannot run a command here, is left out with a line that says why. The
//! servers are on this machine's loopback. The proxies of both peers lead the name `localhost` there, where they are told to allow it. To
//! Weir that is the sandbox's own loopback, and any other name may lead to the host's; so for Weir's clients one is added to `/etc/hosts`, in a mount
//! namespace that goes with them (unshare(1)). The client looks it up for each connection, as most programs do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Errand, MEASURES, Measured, Route, told};
use super::{AT_ONCE, TURNS, median, rate};

/// What takes longer is measured once, as is what fails.
const SLOW: Duration = Duration::from_secs(10);

/// Turns of a launch.
const LAUNCHES: usize = 20;

/// Weir's profile.
const WEIR: &str = "[permissions.gated]\nextends = \":workspace\"\n[permissions.gated.network]\nenabled = true\n\
    domains = { \"upstream.example\" = \"allow\" }\nallow_private = [\"127.0.0.1/32\"]\n";

/// The name of the servers in it, and what says so to Weir.
const UPSTREAM: &str = "upstream.example";
const HOSTS: &str = "127.0.0.1 localhost upstream.example\n";

/// Runs a command where its first argument is `/etc/hosts`.
const WITH_HOSTS: &str = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";

/// The settings of srt.
const SRT: &str = r#"{
  "network": { "allowedDomains": ["localhost"], "deniedDomains": [] },
  "filesystem": { "denyRead": [], "allowWrite": ["."], "denyWrite": [] }
}"#;

/// Those of Codex, whose rules for hosts do nothing without the feature.
const CODEX: &str = "[features]\nnetwork_proxy = true\n[permissions.gated]\nextends = \":workspace\"\n\
    [permissions.gated.network]\nenabled = true\nmode = \"full\"\nallow_local_binding = true\n\
    [permissions.gated.network.domains]\nlocalhost = \"allow\"\n";

/// Something that runs a command.
struct Runner {
    name: &'static str,
    /// What stands before the command; nothing where it runs by itself.
    words: Vec<OsString>,
    home: PathBuf,
}

impl Runner {
    fn command(&self, rest: &[OsString]) -> Command {
        let words: Vec<&OsString> = self.words.iter().chain(rest).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.home.join("work")).stdin(Stdio::null());
        command.env("HOME", &self.home).env("CODEX_HOME", self.home.join("codex")).env_remove("TMPDIR");
        command
    }

    /// Whether it runs anything here; if not, why.
    fn try_out(&self) -> Result<(), String> {
        match self.command(&["true".into()]).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A client in a runner, and what it has told.
struct Client {
    name: &'static str,
    runner: usize,
    errand: Errand,
    found: [Vec<Measured>; MEASURES],
}

impl Client {
    /// Whether one turn must do: something has failed, or taken long.
    fn is_through(&self) -> bool {
        self.found.iter().flatten().any(|found| !found.as_ref().is_ok_and(|time| *time < SLOW))
    }
}

/// Measures all that there are, beside one another.
pub(crate) fn compare(mib: usize, ports: [u16; 2], weir: Option<&Path>) {
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut runners = runners(place.path(), weir);
    let mut clients: Vec<Client> = Vec::new();
    for (runner, found) in runners.iter().enumerate() {
        let ways: &[_] = match found.name {
            DIRECT => &[("no sandbox", Route::Straight, "127.0.0.1")],
            WEIR_NAMED => &[
                ("weir run", Route::Straight, UPSTREAM),
                ("weir run, by CONNECT", Route::WeirProxy, UPSTREAM),
            ],
            SRT_GATED => &[("srt, by CONNECT", Route::Proxy, "localhost")],
            CODEX_GATED => &[("codex sandbox, by CONNECT", Route::Proxy, "localhost")],
            _ => &[],
        };
        clients.extend(ways.iter().map(|&(name, route, host)| {
            let errand = Errand { route, host: host.to_owned(), ports, mib };
            Client { name, runner, errand, found: Default::default() }
        }));
    }
    for _ in 0..TURNS {
        for client in clients.iter_mut().filter(|client| !client.is_through()) {
            ask(client, &runners[client.runner]);
        }
    }
    println!("\nthe same client inside, {TURNS} turns, one where something fails or takes long:");
    report(&mut clients, mib);
    println!("\nrunning `true`, {LAUNCHES} turns:");
    runners.retain(|runner| runner.name != WEIR_NAMED);
    launches(&runners);
}

const DIRECT: &str = "no sandbox";
const WEIR_OFF: &str = "weir run, no network";
const WEIR_GATED: &str = "weir run, one host";
/// For clients only.
const WEIR_NAMED: &str = "weir run, one host in hosts";
const SRT_GATED: &str = "srt, one host";
const CODEX_OFF: &str = "codex sandbox, no network";
const CODEX_GATED: &str = "codex sandbox, one host";

/// All that run a command here.
fn runners(place: &Path, weir: Option<&Path>) -> Vec<Runner> {
    let files = [
        ("home/.weir/config.toml", WEIR),
        ("hosts", HOSTS),
        ("srt.json", SRT),
        ("home/codex/config.toml", CODEX),
    ];
    for (path, content) in files {
        std::fs::create_dir_all(place.join(path).parent().unwrap()).unwrap();
        std::fs::write(place.join(path), content).unwrap();
    }
    std::fs::create_dir_all(place.join("home/work")).unwrap();
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty());
    let (srt, codex, weir) = (named("SRT"), named("CODEX"), weir.map(|weir| weir.as_os_str().to_owned()));
    let settings = place.join("srt.json").into_os_string();
    let profile = |name: &str| vec!["sandbox".into(), "-P".into(), name.into(), "--".into()];
    let gated = || ["run", "--profile", "gated", "--"].map(OsString::from).to_vec();
    let hosts = weir.clone().map(|weir| {
        let own_user = if rustix::process::geteuid().is_root() { None } else { Some("--map-root-user") };
        let unshare =
            own_user.into_iter().chain(["--mount", "sh", "-c", WITH_HOSTS, "sh"]).map(OsString::from);
        unshare.chain([place.join("hosts").into_os_string(), weir]).chain(gated()).collect()
    });
    let all = [
        (DIRECT, Some("env".into()), vec![]),
        (WEIR_OFF, weir.clone(), vec!["run".into(), "--".into()]),
        (WEIR_GATED, weir, gated()),
        (WEIR_NAMED, hosts.is_some().then(|| "unshare".into()), hosts.unwrap_or_default()),
        (SRT_GATED, srt, vec!["-s".into(), settings]),
        (CODEX_OFF, codex.clone(), profile(":workspace")),
        (CODEX_GATED, codex, profile("gated")),
    ];
    let mut runners = Vec::new();
    for (name, program, arguments) in all {
        let Some(program) = program else {
            println!("{name}: left out, not named or not built");
            continue;
        };
        let words = std::iter::once(program).chain(arguments).collect();
        let runner = Runner { name, words, home: place.join("home") };
        match runner.try_out() {
            Ok(()) => runners.push(runner),
            Err(why) => println!("{name}: left out, runs nothing here: {why}"),
        }
    }
    runners
}

/// Lets the client do its errand once.
fn ask(client: &mut Client, runner: &Runner) {
    let here = std::env::current_exe().unwrap().into_os_string();
    let rest: Vec<OsString> =
        std::iter::once(here).chain(client.errand.words().into_iter().map(OsString::from)).collect();
    let output = runner.command(&rest).output().unwrap();
    let found = told(&String::from_utf8_lossy(&output.stdout)).unwrap_or_else(|| {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        [Err(why.clone()), Err(why.clone()), Err(why)]
    });
    for (kept, found) in client.found.iter_mut().zip(found) {
        kept.push(found);
    }
}

fn report(clients: &mut [Client], mib: usize) {
    let mut first: [Option<Duration>; MEASURES] = [None; MEASURES];
    for client in clients {
        println!("{}", client.name);
        for (at, (found, first)) in client.found.iter_mut().zip(&mut first).enumerate() {
            let what = ["connection and first byte back", "transfer", "at once"][at];
            let time = match middle(found) {
                Ok(time) => time,
                Err(why) => {
                    println!("  {what}: failed: {why}");
                    continue;
                }
            };
            let ratio = time.as_secs_f64() / first.get_or_insert(time).as_secs_f64();
            match at {
                0 => println!("  {what}: {:8.0} µs   {ratio:6.1} × no sandbox", time.as_secs_f64() * 1e6),
                1 => println!(
                    "  {what} of {mib} MiB: {:6.0} MiB/s   {:.2} of no sandbox",
                    rate(mib, time),
                    1.0 / ratio
                ),
                _ => println!(
                    "  {AT_ONCE} {what}: {:6.0} ms   {ratio:6.1} × no sandbox",
                    time.as_secs_f64() * 1e3
                ),
            }
        }
    }
}

/// The median, where every turn has one.
fn middle(found: &mut Vec<Measured>) -> Measured {
    let mut times = std::mem::take(found).into_iter().collect::<Result<Vec<Duration>, String>>()?;
    Ok(median(&mut times))
}

fn launches(runners: &[Runner]) {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); runners.len()];
    for _ in 0..LAUNCHES {
        for (runner, times) in runners.iter().zip(&mut times) {
            let mut command = runner.command(&["true".into()]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let begun = Instant::now();
            assert!(command.status().unwrap().success(), "{}", runner.name);
            times.push(begun.elapsed());
        }
    }
    let ms: Vec<f64> = times.iter_mut().map(|times| median(times).as_secs_f64() * 1e3).collect();
    let of = |name: &str| runners.iter().position(|runner| runner.name == name).map(|at| ms[at]);
    for (runner, ms) in runners.iter().zip(&ms) {
        let beside = of(WEIR_GATED).map(|weir| format!("   {:6.2} × {WEIR_GATED}", ms / weir));
        println!("{:28} {ms:8.1} ms{}", runner.name, beside.unwrap_or_default());
    }
    for (whose, without, with) in
        [("Weir's gate", WEIR_OFF, WEIR_GATED), ("Codex's proxy", CODEX_OFF, CODEX_GATED)]
    {
        if let (Some(without), Some(with)) = (of(without), of(with)) {
            println!("{whose} adds {:.1} ms", with - without);
        }
    }
}
