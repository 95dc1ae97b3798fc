//! What a survey costs: a tree of 60,000 files with and without patterns, beside a plain walk by the standard library; a first
//! command, one that leaves an index, and a later one that finds it.
//!
//! Prints one line for each case with the median of its runs and its ratio to a bare `read_dir` walk of the same tree, all
//! interleaved, so that a busy machine slows all alike.

#![allow(clippy::print_stdout, reason = "the numbers are what a benchmark is for")]

#[path = "../tests/support/policy.rs"]
mod policy;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use policy::of_rules;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Glob, Policy, PolicyParts};
use weir_sandbox_linux::survey::Survey;
use weir_sandbox_linux::survey::index::{Clock, Image, Index, MARGIN};

const DIRECTORIES: usize = 6_000;
const FILES_EACH: usize = 10;
const MATCHES: usize = 900;
const ROUNDS: usize = 15;

/// 60,000 files, of which every 67th is called `*.env`, and 10,000 `*.many`.
fn tree(root: &Path) -> std::io::Result<()> {
    let mut count = 0;
    for directory in 0..DIRECTORIES {
        let path = root.join(format!("part{}/module{}/dir{directory}", directory % 20, directory % 300));
        fs::create_dir_all(&path)?;
        for file in 0..FILES_EACH {
            count += 1;
            let kind = match count {
                count if count % 66 == 0 => "env",
                count if count % 6 == 0 => "many",
                _ => "rs",
            };
            fs::write(path.join(format!("source_file_{file}.{kind}")), "")?;
        }
    }
    Ok(())
}

fn policy(root: &AbsPath, access: Access, patterns: &[&str]) -> Policy {
    of_rules(&[(root, access)], patterns.iter().filter_map(|pattern| Glob::below(root, pattern).ok()))
}

fn plain(path: &Path) -> usize {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let below = |entry: fs::DirEntry| {
        let is_directory = entry.file_type().is_ok_and(|found| found.is_dir());
        1 + if is_directory { plain(&entry.path()) } else { 0 }
    };
    entries.map(below).sum()
}

/// As a launch does it: nothing of the policy is compiled yet.
fn fresh(policy: &Policy) -> Policy {
    PolicyParts::from(policy.clone()).into()
}

fn survey(policy: &Policy) -> usize {
    Survey::take(&fresh(policy)).map(|survey| survey.matches.len()).unwrap_or_default()
}

/// A launch that begins with this image, and writes one where that is worth it.
fn indexed(
    policy: &Policy,
    clock: &Clock,
    image: Option<&Image>,
) -> std::io::Result<(Survey, Option<Image>)> {
    let mut index = Index::new(clock.share()?, image);
    let survey = Survey::take_with(&fresh(policy), Some(&mut index)).map_err(std::io::Error::other)?;
    Ok((survey, index.into_image()))
}

/// The cases of one policy: without an index, leaving one, and finding it.
fn cases<'c>(
    name: &str,
    policy: &'c Policy,
    clock: &'c Clock,
    image: &'c Image,
) -> std::io::Result<[Case<'c>; 3]> {
    let (known, _) = indexed(policy, clock, Some(image))?;
    assert_eq!(known.listed, 0, "all is known");
    let found = move |image: Option<&Image>| {
        indexed(policy, clock, image).map(|(survey, _)| survey.matches.len()).unwrap_or_default()
    };
    Ok([
        (name.to_owned(), Box::new(|| survey(policy)), Vec::new()),
        ("  and leaves an index".to_owned(), Box::new(move || found(None)), Vec::new()),
        ("  and finds one".to_owned(), Box::new(move || found(Some(image))), Vec::new()),
    ])
}

/// Waits until the tree is old enough to be known.
fn grow_old() {
    let begin = Instant::now();
    while begin.elapsed() < 2 * MARGIN {
        std::thread::yield_now();
    }
}

type Case<'c> = (String, Box<dyn Fn() -> usize + 'c>, Vec<Duration>);

fn main() -> std::io::Result<()> {
    let keep = tempfile::tempdir()?;
    let real = fs::canonicalize(keep.path())?;
    let root = AbsPath::from_host(&real).unwrap_or_else(AbsPath::root);
    tree(&real)?;
    let named: Vec<String> = (0..200).map(|index| format!("**/private{index}")).collect();
    let mixed: Vec<&str> = named.iter().map(String::as_str).chain(["**/*.env", "**/s[!o]*.[ek]*"]).collect();
    let policies = [
        ("readable, no patterns", Access::Read, vec![]),
        ("writable, no patterns", Access::Write, vec![]),
        ("readable, **/*.env", Access::Read, vec!["**/*.env"]),
        ("writable, **/*.env and **/.secrets", Access::Write, vec!["**/*.env", "**/.secrets"]),
        ("writable, 202 patterns", Access::Write, mixed),
        ("writable, **/*.many", Access::Write, vec!["**/*.many"]),
    ];
    grow_old();
    let clock = Clock::watch()?;
    let policies = policies.map(|(name, access, patterns)| (name, policy(&root, access, &patterns)));
    let (_, image) = indexed(&policy(&root, Access::Write, &[]), &clock, None)?;
    let image = image.ok_or_else(|| std::io::Error::other("no image"))?;
    let mut cases: Vec<Case<'_>> = vec![("read_dir".to_owned(), Box::new(|| plain(&real)), Vec::new())];
    for (name, policy) in &policies {
        cases.extend(self::cases(name, policy, &clock, &image)?);
    }
    for _ in 0..ROUNDS {
        for (_, run, times) in &mut cases {
            let start = Instant::now();
            black_box(run());
            times.push(start.elapsed());
        }
    }
    println!("{DIRECTORIES} directories, {} files, {MATCHES} of them *.env", DIRECTORIES * FILES_EACH);
    println!("an image of {} KiB", image.bytes() / 1024);
    let mut base = None;
    for (name, run, times) in &mut cases {
        times.sort();
        let median = times[times.len() / 2];
        let base = *base.get_or_insert(median);
        let ratio = median.as_secs_f64() / base.as_secs_f64();
        println!("{name:<36} {:>8.2} ms  {ratio:>5.2}x  {:>6} found", median.as_secs_f64() * 1e3, run());
    }
    Ok(())
}
