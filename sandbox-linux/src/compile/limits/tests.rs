//! Limits at every level of a host: what becomes of each, for literals.

use super::*;
use crate::compile::literal::{WITHOUT_NAMESPACES, bare, planned, policy};
use crate::doctor::tests::{full, refused, user, with_abi};
use crate::host::{Fact, Host, Step};

const MEMORY: (Resource, u64) = (Resource::Memory, 1 << 20);
const PROCESSES: (Resource, u64) = (Resource::Processes, 20);
const CPU: (Resource, u64) = (Resource::Cpu, 1500);
const ALL: [(Resource, u64); 3] = [MEMORY, PROCESSES, CPU];

/// The host with its groups changed.
fn with(mut host: Host, change: impl FnOnce(&mut Cgroup2)) -> Host {
    if let Some(found) = &mut host.cgroups.version2 {
        change(found);
    }
    host
}

/// The group's settings, or what is refused by name.
fn settings(
    host: &Host,
    limits: &[(Resource, u64)],
    given_up: &[Degradation],
) -> Result<Vec<String>, Vec<&'static str>> {
    let given_up: Vec<_> = WITHOUT_NAMESPACES.iter().chain(given_up).copied().collect();
    match planned(&policy(limits, None, &given_up), host) {
        Ok(plan) => {
            let told = plan.mechanisms.iter().any(|mechanism| mechanism.name == "cgroup");
            assert_eq!(told, plan.group.is_some());
            assert_eq!(plan.listing().contains("\ngroup        below "), plan.group.is_some());
            let group = plan.group.iter().flat_map(|group| {
                let enable = group.enable.iter().map(|controller| format!("+{}", controller.name()));
                let settings = group.settings();
                enable
                    .chain(settings.into_iter().map(|one| format!("{} {}", one.file, one.text)))
                    .collect::<Vec<_>>()
            });
            let each = plan.limits.iter().map(|limit| format!("{:?} {}", limit.kind, limit.value));
            Ok(group.chain(each).filter(|text| text != "Core 1").collect())
        }
        Err(refusal) => Err(refusal
            .lacks
            .iter()
            .map(|lack| match lack {
                Lack::Limit { resource, .. } => resource.key(),
                other => panic!("{other}"),
            })
            .collect()),
    }
}

const MEMORY_SET: [&str; 3] = ["memory.max 1048576", "memory.swap.max 0", "memory.oom.group 1"];

#[test]
fn every_level_of_groups_holds_the_limits_or_names_them() {
    type Case<'a> = (&'a str, Host, &'a [Degradation], Result<Vec<&'a str>, Vec<&'static str>>);
    let set = |more: &[&'static str]| [&MEMORY_SET, more].concat();
    let everything = Err(vec!["memory", "processes", "cpu"]);
    let degraded: &[Degradation] = &[Degradation::ProcessLimits];
    let nothing_delegated = |found: &mut Cgroup2| found.delegated.clear();
    let controllers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let cases: Vec<Case<'_>> = vec![
        ("delegated", full(), &[], Ok(set(&["pids.max 21", "cpu.max 150000 100000"]))),
        ("user", user(), &[], Ok(set(&["pids.max 21", "cpu.max 150000 100000"]))),
        // The keeper is Weir's own as well.
        ("bare", bare(), &[], Ok(set(&["pids.max 22", "cpu.max 150000 100000"]))),
        (
            "to be enabled",
            with(full(), nothing_delegated),
            &[],
            Ok([&["+memory", "+pids", "+cpu"], &*set(&["pids.max 21", "cpu.max 150000 100000"])].concat()),
        ),
        (
            "in the way of itself",
            with(full(), |found| {
                found.delegated.clear();
                found.enable = refused(Step::CgroupEnable, libc::EBUSY);
            }),
            &[],
            everything.clone(),
        ),
        (
            "read-only",
            with(full(), |found| found.child = refused(Step::CgroupMkdir, libc::EROFS)),
            &[],
            everything.clone(),
        ),
        (
            "no process gets in",
            with(full(), |found| found.join = refused(Step::CgroupJoin, libc::EACCES)),
            &[],
            everything.clone(),
        ),
        ("nothing tried", with(full(), |found| found.child = Fact::Untried), &[], everything.clone()),
        ("no controllers", with(full(), |found| found.controllers.clear()), &[], everything.clone()),
        (
            "no processor",
            with(full(), |found| found.controllers = controllers(&["memory", "pids"])),
            &[],
            Err(vec!["cpu"]),
        ),
        (
            "version 1",
            Host { cgroups: crate::host::Cgroups { version1: true, version2: None }, ..full() },
            &[],
            everything,
        ),
        // Given up by name, yet nothing is given up that can be held; and the processor has no limit for each process.
        ("given up, not needed", full(), degraded, Ok(set(&["pids.max 21", "cpu.max 150000 100000"]))),
        (
            "given up",
            Host { cgroups: crate::host::Cgroups { version1: true, version2: None }, ..full() },
            degraded,
            Err(vec!["cpu"]),
        ),
    ];
    for (name, host, given_up, expect) in cases {
        let expect = expect.map(|texts| texts.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(settings(&host, &ALL, given_up), expect, "{name}");
    }
}

#[test]
fn what_is_given_up_holds_for_each_process() {
    let host = with(full(), |found| found.controllers = vec!["pids".to_owned()]);
    let found = settings(&host, &[MEMORY, PROCESSES], &[Degradation::ProcessLimits]);
    assert_eq!(found, Ok(vec!["pids.max 21".to_owned(), "AddressSpace 1048576".to_owned()]));
    assert_eq!(settings(&full(), &[], &[]), Ok(Vec::new()));
}

/// The limits hold on every kernel that has the groups, whatever its Landlock.
#[test]
fn groups_do_not_depend_on_landlock() {
    for abi in 0..=10 {
        let host = with_abi("x", (6, 18), abi);
        let found = settings(&host, &[MEMORY], &[]);
        assert_eq!(found, Ok(MEMORY_SET.map(str::to_owned).to_vec()), "ABI {abi}");
    }
}

/// Who may write to the groups could lift the limit.
#[test]
fn the_groups_are_never_granted_for_writing() {
    let elsewhere = |host| with(host, |found| found.elsewhere = vec!["/mnt/groups".to_owned()]);
    let cases = [
        (full(), "/srv", None),
        // There `/sys` is read-only by mounts.
        (full(), "/", None),
        (user(), "/sys/fs/cgroup", None),
        (bare(), "/srv", None),
        (bare(), "/", Some("/sys/fs/cgroup")),
        (bare(), "/sys/fs/cgroup", Some("/sys/fs/cgroup")),
        (bare(), "/sys/fs/cgroup/system.slice", Some("/sys/fs/cgroup")),
        (elsewhere(full()), "/mnt", Some("/mnt/groups")),
        (elsewhere(user()), "/mnt/groups/a", Some("/mnt/groups")),
        (elsewhere(user()), "/srv", None),
    ];
    for (host, writable, expect) in cases {
        let given_up = [&WITHOUT_NAMESPACES[..], &[Degradation::NoCarveOut]].concat();
        let lacks = match planned(&policy(&[MEMORY], Some(writable), &given_up), &host) {
            Ok(_) => Vec::new(),
            Err(refusal) => refusal.lacks,
        };
        let found: Vec<_> = lacks
            .iter()
            .map(|lack| match lack {
                Lack::GroupsWritable { path, .. } => path.to_string(),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(found, expect.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{writable}");
        // Without a limit nothing is there to be lifted.
        assert!(planned(&policy(&[], Some(writable), &given_up), &host).is_ok(), "{writable}");
    }
}
