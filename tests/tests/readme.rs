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
fn the_main_command_is_held_to_the_profile_above_it() {
    let readme = readme();
    let directory = tempfile::tempdir().unwrap();
    let (home, project) = (directory.path().join("home"), directory.path().join("project"));
    fs::create_dir_all(home.join(".weir")).unwrap();
    fs::write(home.join(".weir/config.toml"), profile(&readme)).unwrap();
    let file = project.join("sub/deep/er/than/four/x.env");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "secret\n").unwrap();

    let command = docs::block(&readme, "job-command").unwrap()[0];
    let (program, arguments) = command.split_once(' ').unwrap();
    let program = programs().join(program.strip_prefix("target/release/").unwrap());
    let run = |arguments: &str| {
        let mut command = Command::new(&program);
        command
            .args(arguments.split(' '))
            .current_dir(&project)
            .env("HOME", &home)
            .env("WEIR_SERVER", "none")
            .env_remove("WEIR_HOME");
        command.output().unwrap()
    };
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(125) && errors.contains("cannot be enforced on this host") {
        return weir_tests::skip("readme::main_command", "this host gives no namespaces");
    }
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{errors}");
    assert!(errors.contains("Permission denied"), "{errors}");

    // The same file under a profile without the pattern, and what explains the refusal.
    let control = run(&arguments.replacen("run", "run --profile :workspace", 1));
    assert_eq!(control.stdout, b"secret\n");
    let explained = run("policy explain --path sub/deep/er/than/four/x.env --access read");
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(text.starts_with("denied: read "), "{text}");
    assert!(text.contains(".weir/config.toml:7, profile team-standard]"), "{text}");
}
