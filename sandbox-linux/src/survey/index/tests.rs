//! What an index knows, beside what is there: for random changes between surveys, and case by case.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use weir_protocol::policy::{Access, Policy};

use super::super::tests::{Tree, policy};
use super::super::{Match, Survey};
use super::*;

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
    let later = |time: Time, by: Duration| {
        i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds) + by.as_nanos().cast_signed()
    };
    let begin = clock::now().unwrap();
    while later(clock::now().unwrap(), Duration::ZERO) <= later(begin, 2 * SHORT) {
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

fn exchange(one: &Path, other: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    let name = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    let (one, other) = (name(one), name(other));
    let here = libc::AT_FDCWD;
    // SAFETY: both paths end with NUL.
    let _ = unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), libc::RENAME_EXCHANGE) };
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

/// A listing for a directory that is not there.
fn fabricated(inode: u64, bytes: usize) -> (Stamp, Vec<u8>) {
    let directory = crate::live::FileId { device: 1, inode, birth_ns: inode.is_multiple_of(2).then_some(7) };
    let time = Time { seconds: 5, nanoseconds: 6 };
    let entry = Entry { name: c"name", file_type: FileType::Fifo, inode };
    let mut entries = Vec::new();
    while entries.len() < bytes {
        image::append(&mut entries, &entry);
    }
    (Stamp { directory, mount: 3, changed: time, modified: time }, entries)
}

fn image_of(made: &[(Stamp, Vec<u8>)], kept: Option<&Image>, used: &[u64]) -> Option<Image> {
    let kept = kept.map(|image| image.contents().unwrap());
    let place = |inode: &u64| Some(kept.as_ref()?.find(&fabricated(*inode, 0).0)?.0);
    let places: BTreeSet<usize> = used.iter().filter_map(place).collect();
    let used: Vec<bool> =
        (0..kept.as_ref().map_or(0, Contents::len)).map(|place| places.contains(&place)).collect();
    let mut entries = Vec::new();
    let mut ranges = Vec::new();
    for (stamp, own) in made {
        ranges.push((*stamp, entries.len()..entries.len() + own.len()));
        entries.extend_from_slice(own);
    }
    Image::of(&entries, ranges, kept.as_ref(), &used)
}

fn holds(image: &Image, inode: u64) -> bool {
    image.contents().unwrap().find(&fabricated(inode, 0).0).is_some()
}

#[test]
fn an_image_tells_what_was_put_into_it() {
    let made: Vec<_> = (0..100).rev().map(|inode| fabricated(inode, 20)).collect();
    let image = image_of(&made, None, &[]).unwrap();
    let contents = image.contents().unwrap();
    assert_eq!(contents.len(), 100);
    for (stamp, entries) in &made {
        let (_, listing) = contents.find(stamp).unwrap();
        let told: Vec<_> =
            listing.entries().map(|entry| (entry.name.to_owned(), entry.file_type, entry.inode)).collect();
        assert_eq!(
            told,
            vec![(c"name".to_owned(), FileType::Fifo, stamp.directory.inode); entries.len() / 14]
        );
        let later = Time { nanoseconds: 7, ..stamp.changed };
        let birth_ns = Some(8);
        let others = [
            Stamp { changed: later, ..*stamp },
            Stamp { modified: later, ..*stamp },
            Stamp { mount: 4, ..*stamp },
            Stamp { directory: crate::live::FileId { birth_ns, ..stamp.directory }, ..*stamp },
            Stamp { directory: crate::live::FileId { device: 2, ..stamp.directory }, ..*stamp },
        ];
        assert!(others.iter().all(|other| contents.find(other).is_none()));
    }
}

/// At the bound, what was of use stays, and what was not goes first.
#[test]
fn an_image_is_bounded() {
    let quarter = MAX_IMAGE_BYTES / 4;
    let first =
        image_of(&[fabricated(1, quarter), fabricated(2, quarter), fabricated(3, 100)], None, &[]).unwrap();
    let second = image_of(&[fabricated(4, quarter), fabricated(5, 100)], Some(&first), &[2]).unwrap();
    assert!(second.bytes() <= MAX_IMAGE_BYTES && holds(&second, 1) && holds(&second, 3));
    let third = image_of(&[fabricated(6, quarter)], Some(&second), &[2, 5, 4]).unwrap();
    assert!(third.bytes() <= MAX_IMAGE_BYTES);
    assert_eq!([1, 2, 3, 4, 5, 6].map(|inode| holds(&third, inode)), [false, true, true, true, true, true]);
    // Nothing is written where nothing finds room, or next to nothing is new.
    assert!(image_of(&[fabricated(7, 2 * quarter)], Some(&third), &[2, 4, 6]).is_none());
    assert!(image_of(&[fabricated(7, 100)], Some(&third), &[]).is_none());
}

#[test]
fn what_is_of_no_use_for_long_goes() {
    let mut image = image_of(&[fabricated(1, 100)], None, &[]).unwrap();
    for inode in 2..=9 {
        image = image_of(&[fabricated(inode, 100)], Some(&image), &[]).unwrap();
        assert!(holds(&image, 1), "{inode}");
    }
    image = image_of(&[fabricated(10, 100)], Some(&image), &[]).unwrap();
    assert!(!holds(&image, 1) && holds(&image, 2));
}

proptest! {
    /// Whatever stands in an image, reading it ends and stays inside of it.
    #[test]
    fn an_image_of_anything_is_read_to_its_end(
        noise in proptest::collection::vec(any::<u8>(), 1..300),
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
    ) {
        let whole = image_of(&[fabricated(1, 50), fabricated(2, 50)], None, &[]).unwrap();
        let mut bytes = crate::sys::sealed::Mapped::of(whole.memory()).unwrap().bytes().to_vec();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[usize::from(at) % length] = byte;
        }
        for bytes in [noise, bytes] {
            let Some(image) = Image::accept(crate::sys::sealed::seal(&[&bytes]).unwrap()) else { continue };
            let Some(contents) = image.contents() else { continue };
            for inode in 0..3 {
                let listing = contents.find(&fabricated(inode, 0).0);
                let entries = listing.map_or(0, |(_, listing)| listing.entries().count());
                prop_assert!(entries < bytes.len());
            }
            drop(image_of(&[fabricated(3, 50)], Some(&image), &[1, 2]));
        }
    }
}
