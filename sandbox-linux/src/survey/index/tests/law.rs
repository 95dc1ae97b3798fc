//! For random changes of the host between surveys, a survey with an index is the survey without.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weir_protocol::policy::{Access, Policy};

use super::super::super::Survey;
use super::super::super::tests::{Tree, policy};
use super::{SHORT, User, found, ground, settle};

const NAMES: [&str; 7] = ["a", "b", "c.env", ".secrets", ".git", "x y", "d"];

/// What the host does between two commands.
#[derive(Debug, Clone)]
enum Act {
    Write(String),
    Directory(String),
    Remove(String),
    Rename(String, String),
    Exchange(String, String),
    Link(String, String),
    Symlink(String, String),
    Mode(String, u32),
    Time(String),
    GitFile(String, String),
    Settle,
    Survey(usize),
}

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => name().prop_map(Act::Write),
        3 => name().prop_map(Act::Directory),
        1 => name().prop_map(Act::Remove),
        2 => (name(), name()).prop_map(|(from, to)| Act::Rename(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Act::Exchange(from, to)),
        2 => (name(), name()).prop_map(|(from, to)| Act::Link(from, to)),
        1 => (name(), name()).prop_map(|(from, to)| Act::Symlink(from, to)),
        1 => (name(), proptest::sample::select(vec![0o755, 0o700, 0o000])).prop_map(|(at, mode)| Act::Mode(at, mode)),
        1 => name().prop_map(Act::Time),
        1 => (name(), name()).prop_map(|(at, to)| Act::GitFile(at, to)),
        2 => Just(Act::Settle),
        6 => (0..3_usize).prop_map(Act::Survey),
    ]
}

impl Act {
    /// Does it, as far as it can be done.
    fn carry_out(&self, tree: &Tree) {
        let at = |name: &str| tree.at(name).as_path().to_owned();
        let made = |name: &str| drop(fs::create_dir_all(at(name).parent().unwrap()));
        match self {
            Self::Write(name) => {
                made(name);
                drop(fs::write(at(name), "text"));
            }
            Self::Directory(name) => drop(fs::create_dir_all(at(name))),
            Self::Remove(name) => {
                drop(fs::remove_dir_all(at(name)).or_else(|_| fs::remove_file(at(name))));
            }
            Self::Rename(from, to) => drop(fs::rename(at(from), at(to))),
            Self::Exchange(one, other) => exchange(&at(one), &at(other)),
            Self::Link(from, to) => drop(fs::hard_link(at(from), at(to))),
            Self::Symlink(from, to) => drop(symlink(at(from), at(to))),
            Self::Mode(name, mode) => {
                drop(fs::set_permissions(at(name), fs::Permissions::from_mode(*mode)));
            }
            Self::Time(name) => drop(fs::File::open(at(name)).map(|file| {
                file.set_times(
                    fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_nanos(1)),
                )
            })),
            Self::GitFile(name, to) => {
                made(name);
                drop(fs::write(at(name).with_file_name(".git"), format!("gitdir: {}\n", tree.at(to))));
            }
            Self::Settle => settle(),
            Self::Survey(_) => {}
        }
    }
}

fn policies(tree: &Tree) -> [Policy; 3] {
    let pattern = |name: &str| format!("{}/{name}", tree.root);
    let (all, a, inner) = (&tree.root, tree.at("a"), tree.at("a/b"));
    let patterns = [pattern("**/*.env"), pattern("**/.secrets"), pattern("a/*/d")];
    let patterns = patterns.each_ref().map(String::as_str);
    [
        policy(&[(all, Access::Write)], &patterns),
        policy(&[(all, Access::Read), (&a, Access::None), (&inner, Access::Write)], &patterns[..1]),
        policy(&[(all, Access::Write), (&a, Access::None)], &[]),
    ]
}

/// The law: whatever the host does between commands, a survey with an index is the survey without.
#[test]
fn a_survey_with_an_index_is_the_survey_without() {
    let acts = proptest::collection::vec(act(), 10..60);
    let mut listed = [0_u64; 2];
    let totals = std::cell::RefCell::new(&mut listed);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
    let outcome = runner.run(&acts, |acts| {
        let tree = ground();
        let policies = policies(&tree);
        let mut user = User::new(SHORT);
        for (at, act) in acts.iter().enumerate() {
            act.carry_out(&tree);
            let Act::Survey(which) = act else { continue };
            let with = user.survey(&policies[*which]);
            let without = Survey::take(&policies[*which]).unwrap();
            let mut totals = totals.borrow_mut();
            totals[0] += with.listed;
            totals[1] += without.listed;
            prop_assert_eq!(found(with), found(without), "after {:?}", &acts[..=at]);
        }
        Ok(())
    });
    outcome.unwrap();
    let [with, without] = listed;
    assert!(
        with * 3 < without * 2,
        "an index that knows next to nothing proves nothing: {with} of {without}"
    );
}

/// Two names change places (renameat2(2)), as far as both are there.
pub(super) fn exchange(one: &Path, other: &Path) {
    let name = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    let (one, other) = (name(one), name(other));
    let here = libc::AT_FDCWD;
    // SAFETY: both paths end with NUL.
    let _ = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE) };
}
