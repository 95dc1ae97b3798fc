//! Surveys by another user and by a process short of descriptors: each case runs this test binary again, changed before it
//! executes.
#![cfg(target_os = "linux")]

#[path = "support/policy.rs"]
mod policy;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use policy::of_rules;
use skip::skip;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Glob, Policy};
use weir_sandbox_linux::survey::index::{Clock, Image, Index, MARGIN};
use weir_sandbox_linux::survey::{Kind, Match, Survey, SurveyError};

/// Tells a copy of this binary what to try.
const CASE: &str = "WEIR_TEST_SURVEY_CASE";
/// An uid that owns nothing.
const NOBODY: u32 = 65_534;
/// Fewer descriptors than a walk holds open.
const FEW_DESCRIPTORS: u64 = 16;

/// Not a test of its own: what the copies run.
#[test]
fn survey_for_another_test() {
    match std::env::var(CASE).as_deref() {
        Ok("unreadable") => unreadable(),
        Ok("descriptors") => descriptors(),
        Ok("mounted") => mounted(),
        _ => {}
    }
}

/// A writable tree with a pattern for `*.env`.
fn policy(root: &AbsPath) -> Policy {
    let pattern = Glob::below(root, "**/*.env").unwrap_or_else(|error| panic!("{error}"));
    of_rules(&[(root, Access::Write)], [pattern])
}

fn tree() -> (tempfile::TempDir, AbsPath) {
    let keep = tempfile::tempdir_in("/tmp").unwrap_or_else(|error| panic!("{error}"));
    let root = AbsPath::from_host(keep.path()).unwrap_or_else(AbsPath::root);
    (keep, root)
}

fn file(root: &AbsPath, name: &str) -> AbsPath {
    let path = root.as_path().join(name);
    let made = path.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(&path, ""));
    assert!(made.is_ok(), "{made:?}");
    AbsPath::from_host(&path).unwrap_or_else(AbsPath::root)
}

fn unreadable() {
    let (_keep, root) = tree();
    let found = file(&root, "open/a.env");
    file(&root, "shut/known/b.env");
    let shut = AbsPath::from_host(&root.as_path().join("shut")).unwrap_or_else(AbsPath::root);
    let mode = |mode| fs::set_permissions(shut.as_path(), fs::Permissions::from_mode(mode));
    for (bits, errno) in [(0o300, libc::EACCES), (0o000, libc::EACCES)] {
        assert!(mode(bits).is_ok());
        let survey = Survey::take(&policy(&root));
        assert!(mode(0o700).is_ok());
        let survey = survey.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(survey.unreadable, [(shut.clone(), errno)]);
        assert_eq!(survey.closed, [Match { path: shut.clone(), kind: Kind::Unreadable(errno), rule: 0 }]);
        assert_eq!(survey.matches, [Match { path: found.clone(), kind: Kind::File, rule: 0 }]);
    }
    let survey = Survey::take(&policy(&root)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((survey.matches.len(), survey.unreadable.len()), (2, 0));
}

/// A tree that needs more open directories than the process may have.
fn descriptors() {
    let (_keep, root) = tree();
    let mut name = String::new();
    for _ in 0..40 {
        name += "d/";
        file(&root, &format!("{name}z/a.env"));
        file(&root, &format!("{name}a/a.env"));
    }
    assert_eq!(Survey::take(&policy(&root)).map(|survey| survey.matches.len()).unwrap_or_default(), 80);
    let mut all = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `struct rlimit` at the pointer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut all) }, 0);
    let few = libc::rlimit { rlim_cur: FEW_DESCRIPTORS, ..all };
    // SAFETY: the kernel reads one `struct rlimit` at the pointer.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
    let survey = Survey::take(&policy(&root));
    // Removing the tree takes as many.
    // SAFETY: the kernel reads one `struct rlimit` at the pointer.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const all) }, 0);
    let exhausted = matches!(survey, Err(SurveyError::Exhausted { errno: libc::EMFILE, .. }));
    assert!(exhausted, "{survey:?}");
}

/// A survey with what the last one has left, and what it leaves.
fn indexed(policy: &Policy, clock: &Clock, image: &mut Option<Image>) -> Survey {
    let clock = clock.share().unwrap_or_else(|error| panic!("{error}"));
    let mut index = Index::new(clock, image.as_ref());
    let survey = Survey::take_with(policy, Some(&mut index)).unwrap_or_else(|error| panic!("{error}"));
    *image = index.into_image().or_else(|| image.take());
    survey
}

/// Something is mounted where all is known, and taken off again: no directory has changed by it.
fn mounted() {
    let (_keep, root) = tree();
    // SAFETY: changes nothing but the mounts of this process, which has one thread that looks at files.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    let run = |words: &[&str]| {
        let status = Command::new(words[0]).args(&words[1..]).status();
        assert!(status.is_ok_and(|status| status.success()), "{words:?}");
    };
    run(&["mount", "--make-rprivate", "/"]);
    // Whatever temporary files lie on, this is believed.
    run(&["mount", "-t", "tmpfs", "weir-test", &root.to_string()]);
    file(&root, "d/e/a.env");
    let clock = Clock::watch().unwrap_or_else(|error| panic!("{error}"));
    let (mut image, policy) = (None, policy(&root));
    let begin = std::time::Instant::now();
    while indexed(&policy, &clock, &mut image).listed > 0 {
        assert!(begin.elapsed() < 60 * MARGIN, "what is known is listed again");
    }
    let place = root.as_path().join("d").display().to_string();
    run(&["mount", "-t", "tmpfs", "weir-test", &place]);
    let above = file(&root, "d/b.env");
    let found = |survey: &Survey| survey.matches.iter().map(|found| found.path.clone()).collect::<Vec<_>>();
    let survey = indexed(&policy, &clock, &mut image);
    assert_eq!((found(&survey), survey.listed), (vec![above], 1));
    run(&["umount", &place]);
    let survey = indexed(&policy, &clock, &mut image);
    let below = AbsPath::from_host(&root.as_path().join("d/e/a.env")).unwrap_or_else(AbsPath::root);
    assert_eq!((found(&survey), survey.listed), (vec![below], 0));
    run(&["umount", &root.to_string()]);
}

/// Runs one case in a copy of this binary that anyone can execute.
fn run(case: &str, change: impl FnOnce(&mut Command)) {
    let (keep, _) = tree();
    let copy = keep.path().join("copy");
    let copied = std::env::current_exe()
        .and_then(|exe| fs::copy(exe, &copy))
        .and_then(|_| fs::set_permissions(keep.path(), fs::Permissions::from_mode(0o755)));
    assert!(copied.is_ok(), "{copied:?}");
    let mut command = Command::new(copy);
    command.args(["--exact", "survey_for_another_test"]).env(CASE, case).current_dir(keep.path());
    change(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{error}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Root reads every directory, so this is tried as somebody else.
#[test]
fn an_unreadable_directory_is_named_and_nothing_else_suffers() {
    if !is_root() {
        return skip("survey::another_user", "changing the user needs root");
    }
    run("unreadable", |command| {
        command.uid(NOBODY).gid(NOBODY);
    });
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn a_process_without_descriptors_is_told_so() {
    run("descriptors", |_| {});
}

#[test]
fn what_is_mounted_on_a_known_directory_is_seen() {
    if !is_root() {
        return skip("survey::mounted", "only root mounts something of its own");
    }
    run("mounted", |_| {});
}
