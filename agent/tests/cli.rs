//! The `weir` binary as a user runs it: real files, a real exec-server beside it, exit codes and messages.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of `weir run`, which ask for more")]
#[path = "support/place.rs"]
mod place;

use std::path::Path;
use std::process::Command;

use place::{EXAMPLE, Place, text, weir};

impl Place {
    /// What `policy explain` answers.
    fn explain(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[&["policy", "explain", "--json"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn the_example_gives_the_promised_answers() {
    let place = Place::with_config(EXAMPLE);
    let config = format!("{}:4", place.path("home/.weir/config.toml"));
    let cases: [(&[&str], bool, &str); 12] = [
        (&["--path", "src/main.rs", "--access", "write"], true, &config),
        (&["--path", "sub/deep/er/than/four/x.env"], false, &config),
        (&["--path", "sub/.secrets/key"], false, &config),
        (&["--path", "/usr/bin/git"], true, "implied"),
        (&["--path", "/etc/shadow"], false, "implied"),
        (&["--path", "~/.ssh/id_ed25519"], false, "nothing"),
        (&["--path", ".git/hooks/pre-commit", "--access", "write"], false, "implied"),
        (&["--path", ".git/HEAD", "--access", "write"], false, "implied"),
        (&["--path", "sub/.git/HEAD", "--access", "write"], true, &config),
        (&["--host", "registry.example.org:443"], true, &config.replace(":4", ":11")),
        (&["--host", "evil-registry.example.org"], false, &config.replace(":4", ":13")),
        (&["--host", "registry.example.org.evil.example"], false, &config.replace(":4", ":13")),
    ];
    for (question, allowed, whence) in cases {
        let found = place.explain(question);
        let origin = &found["explanation"]["origin"];
        let told = match (&origin["place"], &origin["layer"]) {
            (serde_json::Value::Object(place), _) => {
                format!("{}:{}", place["file"].as_str().unwrap(), place["line"])
            }
            (_, serde_json::Value::String(layer)) => layer.clone(),
            _ => "nothing".to_owned(),
        };
        assert_eq!(
            (found["explanation"]["allowed"].as_bool(), told.as_str()),
            (Some(allowed), whence),
            "{question:?}"
        );
    }
}

#[test]
fn a_broken_configuration_is_refused_and_nothing_chosen_instead() {
    let cases = [
        ("[permissions.x.filesystm]\n", "unknown key `filesystm`"),
        ("default_permissions = \"nowhere\"\n", "there is no profile `nowhere`"),
        ("[permissions.a]\nextends = \"b\"\n[permissions.b]\nextends = \"a\"\n", ""),
        ("a = [", "not valid TOML"),
        ("default_permissions = \":workspace\"\nsandbox_mode = \"read-only\"\n", "cannot stand together"),
    ];
    for (config, reason) in cases.iter().filter(|(_, reason)| !reason.is_empty()) {
        let place = Place::with_config(config);
        let output = place.run(&["policy", "explain", "--path", "/usr/bin/git"]);
        assert_eq!(output.status.code(), Some(2), "{config}");
        assert!(text(&output.stderr).contains(reason), "{config}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{config}");
    }
    let place = Place::with_config(cases[2].0);
    let output = place.run(&["policy", "show", "a"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`a` → `b` → `a`"), "{}", text(&output.stderr));
}

#[test]
fn check_names_place_and_remedy() {
    let place = Place::new();
    place.write("project/good.toml", EXAMPLE);
    place.write("project/bad.toml", "[permissions.x.network]\nenabeld = true\n");
    let output = place.run(&["policy", "check", "good.toml", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: unknown key `enabeld` in `network`\n --> bad.toml:2:1\n  |\n2 | enabeld = true\n  | ^^^^^^^\n  = help: did you mean `enabled`?\n"
    );
    assert_eq!(
        text(&output.stdout),
        "good.toml: ok (team-standard)\nbad.toml: cannot be used (no profiles)\n"
    );
}

#[test]
fn exit_codes_and_standard_options() {
    let place = Place::with_config(EXAMPLE);
    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    let cases: [(&[&str], i32); 10] = [
        (&["policy", "explain", "--path", "x.env", "--exit-code"], 1),
        (&["policy", "explain", "--path", "x", "--exit-code"], 0),
        (&["-C", "..", "policy", "show"], 2),
        (&["policy", "explain", "-C", &other, "--path", "x", "--access", "write", "--exit-code"], 0),
        (&["policy", "explain", "--project-root", &other, "--path", "x", "--exit-code"], 1),
        (&["policy", "explain", "--profile", ":workspce", "--path", "x"], 2),
        (&["policy", "explain", "--config", "missing.toml", "--path", "x"], 2),
        (&["policy", "explain", "--path", "x", "--host", "y"], 2),
        (&["policy", "diff", ":workspace", ":workspace"], 0),
        (&["policy", "diff", ":workspace", ":read-only"], 1),
    ];
    for (arguments, code) in cases {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn options_of_one_command_change_the_profile_and_are_named() {
    let place = Place::with_config(EXAMPLE);
    let extra = place.path("extra");
    std::fs::create_dir(&extra).unwrap();
    assert_eq!(place.explain(&["--path", &extra])["explanation"]["allowed"], false);
    let found = place.explain(&["--path", &extra, "--read", &extra]);
    assert_eq!(found["explanation"]["allowed"], true);
    assert_eq!(found["explanation"]["origin"]["layer"], "command-line");
    let found = place.explain(&["--path", "sub/new", "--deny", "sub"]);
    assert_eq!(found["explanation"]["allowed"], false);
    let edit = &found["explanation"]["edit"];
    assert_eq!((&edit["action"], &edit["origin"]["rule"]), (&"change".into(), &"--deny sub".into()));
    let output = place.run(&["policy", "explain", "--path", "sub/new", "--deny", "sub"]);
    assert!(text(&output.stdout).contains("to allow leave out --deny sub\n"), "{}", text(&output.stdout));
    // `..` behind a link is above where that leads.
    std::os::unix::fs::symlink(place.path("extra"), place.path("project/link")).unwrap();
    let found = place.explain(&["--path", "link/../extra", "--write", "link/../extra", "--access", "write"]);
    assert_eq!(found["explanation"]["allowed"], true, "{found}");
}

#[test]
fn a_working_directory_that_is_gone_is_named_or_left() {
    let place = Place::new();
    let script =
        |rest: &str| format!("mkdir gone && cd gone && rmdir ../gone && '{}' {rest}", weir().display());
    let run = |rest: &str| place.command("sh").args(["-c", &script(rest)]).output().unwrap();
    let output = run("policy show");
    assert!(text(&output.stderr).contains("-C names another"), "{}", text(&output.stderr));
    let output = run("policy show -C /");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_digest_does_not_depend_on_where_rules_stand() {
    let one = Place::with_config(EXAMPLE);
    let digest = |config: &str| {
        one.write("home/.weir/config.toml", config);
        let output = one.run(&["policy", "show", "--json"]);
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        shown["digest"].as_str().unwrap().to_owned()
    };
    let plain = digest(EXAMPLE);
    assert_eq!(digest(&format!("# moved\n\n{EXAMPLE}")), plain);
    assert_ne!(digest(&EXAMPLE.replace("limited", "full")), plain);
    assert_ne!(digest(&EXAMPLE.replace("*.env", "*.key")), plain);
}

#[test]
fn schema_and_completion_are_printed() {
    let place = Place::new();
    for arguments in [["policy", "schema"].as_slice(), &["policy", "schema", "--requirements"]] {
        let output = place.run(arguments);
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(schema["properties"]["permissions"].is_object());
    }
    assert!(text(&place.run(&["completion", "bash"]).stdout).contains("_weir()"));
}

#[test]
fn doctor_tries_and_tells() {
    let place = Place::new();
    let output = place.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(if found["confines"] == true { 0 } else { 1 }));
    assert!(found["findings"].as_array().is_some_and(|findings| findings.len() > 20));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(text(&place.run(&["doctor"]).stdout).contains(release.trim()), "the kernel is named");
}

#[test]
fn the_server_must_lie_beside_the_client() {
    let place = Place::new();
    let alone = place.dir.path().join("weir");
    std::fs::copy(weir(), &alone).unwrap();
    let output =
        Command::new(&alone).args(["policy", "show"]).env("HOME", place.path("home")).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("belongs beside `weir`"), "{}", text(&output.stderr));
    assert!(Path::new(&alone).exists());
}

/// The configuration of another directory may allow more.
#[test]
fn a_directory_of_weirs_that_is_relative_is_refused() {
    let place = Place::with_config(EXAMPLE);
    for arguments in [
        &["run", "--", "touch", "made"][..],
        &["policy", "show"],
        &["denials"],
        &["doctor"],
        &["threads", "list"],
    ] {
        let mut command = place.command(weir().to_str().unwrap());
        let output = command.args(arguments).env("WEIR_HOME", "relative").output().unwrap();
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 125)), "{arguments:?}: {said}");
        assert!(said.contains("WEIR_HOME must name an absolute path, not relative"), "{arguments:?}: {said}");
    }
    assert!(!std::path::Path::new(&place.path("project/made")).exists());
}
