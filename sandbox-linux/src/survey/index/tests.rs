//! What an index knows, beside what is there.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use weir_protocol::policy::{Access, Degradation, Origin, Policy, PolicyParts};

use super::super::tests::{Tree, policy};
use super::super::{Match, Survey};
use super::*;
use law::exchange;

mod images;
mod law;

/// As short as the rule allows on file systems that keep nanoseconds: more than one tick of the slowest clock.
const SHORT: Duration = Duration::from_millis(12);

/// A tree on a file system whose stamps are believed: that of temporary files, or of the build.
fn ground() -> Tree {
    let is_believed = |place: &PathBuf| {
        let directory = fs::File::open(place).ok();
        directory.is_some_and(|directory| {
            walk::file_system(directory.as_fd()).is_ok_and(|kind| RELIABLE.contains(&kind))
        })
    };
    let all = [std::env::temp_dir(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")];
    let found = all.into_iter().find(is_believed);
    Tree::below(&found.unwrap_or_else(|| panic!("neither lies on a disk of this machine's or a tmpfs")))
}

/// Waits until everything that has happened so far is past.
fn settle() {
    let begin = clock::now().unwrap();
    while !is_past(begin, clock::now().unwrap(), 2 * SHORT) {
        std::thread::yield_now();
    }
}

/// The launches of one user, one after the other.
struct User {
    clock: Clock,
    image: Option<Image>,
    margin: Duration,
}

impl User {
    fn new(margin: Duration) -> Self {
        Self { clock: Clock::watch().unwrap(), image: None, margin }
    }

    /// A survey as a launch takes it.
    fn survey(&mut self, policy: &Policy) -> Survey {
        let mut index = Index::new(self.clock.share().unwrap(), self.image.as_ref()).with_margin(self.margin);
        let survey = Survey::take_with(policy, Some(&mut index)).unwrap();
        if let Some(image) = index.into_image() {
            self.image = Image::accept(image.memory().try_clone().unwrap());
        }
        survey
    }
}

/// What a survey has found, however it was found.
fn found(survey: Survey) -> Survey {
    Survey { listed: 0, ..survey }
}

/// A tree in which something is denied, closed and a repository, and the policy for it.
fn project() -> (Tree, Policy) {
    let tree = ground();
    for name in ["a.env", "d/e/b.env", "d/plain", ".secrets/key", "shut/file", "shut/deep/file"] {
        tree.file(name);
    }
    tree.directory("repo/.git");
    let pattern = |name: &str| format!("{}/{name}", tree.root);
    let patterns = [pattern("**/*.env"), pattern("**/.secrets")];
    let shut = tree.at("shut");
    let rules = [(&tree.root, Access::Write), (&shut, Access::None)];
    let policy = policy(&rules, &patterns.each_ref().map(String::as_str));
    (tree, policy)
}

#[test]
fn a_second_survey_lists_nothing_and_finds_the_same() {
    let (_tree, policy) = project();
    let mut user = User::new(SHORT);
    settle();
    let first = user.survey(&policy);
    assert!(first.listed >= 8, "{first:?}");
    let second = user.survey(&policy);
    assert_eq!(second.listed, 0);
    assert_eq!(found(first), found(second));
}

/// Names beside closed places come out of the index like any list; what has changed among them is asked again.
#[test]
fn names_beside_closed_places_are_listed_once() {
    let tree = ground();
    for name in ["plain", "secret", "d/e/token", "d/plain"] {
        tree.file(name);
    }
    let [secret, token, later] = ["secret", "d/e/token", "f/later"].map(|name| tree.at(name));
    let closed = [&secret, &token, &later].map(|path| (path, Access::None));
    let degradations = [(Degradation::UntoldReadings, Origin::implied("a test"))].into();
    let rules = [&[(&tree.root, Access::Read)][..], &closed].concat();
    let policy: Policy = PolicyParts { degradations, ..policy(&rules, &[]).into() }.into();
    let mut user = User::new(SHORT);
    settle();
    let first = user.survey(&policy);
    assert_eq!(first.listed, 3, "the top and two below it; the third is not there");
    let second = user.survey(&policy);
    assert_eq!(second.listed, 0);
    assert!(first.beside.is_some() && first.beside == second.beside);
    tree.file("new");
    tree.file("f/later");
    settle();
    let third = user.survey(&policy);
    assert_eq!(third.listed, 2, "the top, and the directory that has come");
    assert!(third.beside.is_some() && third.beside != first.beside);
}

#[test]
fn what_has_just_changed_is_listed_again() {
    let (tree, policy) = project();
    let mut user = User::new(Duration::from_secs(3600));
    settle();
    let first = user.survey(&policy);
    assert_eq!(user.survey(&policy).listed, first.listed, "what is recent was kept");
    assert!(user.image.is_none());
    user.margin = SHORT;
    user.survey(&policy);
    tree.file("d/e/new.env");
    let after = user.survey(&policy);
    assert_eq!(after.listed, 1, "one directory has changed");
    assert!(after.matches.iter().any(|found| found.path == tree.at("d/e/new.env")));
}

#[test]
fn nothing_counts_once_the_clock_was_set() {
    let (_tree, policy) = project();
    let mut user = User::new(SHORT);
    settle();
    let first = user.survey(&policy);
    // A descriptor that is ready, as the kernel makes that of a watch whose clock was set.
    let (end, other) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(other);
    user.clock = Clock(end.into());
    let image = user.image.as_ref().unwrap().bytes();
    let mut index = Index::new(user.clock.share().unwrap(), user.image.as_ref()).with_margin(SHORT);
    let after = Survey::take_with(&policy, Some(&mut index)).unwrap();
    assert_eq!(after, first, "and all is listed");
    assert!(index.into_image().is_none() && image > 0);
}

#[test]
fn each_change_of_the_host_shows_in_the_next_survey() {
    type Change = fn(&Tree);
    let changes: [(&str, Change, &str); 8] = [
        ("a denied file", |tree| drop(tree.file("d/c.env")), "d/c.env"),
        ("a hard link to a denied file", |tree| link(tree, "a.env", "d/e/copy"), "d/e/copy"),
        ("a denied name for a file", |tree| link(tree, "d/plain", "d/plain.env"), "d/plain"),
        ("a file that gets a denied name", |tree| rename(tree, "d/plain", "d/f.env"), "d/f.env"),
        ("a directory that is replaced", replaced, "d/e/g.env"),
        ("one that is moved", |tree| rename(tree, "d", "moved"), "moved/e/b.env"),
        ("two that change places", exchanged, "x/a.env"),
        ("a hard link out of a denied directory", |tree| link(tree, ".secrets/key", "d/key"), "d/key"),
    ];
    for (name, change, denied) in changes {
        let (tree, policy) = project();
        tree.directory("x");
        tree.file("y/a.env");
        let mut user = User::new(SHORT);
        settle();
        let before = user.survey(&policy);
        assert!(before.matches.iter().all(|found| found.path != tree.at(denied)), "{name}");
        change(&tree);
        let after = user.survey(&policy);
        assert!(after.matches.iter().any(|found| found.path == tree.at(denied)), "{name}: {after:?}");
        assert!(after.listed < before.listed, "{name}: the rest is known");
        assert_eq!(found(after), found(Survey::take(&policy).unwrap()), "{name}");
    }
}

fn link(tree: &Tree, from: &str, to: &str) {
    fs::hard_link(tree.at(from).as_path(), tree.at(to).as_path()).unwrap();
}

fn rename(tree: &Tree, from: &str, to: &str) {
    fs::rename(tree.at(from).as_path(), tree.at(to).as_path()).unwrap();
}

fn replaced(tree: &Tree) {
    tree.file("other/g.env");
    fs::remove_dir_all(tree.at("d/e").as_path()).unwrap();
    rename(tree, "other", "d/e");
}

/// renameat2(2) of two directories.
fn exchanged(tree: &Tree) {
    exchange(tree.at("x").as_path(), tree.at("y").as_path());
}

#[test]
fn a_repository_that_came_is_found_and_what_git_files_hold_is_read_each_time() {
    let (tree, policy) = project();
    fs::write(tree.at("d/.git").as_path(), format!("gitdir: {}\n", tree.at("x"))).unwrap();
    tree.directory("x");
    tree.directory("y");
    let mut user = User::new(SHORT);
    settle();
    let first = user.survey(&policy);
    assert_eq!(first.git_directories[&tree.at("d/.git")], tree.at("x"));
    // In place: the directory that holds it does not change.
    fs::write(tree.at("d/.git").as_path(), format!("gitdir: {}\n", tree.at("y"))).unwrap();
    tree.directory("d/e/.git");
    let second = user.survey(&policy);
    assert_eq!(second.git_directories[&tree.at("d/.git")], tree.at("y"));
    assert!(second.repositories.contains(&tree.at("d/e")) && !first.repositories.contains(&tree.at("d/e")));
    assert_eq!(second.listed, 2, "the new directory, and the one that holds it");
}

/// Another thread makes, moves and removes what is being walked: nothing fails, what stays is found, and afterwards all is known as it is.
#[test]
fn a_tree_that_changes_under_an_index_is_walked_without_error() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = ground();
    for at in 0..40 {
        tree.file(format!("{at}/stays.env"));
        tree.file(format!("{at}/deep/er/stays.env"));
    }
    let policy = tree.policy(&["**/*.env"]);
    let mut user = User::new(SHORT);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for at in 0..40 {
                    tree.file(format!("{at}/comes/x.env"));
                    exchange(
                        tree.at(format!("{at}/comes")).as_path(),
                        tree.at(format!("{at}/deep")).as_path(),
                    );
                    exchange(
                        tree.at(format!("{at}/comes")).as_path(),
                        tree.at(format!("{at}/deep")).as_path(),
                    );
                    drop(fs::remove_dir_all(tree.at(format!("{at}/comes")).as_path()));
                }
            }
        });
        for _ in 0..60 {
            let survey = user.survey(&policy);
            let stays = |found: &&Match| found.path.depth() == tree.root.depth() + 2;
            let stays = survey.matches.iter().filter(stays);
            assert_eq!(stays.filter(|found| found.path.file_name() == Some(b"stays.env")).count(), 40);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(found(user.survey(&policy)), found(Survey::take(&policy).unwrap()));
    settle();
    user.survey(&policy);
    let last = user.survey(&policy);
    // A few that changed last may not be worth an image of their own.
    assert!(last.listed * 10 < last.looked_at, "{} listed", last.listed);
    assert_eq!(found(last), found(Survey::take(&policy).unwrap()));
}

