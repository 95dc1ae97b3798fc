//! How long a verdict, a resolve, a digest and a parse take under a thousand path rules and two hundred patterns.

#![allow(missing_docs, reason = "the macro of the benchmark defines an undocumented function")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_exec_server::profile::resolve::resolve;
use weir_exec_server::profile::surroundings::{Host, Links, Surroundings};
use weir_exec_server::profile::{load, merge};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Layer, Operation, Policy, Request};
use weir_protocol::profile::{Format, Profile};

const RULES: usize = 1_000;
const PATTERNS: usize = 200;

fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap_or_else(|_| AbsPath::root())
}

fn around() -> Surroundings {
    Surroundings {
        home: path("/home/u"),
        cwd: path("/srv/p"),
        project_roots: vec![path("/srv/p")],
        tmpdir: None,
        weir_home: path("/home/u/.weir"),
        other_homes: Vec::new(),
    }
}

/// Directories three deep with the three words in turn, and patterns of every kind.
fn document() -> String {
    let mut text =
        String::from("[permissions.x.filesystem]\n\":project_roots\" = \"write\"\n\":root\" = \"read\"\n");
    for index in 0..RULES {
        let word = ["read", "write", "none"][index % 3];
        text += &format!("\"/srv/p/part{}/dir{}/leaf{index}\" = \"{word}\"\n", index % 10, index % 100);
    }
    for index in 0..PATTERNS {
        let pattern = match index % 4 {
            0 => format!("**/*.secret{index}"),
            1 => format!("**/private{index}/**"),
            2 => format!("part{}/*/key{index}.[pk]em", index % 10),
            _ => format!("**/.cache{index}"),
        };
        text += &format!("\"/srv/p/{pattern}\" = \"none\"\n");
    }
    text
}

fn profile(text: &str) -> Profile {
    let reading = load::parse("bench", text.as_bytes().to_vec(), Format::Toml, Layer::User);
    let document = reading.document.unwrap_or_default();
    merge::extended(&merge::profiles([&document]), "x", None).unwrap_or_default()
}

/// A merged distribution: the system directories are links into `/usr`.
fn links() -> Links {
    let names = ["bin", "sbin", "lib", "lib64"];
    Links(
        names
            .iter()
            .map(|name| (path(&format!("/{name}")), format!("usr/{name}").into()))
            .collect::<BTreeMap<_, _>>(),
    )
}

fn verdicts(criterion: &mut Criterion, policy: &Policy) {
    let cases = [
        ("allowed", "/srv/p/part3/dir33/leaf333/src/deep/er/main.rs", true),
        ("denied by rule", "/srv/p/part2/dir2/leaf2/src/main.rs", false),
        ("denied by pattern", "/srv/p/part3/dir33/leaf333/src/x.secret40", false),
        ("denied by pattern, deep", "/srv/p/a/b/c/d/e/f/g/h/i/j/private41/x", false),
        ("covered by the root alone", "/srv/data/a/b/c", true),
    ];
    for (name, text, expect) in cases {
        let path = path(text);
        let request = Request::Path { path: &path, operation: Operation::Read };
        assert_eq!(policy.verdict(&request).allowed, expect, "{name}");
        criterion.bench_function(&format!("verdict/{name}"), |bench| {
            bench.iter(|| black_box(policy.verdict(black_box(&request))).allowed);
        });
    }
}

fn all(criterion: &mut Criterion) {
    let text = document();
    let (profile, around, links) = (profile(&text), around(), links());
    let resolved = |terrain: &Links| resolve("x", &profile, &around, terrain).map(|resolved| resolved.policy);
    let Ok(policy) = resolved(&links) else { return };
    assert!(policy.filesystem().rules().len() > RULES && policy.filesystem().globs().len() == PATTERNS);
    verdicts(criterion, &policy);
    let nothing = path("/var/x/y/z");
    let bare = resolve("y", &Profile::default(), &around, &links).map(|resolved| resolved.policy);
    if let Ok(bare) = &bare {
        let request = Request::Path { path: &nothing, operation: Operation::Read };
        criterion.bench_function("verdict/uncovered", |bench| {
            bench.iter(|| bare.verdict(black_box(&request)).allowed)
        });
    }
    let asked = path("/srv/p/part3/dir33/leaf333/src/x.secret40");
    let request = Request::Path { path: &asked, operation: Operation::Read };
    criterion.bench_function("explain", |bench| bench.iter(|| policy.explain(black_box(&request))));
    criterion.bench_function("first verdict", |bench| {
        bench.iter_batched(
            || Policy::from(policy.parts().clone()),
            |policy| policy.verdict(&request).allowed,
            criterion::BatchSize::LargeInput,
        );
    });
    criterion.bench_function("resolve/links", |bench| bench.iter(|| resolved(black_box(&links)).is_ok()));
    criterion.bench_function("resolve/host", |bench| {
        bench.iter(|| resolve("x", black_box(&profile), &around, &Host::default()).is_ok());
    });
    criterion.bench_function("digest", |bench| bench.iter(|| black_box(&policy).digest()));
    criterion.bench_function("parse", |bench| {
        bench.iter(|| {
            load::parse("bench", text.as_bytes().to_vec(), Format::Toml, Layer::User).document.is_some()
        });
    });
}

criterion_group! {
    name = policy;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_millis(1000)).without_plots();
    targets = all
}
criterion_main!(policy);
