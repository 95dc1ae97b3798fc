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

/// What holds an answer is printed as the server names it, whatever this machine gives.
#[test]
fn what_holds_an_answer_is_printed() {
    let place = Place::with_config(EXAMPLE);
    place.write("project/x.env", "");
    let printed = |arguments: &[&str]| {
        let output = place.run(&[&["policy", "explain"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let questions: [&[&str]; 5] = [
        &["--path", "x.env"],
        &["--path", "src/main.rs", "--access", "write"],
        &["--host", "registry.example.org"],
        &["--unix-socket", "/run/docker.sock"],
        &["--env", "GITHUB_TOKEN"],
    ];
    for question in questions {
        let held = &place.explain(question)["held"];
        let told = printed(question);
        match held["mechanisms"].as_array() {
            Some(mechanisms) => {
                for one in mechanisms {
                    let line =
                        format!("{}: {}\n", one["mechanism"].as_str().unwrap(), one["how"].as_str().unwrap());
                    assert!(told.contains(&line), "{line}: {told}");
                }
                assert!(told.contains("\n  held by  ") && told.contains("\n  way      "), "{told}");
            }
            None => assert!(told.contains("\n  held by  nothing, for no command runs"), "{held} {told}"),
        }
    }
    let told = printed(&["--profile", ":danger-full-access", "--path", "x.env"]);
    assert!(told.contains("\n  held by  nothing: the profile confines nothing\n"), "{told}");
}

/// A profile that no host can hold is explained all the same, with the reason why nothing runs under it.
#[test]
fn what_no_host_can_hold_is_said_with_the_answer() {
    let config = "default_permissions = \"x\"\n[permissions.x]\nextends = \":workspace\"\n\
                  [permissions.x.network]\nloopback = true\npublish = [\"*\"]\n";
    let place = Place::with_config(config);
    let found = place.explain(&["--path", "x", "--access", "write"]);
    assert_eq!(
        (&found["explanation"]["allowed"], &found["held"]["state"]),
        (&true.into(), &"unenforceable".into())
    );
    let output = place.run(&["policy", "explain", "--path", "x", "--exit-code"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains(
            "no command runs under this profile here: profile `x` cannot be enforced on this host:\n"
        ),
        "{told}"
    );
    assert!(told.contains("`*` publishes nothing by itself"), "{told}");
}

#[test]
fn a_command_is_explained_down_to_what_loads_it() {
    let place = Place::with_config(EXAMPLE);
    place.write("project/own-script", "#!/bin/sh\n");
    place.write("extra/tool", "#!/bin/sh\n");
    let tool = place.path("extra/tool");
    for file in [&place.path("project/own-script"), &tool] {
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let cases: [(&[&str], i32); 7] = [
        (&["sh", "-c", "exit 0"], 0),
        (&["--", "sh", "--json", "--exit-code"], 0),
        (&["./own-script"], 0),
        (&["own-script"], 1),
        (&["no-such-program"], 1),
        (&[&tool], 1),
        (&["/etc"], 1),
    ];
    for (words, code) in cases {
        let output = place.run(&[&["policy", "explain", "--exit-code", "--command"], words].concat());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words:?}: {} {}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    let found = place.explain(&["--command", "./own-script", "--json"]);
    let needs = found["needed"].as_array().unwrap().iter().map(|one| one["need"].as_str().unwrap());
    let needs: Vec<&str> = needs.collect();
    assert_eq!(
        (&found["explanation"]["question"], &needs[..3]),
        (&"start ./own-script --json".into(), &["working-directory", "program", "interpreter"][..])
    );
    let told = text(&place.run(&["policy", "explain", "--command", &tool]).stdout);
    let lines = [
        format!("denied: start {tool}\n"),
        "  rule     no rule covers this\n".to_owned(),
        format!("  note     it needs the program {tool}\n"),
        format!("  needs    program: denied: exec {tool}\n"),
        "  needs    interpreter: allowed: exec /".to_owned(),
        format!("add under [permissions.team-standard.filesystem]: \"{tool}\" = \"read\"\n"),
    ];
    for line in lines {
        assert!(told.contains(&line), "{line}: {told}");
    }
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