/// A modification time is anyone's to set; the time of change is not.
#[test]
fn a_time_that_is_set_back_hides_nothing() {
    let (tree, policy) = project();
    let mut user = User::new(SHORT);
    settle();
    user.survey(&policy);
    let directory = fs::File::open(tree.at("d").as_path()).unwrap();
    let before = directory.metadata().unwrap().modified().unwrap();
    tree.file("d/c.env");
    directory.set_times(fs::FileTimes::new().set_modified(before)).unwrap();
    assert_eq!(directory.metadata().unwrap().modified().unwrap(), before);
    let after = user.survey(&policy);
    assert!(after.matches.iter().any(|found| found.path == tree.at("d/c.env")));
}

#[test]
fn file_systems_that_are_not_of_this_machine_are_not_believed() {
    let mut devices = HashMap::new();
    let seen = |path: &str| {
        let directory = fs::File::open(path).unwrap();
        (walk::seen_opened(directory.as_fd()).unwrap(), directory)
    };
    for (path, expect) in [("/dev/shm", true), ("/proc", false), ("/sys", false)] {
        let (seen, directory) = seen(path);
        assert_eq!(is_reliable(&mut devices, &seen.stamp, || Some(directory)), expect, "{path}");
        assert_eq!(is_reliable(&mut devices, &seen.stamp, || None::<OwnedFd>), expect, "{path}: asked twice");
    }
}

#[test]
fn what_is_past_is_so_by_the_margin() {
    let at = |seconds, nanoseconds| Time { seconds, nanoseconds };
    let cases = [
        (at(10, 5), at(11, 5), true),
        (at(10, 6), at(11, 5), false),
        (at(11, 0), at(10, 0), false),
        (at(12, 0), at(11, 0), false),
    ];
    for (changed, now, expect) in cases {
        assert_eq!(is_past(changed, now, MARGIN), expect, "{changed:?} {now:?}");
    }
}
