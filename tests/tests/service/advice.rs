//! What a denial advises where there are requirements: nothing that they would refuse.

use std::fs;
use std::path::Path;

use serde_json::Value;
use weir_tests::sandbox::way::is_root;
use weir_tests::skip;

use super::client::start;
use super::place::{ALICE, Place};

/// The option and the reason of the denial at a path, and whether an edit is offered.
fn told(exited: &Value, target: &Path) -> (String, String, bool) {
    let denials = exited["denials"].as_array().unwrap();
    let found = denials.iter().find(|denial| denial["target"] == target.to_string_lossy().as_ref());
    let denial = found.unwrap_or_else(|| panic!("{} is not told: {exited}", target.display()));
    let option = match denial.get("option") {
        Some(option) => format!("{} {}", option["name"].as_str().unwrap(), option["value"].as_str().unwrap()),
        None => String::new(),
    };
    (option, denial["reason"].as_str().unwrap_or_default().to_owned(), denial.get("edit").is_some())
}

#[test]
fn what_the_requirements_would_refuse_is_not_advised() {
    if !is_root() {
        return skip("service::advice", "only root's server has requirements");
    }
    let place = Place::new();
    let world = place.world(ALICE);
    let at = |name: &str| world.join(name);
    for name in ["open", "fixed", "shut/in"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    let (work, open, fixed, shut) = (at("work"), at("open"), at("fixed"), at("shut"));
    place.profile(ALICE, &format!("{open:?} = \"read\"\n{fixed:?} = \"read\"\n"));
    place.requirements(&format!(
        "[ceiling.filesystem]\n\":root\" = \"read\"\n{work:?} = \"write\"\n{open:?} = \"write\"\n[ceiling.deny]\nread = [{shut:?}]\n"
    ));
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let line = format!(
        "mkdir /usr/new {open:?}/new {fixed:?}/new; for one in /usr/new {open:?}/new {fixed:?}/new; do [ ! -e $one ] || exit 9; done"
    );
    let found = client.run(&start(&world, &["sh", "-c", &line]));
    assert_eq!(found.exited["end"]["code"], 0, "{found:?}");
    let refused =
        |why: &str| (String::new(), format!("the requirements do not allow write there{why}"), false);
    let by = " (/etc/weir/requirements.toml:2)";
    assert_eq!(told(&found.exited, &at("fixed/new")), refused(by), "{found:?}");
    // What every profile shows, that of the requirements as well, has no line.
    let by = ": no rule of /etc/weir/requirements.toml does";
    assert_eq!(told(&found.exited, Path::new("/usr/new")), refused(by), "{found:?}");
    let advised = told(&found.exited, &at("open/new"));
    assert_eq!(advised, (format!("--write {}", open.display()), String::new(), true), "{found:?}");
    // What cannot be executed because no rule shows it: the same, in one sentence.
    let tool = at("shut/in/tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (_, error) = client.ask("process/start", &start(&world, &[&tool.to_string_lossy()])).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("requirements.toml:6") && !error.contains("--read"), "{error}");
}

/// The reason of a denial of the gate's, and whether an edit is offered.
fn of_host(exited: &Value, target: &str) -> (String, bool) {
    let (_, reason, is_edited) = told(exited, Path::new(target));
    (reason, is_edited)
}

#[test]
fn hosts_that_the_requirements_would_refuse_are_not_advised() {
    if !is_root() {
        return skip("service::advice", "only root's server has requirements");
    }
    let place = Place::new();
    let world = place.world(ALICE);
    place.profile(
        ALICE,
        "[permissions.test.network]\nenabled = true\ndomains = { \"a.example\" = \"allow\" }",
    );
    place.requirements(
        "[ceiling.network]\nenabled = true\ndomains = { \"*.example\" = \"allow\" }\n[ceiling.deny]\ndomains = [\"evil.example\"]\n",
    );
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let line = "for one in b.example other.invalid evil.example 203.0.113.5 127.0.0.1; do exec 3<>/dev/tcp/$one/443; done; :";
    let found = client.run(&start(&world, &["bash", "-c", line]));
    let none = "the requirements do not allow it: no rule of /etc/weir/requirements.toml does";
    let no_rule = "no rule allows it";
    assert_eq!(of_host(&found.exited, "b.example"), (no_rule.to_owned(), true), "{found:?}");
    for target in ["other.invalid", "203.0.113.5:443"] {
        assert_eq!(of_host(&found.exited, target), (format!("{no_rule}; {none}"), false), "{found:?}");
    }
    assert_eq!(of_host(&found.exited, "evil.example"), ("a rule denies it".to_owned(), false), "{found:?}");
    // What is recorded and what is kept advises no more.
    let kept = client.ask("denial/list", &serde_json::json!({})).unwrap();
    assert_eq!(of_host(&kept["runs"][0], "203.0.113.5:443"), (format!("{no_rule}; {none}"), false), "{kept}");
}
