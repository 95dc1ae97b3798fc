//! README.md tells the truth: its profile loads, and its main command runs on it and answers.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use weir_tests::tidy::docs;

/// The directory of the programs under test, which lies above that of the test; builds them where they are missing.
fn programs() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "weir-agent", "-p", "weir-exec-server"])
        .status();
    assert!(built.unwrap().success());
    env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned()
}

fn readme() -> String {
    let tests = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    fs::read_to_string(tests.with_file_name("README.md")).unwrap()
}

/// The first fenced block of TOML.
fn profile(readme: &str) -> String {
    let after = readme.lines().skip_while(|line| *line != "```toml").skip(1);
    after.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_main_command_answers_for_the_profile_above_it() {
    let readme = readme();
    let directory = tempfile::tempdir().unwrap();
    let (home, project) = (directory.path().join("home"), directory.path().join("project"));
    fs::create_dir_all(home.join(".weir")).unwrap();
    fs::create_dir_all(&project).unwrap();
    fs::write(home.join(".weir/config.toml"), profile(&readme)).unwrap();

    let command = docs::block(&readme, "job-command").unwrap()[0];
    let (program, arguments) = command.split_once(' ').unwrap();
    let program = programs().join(program.strip_prefix("target/release/").unwrap());
    let output = Command::new(program)
        .args(arguments.split(' '))
        .current_dir(&project)
        .env("HOME", &home)
        .env_remove("WEIR_HOME")
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = fs::canonicalize(project).unwrap().join("sub/deep/er/than/four/x.env");
    assert_eq!(text.lines().next(), Some(format!("denied: read {}", file.display()).as_str()), "{text}");
    assert!(text.contains(".weir/config.toml:4, profile team-standard]"), "{text}");
}
