//! The evaluator against others: profiles that another tool wrote, with answers that follow from its settings, and a second
//! implementation of the language that loads a profile as a program.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/scheme.rs"]
mod scheme;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use weir_sandbox_macos::compile::canonical;
use weir_sandbox_macos::evaluate::{Endpoint, Precedence, Program, Subject};

use scheme::Question;
use world::{EXACT, FILE_OPERATIONS, Sketch, USUAL, load, parameters, run};

/// The package and the version for which the answers below were written.
const SANDBOX_RUNTIME: &str = "@anthropic-ai/sandbox-runtime@0.0.78";

/// Policies that both implementations are asked about.
const SCHEME_POLICIES: usize = 12;

/// Paths asked about in each.
const SCHEME_PATHS: usize = 8;

fn answers(program: &str, argument: &str) -> bool {
    let quiet = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Installs the package below `directory`; `None` with a recorded skip where that cannot be done.
fn installed(directory: &Path, id: &str) -> Option<PathBuf> {
    for tool in ["node", "npm"] {
        if !answers(tool, "--version") {
            weir_tests::skip(id, &format!("{tool} is not installed"));
            return None;
        }
    }
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .args([directory.as_os_str(), SANDBOX_RUNTIME.as_ref()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !output.status.success() {
        weir_tests::skip(id, "npm cannot fetch the package here");
        return None;
    }
    Some(directory.join("node_modules/@anthropic-ai/sandbox-runtime"))
}

/// What the other tool makes of settings.
fn foreign_profile(package: &Path, directory: &Path, settings: &Value) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/srt.mjs");
    let output = Command::new("node")
        .arg(script)
        .args([package.as_os_str(), settings.to_string().as_ref()])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn settings() -> Value {
    json!({
        "command": "true",
        "binShell": "sh",
        "needsNetworkRestriction": true,
        "httpProxyPort": 3128,
        "socksProxyPort": 1080,
        "allowUnixSockets": ["/Users/u/agent.sock"],
        "allowLocalBinding": false,
        "readConfig": {
            "denyOnly": ["/Users/u/.ssh", "/Users/u/p/**/*.env"],
            "allowWithinDeny": ["/Users/u/.ssh/known_hosts"],
        },
        "writeConfig": { "allowOnly": ["/Users/u/p", "/Users/u/[ab]*"], "denyWithinAllow": ["/Users/u/p/locked"] },
    })
}

/// What the settings say, in our own words: reading is open but for what is denied, writing closed but for what is allowed.
const FILE_ANSWERS: [(&str, &str, bool); 27] = [
    ("file-read-data", "/etc/hosts", true),
    ("file-read-data", "/Users/u/.ssh/id", false),
    ("file-read-data", "/Users/u/.ssh", false),
    ("file-read-data", "/Users/u/.sshx", true),
    ("file-read-data", "/Users/u/.ssh/known_hosts", true),
    ("file-read-data", "/Users/u/p/a.env", false),
    ("file-read-data", "/Users/u/p/deep/er/a.env", false),
    ("file-read-data", "/Users/u/p/a.env/inside", false),
    ("file-read-data", "/Users/u/p/a.envy", true),
    ("file-read-data", "/Users/u/q/a.env", true),
    ("file-write-data", "/Users/u/p/a", true),
    ("file-write-create", "/Users/u/p/a", true),
    ("file-write-unlink", "/Users/u/p/a", true),
    ("file-write-data", "/Users/u/pa", false),
    ("file-write-data", "/Users/u/p/locked/a", false),
    // A specific denial outranks the wildcard grant that follows it.
    ("file-write-unlink", "/Users/u/p/locked", false),
    ("file-write-unlink", "/Users/u/p", false),
    ("file-write-data", "/Users/u/p", true),
    ("file-write-unlink", "/Users/u/.ssh/known_hosts", false),
    ("file-write-data", "/Users/u/apple", true),
    ("file-write-data", "/Users/u/bee", true),
    ("file-write-data", "/Users/u/cow", false),
    ("file-write-data", "/etc/hosts", false),
    ("process-exec", "/bin/sh", true),
    ("process-exec-interpreter", "/bin/sh", true),
    ("file-ioctl", "/dev/null", true),
    ("file-ioctl", "/dev/disk0", false),
];

const NAME_ANSWERS: [(&str, &str, bool); 7] = [
    ("mach-lookup", "com.apple.logd", true),
    ("mach-lookup", "com.apple.trustd.agent", false),
    ("mach-lookup", "com.apple.logd.more", false),
    ("sysctl-read", "hw.ncpu", true),
    ("sysctl-read", "kern.proc.pid.1", true),
    ("sysctl-read", "net.inet.tcp", false),
    ("sysctl-write", "hw.ncpu", false),
];

#[test]
fn another_tools_profile_means_what_its_settings_say() {
    let directory = tempfile::tempdir().unwrap();
    let Some(package) = installed(directory.path(), "seatbelt::sandbox_runtime") else { return };
    let mut settings = settings();
    settings["allowPty"] = true.into();
    let text = foreign_profile(&package, directory.path(), &settings);
    let program = Program::load(&text, &BTreeMap::new()).unwrap();
    let ask = |operation: &str, subject: &Subject<'_>| {
        program.allows(operation, subject, Precedence::SpecificFirst)
    };
    for (operation, path, want) in FILE_ANSWERS {
        let subject = Subject { path: Some(path.as_bytes()), ..Subject::default() };
        assert_eq!(ask(operation, &subject), want, "{operation} {path}");
    }
    for (operation, name, want) in NAME_ANSWERS {
        assert_eq!(
            ask(operation, &Subject { name: Some(name), ..Subject::default() }),
            want,
            "{operation} {name}"
        );
    }
    for (loopback, port, want) in
        [(true, 3128, true), (true, 1080, true), (true, 22, false), (false, 3128, false)]
    {
        let remote = Some(Endpoint { loopback, port, tcp: true });
        assert_eq!(
            ask("network-outbound", &Subject { remote, ..Subject::default() }),
            want,
            "{loopback} {port}"
        );
    }
    for (socket, want) in [("/Users/u/agent.sock", true), ("/var/run/docker.sock", false)] {
        let subject = Subject { remote_socket: Some(socket.as_bytes()), ..Subject::default() };
        assert_eq!(ask("network-outbound", &subject), want, "{socket}");
    }
    let directory =
        Subject { path: Some(b"/Users/u/.ssh"), vnode_type: Some("DIRECTORY"), ..Subject::default() };
    let file = Subject { vnode_type: Some("REGULAR-FILE"), ..directory.clone() };
    assert!(ask("file-read-metadata", &directory) && !ask("file-read-metadata", &file));
    assert!(ask("signal", &Subject { same_sandbox: true, ..Subject::default() }));
    assert!(!ask("signal", &Subject::default()));
    assert!(ask("file-write-data", &Subject { path: Some(b"/dev/ttys001"), ..Subject::default() }));
}

#[test]
fn a_second_implementation_agrees_on_another_tools_profile() {
    if !scheme::is_here("seatbelt::scheme_foreign") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(package) = installed(directory.path(), "seatbelt::scheme_foreign") else { return };
    let text = foreign_profile(&package, directory.path(), &settings());
    let questions: Vec<Question> = FILE_ANSWERS
        .iter()
        .map(|(operation, path, _)| Question::path(operation, path))
        .chain(NAME_ANSWERS.iter().map(|(operation, name, _)| Question::name(operation, name)))
        .chain(
            [(true, 3128), (true, 22), (false, 443)]
                .map(|(loopback, port)| Question::connect(loopback, port)),
        )
        .collect();
    let want: Vec<bool> = FILE_ANSWERS
        .iter()
        .map(|answer| answer.2)
        .chain(NAME_ANSWERS.iter().map(|answer| answer.2))
        .collect();
    let found = scheme::ask(directory.path(), &text, &BTreeMap::new(), &questions);
    assert_eq!(found[..want.len()], want);
    assert_eq!(found[want.len()..], [true, false, false]);
}

#[test]
fn a_second_implementation_agrees_on_our_profiles() {
    if !scheme::is_here("seatbelt::scheme_own") {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let mut compared = [0_usize; 2];
    for case in 0..SCHEME_POLICIES {
        let sketch: Sketch = generate::sketch().new_tree(&mut runner).unwrap().current();
        let policy = sketch.policy();
        let loaded = load(&policy, if case % 2 == 0 { EXACT } else { USUAL }, &run());
        let text = loaded.compiled.profile.to_string();
        let mut questions = Vec::new();
        for path in generate::questions(&policy, case, SCHEME_PATHS) {
            // The second implementation reads characters, not bytes, so it is asked about ASCII alone.
            let Some(name) = std::str::from_utf8(path.as_bytes()).ok().filter(|name| name.is_ascii()) else {
                continue;
            };
            let canonical = canonical(&path).display().into_owned();
            for name in [name, &canonical] {
                questions.extend(
                    FILE_OPERATIONS[..6].iter().map(|(operation, _)| Question::path(operation, name)),
                );
                questions.push(Question::socket(name));
            }
        }
        questions.extend(
            [(true, 3128), (true, 80), (false, 443)].map(|(local, port)| Question::connect(local, port)),
        );
        let found = scheme::ask(
            tempfile::tempdir().unwrap().path(),
            text.as_bytes(),
            &parameters(&loaded.compiled),
            &questions,
        );
        for (question, found) in questions.iter().zip(found) {
            let want = loaded.agreed(&question.operation, &question.subject());
            assert_eq!(found, want, "{question:?}\n{sketch:?}");
            compared[usize::from(want)] += 1;
        }
    }
    assert!(
        compared.iter().all(|count| *count > SCHEME_POLICIES),
        "hardly anything was compared: {compared:?}"
    );
}
