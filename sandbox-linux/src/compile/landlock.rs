//! Policy to a Landlock ruleset.
//!
//! Landlock only grants: rights given on a directory hold for all below it, and nothing below can be less. Where there are
//! mounts, they hold what is closed inside a grant and Landlock is the wall behind them, which no rename, descriptor or
//! mount can pass; without mounts (`bare`), Landlock holds everything and what it cannot hold is refused before.
//! Bits and meanings: `linux/landlock.h`, landlock(7).

use std::collections::{BTreeMap, HashMap};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Degradation, KernelFeature};

use super::Compiler;
use super::bare::{self, Closed};
use super::refusal::Lack;
use crate::host::Way;
use crate::plan::{Landlock, LandlockRule};
use crate::seccomp::Network;
use crate::survey::Kind;

/// Executing a file.
pub const EXECUTE: u64 = 1 << 0;
/// Opening a file for writing.
pub const WRITE_FILE: u64 = 1 << 1;
/// Opening a file for reading.
pub const READ_FILE: u64 = 1 << 2;
/// Listing a directory.
pub const READ_DIR: u64 = 1 << 3;
/// Removing directories and files, and making directories, files, sockets, fifos and links.
const CHANGE: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12;
/// Making character and block devices: handled, and never granted.
const MAKE_DEVICES: u64 = 1 << 6 | 1 << 11;
/// Renaming or linking between directories (ABI 2).
pub(super) const REFER: u64 = 1 << 13;
/// Truncating a file (ABI 3).
pub const TRUNCATE: u64 = 1 << 14;
/// Requests to devices (ABI 5).
pub const IOCTL_DEV: u64 = 1 << 15;

/// Rights that mean something for what is no directory; the kernel refuses a rule on a file with any other.
pub const FILE_RIGHTS: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// Binding and connecting TCP sockets (ABI 4).
const TCP: u64 = 0b11;
/// Connecting alone.
pub(crate) const CONNECT_TCP: u64 = 0b10;
/// Abstract unix sockets and signals stay inside (ABI 6).
const SCOPES: u64 = 0b11;
/// Signals stay inside (ABI 6).
pub(crate) const SCOPE_SIGNAL: u64 = 0b10;

/// `LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF`, `_LOG_NEW_EXEC_ON` and `_LOG_SUBDOMAINS_OFF` (ABI 7): what programs that are executed later
/// are refused is recorded; not what init is, which acts for them and tells it itself, and nothing that they refuse themselves.
const RECORDS: u32 = 1 | 1 << 1 | 1 << 2;

/// First ABI that can rename between directories at all.
pub const ABI_REFER: u32 = 2;
/// First ABI that holds truncation: the least with which Landlock holds files alone.
pub const ABI_TRUNCATE: u32 = 3;
/// First ABI that holds ports of TCP.
pub const ABI_PORTS: u32 = 4;
/// First ABI that scopes signals and abstract sockets.
pub const ABI_SCOPES: u32 = 6;
/// Newest ABI that is compiled for; a newer kernel keeps its promises to it.
pub const ABI_KNOWN: u32 = 7;

pub(super) const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
const WRITE: u64 = READ | WRITE_FILE | CHANGE | REFER | TRUNCATE | IOCTL_DEV;

/// The file-system rights that an ABI knows.
#[must_use]
pub const fn known_fs(abi: u32) -> u64 {
    let first = (1 << 13) - 1;
    match abi {
        0 => 0,
        1 => first,
        2 => first | REFER,
        3 | 4 => first | REFER | TRUNCATE,
        _ => first | REFER | TRUNCATE | IOCTL_DEV,
    }
}

pub(crate) const fn known_net(abi: u32) -> u64 {
    if abi >= ABI_PORTS { TCP } else { 0 }
}

pub(crate) const fn known_scopes(abi: u32) -> u64 {
    if abi >= ABI_SCOPES { SCOPES } else { 0 }
}

/// The ruleset, or none where the kernel has none to offer that would not break what the policy allows.
pub(super) fn compile(compiler: &mut Compiler<'_>, network: Network) -> Option<Landlock> {
    let landlock = &compiler.facts.host.landlock;
    let (found, fact) = (landlock.usable(), landlock.restrict);
    if compiler.way != Way::Bare && found < ABI_REFER {
        if landlock.fails() {
            let lost = "the kernel's Landlock fails; mounts alone hold the files";
            compiler.give_up(Degradation::NoLandlock, lost, Lack::LandlockFails { fact });
            return None;
        }
        compiler.remarks.push(match found {
            0 => "this kernel offers no Landlock; mounts alone hold the files".to_owned(),
            _ => "Landlock ABI 1 would forbid renames between directories; mounts alone hold the files"
                .to_owned(),
        });
        return None;
    }
    if found == 0 {
        return None;
    }
    let abi = found.min(ABI_KNOWN);
    Some(Landlock {
        abi,
        handled_fs: known_fs(abi),
        handled_net: if matches!(network, Network::None | Network::Proxied) { known_net(abi) } else { 0 },
        ports: match (network, compiler.facts.proxies) {
            (Network::Proxied, Some(proxies)) => vec![proxies.http, proxies.socks],
            _ => Vec::new(),
        },
        scoped: known_scopes(abi),
        records: if abi >= crate::audit::ABI_RECORDS { RECORDS } else { 0 },
        rules: rules(compiler, known_fs(abi) & !MAKE_DEVICES),
    })
}

/// What each place is granted, as the policy says it; without mounts as far as what is closed inside lets it be.
fn granted(compiler: &Compiler<'_>) -> Vec<(AbsPath, Access)> {
    let rules = compiler.filesystem.rules().iter();
    let rules = rules.filter(|rule| rule.access > Access::None && exists(compiler, &rule.path));
    if compiler.way == Way::Bare {
        let (closed, mut found) = (Closed::of(compiler), BTreeMap::new());
        let is_live = compiler.is_live();
        let rules = rules.filter(|rule| is_live || !bare::is_terminal(&rule.path));
        rules.for_each(|rule| bare::grant(compiler, &closed, &rule.path, &mut found));
        return found.into_iter().collect();
    }
    rules.map(|rule| (rule.path.clone(), rule.access)).collect()
}

fn rules(compiler: &Compiler<'_>, known: u64) -> Vec<LandlockRule> {
    let granted = granted(compiler).into_iter();
    let mut wanted: Vec<(AbsPath, u64)> =
        granted.map(|(path, access)| (path, rights(access) & known)).collect();
    if compiler.way != Way::Bare {
        let private = compiler.filesystem.private().iter();
        wanted.extend(private.map(|private| (private.path.clone(), WRITE & known)));
        // A nested user namespace is set up by writing to files of the sandbox's own /proc; what of it sets the machine is
        // read-only by mounts.
        let proc = super::tree::path("/proc");
        if compiler.opens(KernelFeature::NestedUserNamespaces) && compiler.access(&proc) > Access::None {
            wanted.push((proc, (READ | WRITE_FILE | TRUNCATE) & known));
        }
    }
    wanted.sort();
    least(wanted)
}

/// The rules that are needed for rights by place, each place before those below it: what a place has from above it needs no rule for.
pub(super) fn least(wanted: impl IntoIterator<Item = (AbsPath, u64)>) -> Vec<LandlockRule> {
    let mut held: HashMap<AbsPath, u64> = HashMap::new();
    let mut rules = Vec::new();
    for (at, rights) in wanted {
        let inherited = inherited(&held, &at);
        if rights & !inherited != 0 {
            held.insert(at.clone(), rights | inherited);
            rules.push(LandlockRule { at, rights });
        }
    }
    rules
}

/// The rights of the nearest place at or above `path` that has any.
fn inherited(held: &HashMap<AbsPath, u64>, path: &AbsPath) -> u64 {
    let mut next = Some(path.clone());
    while let Some(path) = next {
        if let Some(rights) = held.get(&path) {
            return *rights;
        }
        next = path.parent();
    }
    0
}

pub(super) fn exists(compiler: &Compiler<'_>, path: &AbsPath) -> bool {
    !matches!(
        compiler.facts.survey.places.get(path),
        Some(Kind::Missing | Kind::Symlink | Kind::Unreadable(_))
    )
}

const fn rights(access: Access) -> u64 {
    match access {
        Access::None => 0,
        Access::Read => READ,
        Access::Copy | Access::Write => WRITE,
    }
}

/// The rights in short, for listings: `r` read, `x` execute, `l` list, `w` write, `c` create and remove, `t` truncate, `i`
/// device requests.
#[must_use]
pub fn words(rights: u64) -> String {
    let letters = [
        (READ_FILE, 'r'),
        (EXECUTE, 'x'),
        (READ_DIR, 'l'),
        (WRITE_FILE, 'w'),
        (CHANGE, 'c'),
        (TRUNCATE, 't'),
        (IOCTL_DEV, 'i'),
    ];
    letters.into_iter().map(|(bit, letter)| if rights & bit == bit { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::literal::{WITHOUT_NAMESPACES, bare, planned, policy};
    use crate::doctor::tests::{full, refused, user};
    use crate::host::{Fact, Host, Step};

    #[test]
    fn every_abi_knows_what_the_one_before_knew() {
        for abi in 1..=ABI_KNOWN {
            assert_eq!(known_fs(abi - 1) & !known_fs(abi), 0, "{abi}");
            assert_eq!(known_net(abi - 1) & !known_net(abi), 0, "{abi}");
            assert_eq!(known_scopes(abi - 1) & !known_scopes(abi), 0, "{abi}");
            assert_eq!(WRITE & known_fs(abi) & MAKE_DEVICES, 0);
        }
        assert_eq!([known_fs(1), known_fs(2), known_fs(3), known_fs(5)], [0x1fff, 0x3fff, 0x7fff, 0xffff]);
    }

    /// Where Landlock is there and fails, nothing is held by mounts alone unasked; where there is none, nothing changes.
    #[test]
    fn landlock_that_fails_is_not_landlock_that_is_missing() {
        use weir_protocol::policy::Degradation::NoLandlock;
        let at = |step, errno| (refused(step, errno), if step == Step::LandlockVersion { 0 } else { 7 });
        let (version, restrict) = (Step::LandlockVersion, Step::LandlockRestrict);
        let missing = [at(version, libc::ENOSYS), at(version, libc::EOPNOTSUPP)];
        let failing = [
            at(version, libc::EPERM),
            at(version, libc::ENOMEM),
            at(restrict, libc::EPERM),
            at(restrict, libc::ENOSYS),
            at(restrict, libc::EOPNOTSUPP),
            (Fact::Killed { at: restrict }, 7),
            (Fact::Untried, 7),
        ];
        let host = |host: Host, (restrict, abi)| Host {
            landlock: crate::host::Landlock { abi, errata: 0, restrict },
            ..host
        };
        for kind in [full, user] {
            for found in missing {
                let plan = planned(&policy(&[], None, &[]), &host(kind(), found));
                let plan = plan.unwrap_or_else(|refusal| panic!("{found:?}: {refusal}"));
                assert_eq!((plan.degradations.len(), plan.remarks.len()), (0, 1), "{found:?}");
            }
            for found in failing {
                let host = host(kind(), found);
                let refusal = planned(&policy(&[], None, &[]), &host).err();
                let lacks = refusal.as_ref().map(|refusal| refusal.lacks.clone());
                assert_eq!(lacks, Some(vec![Lack::LandlockFails { fact: found.0 }]), "{found:?}");
                let text = refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
                assert!(text.contains(r#"degrade = ["no-landlock"]"#), "{text}");
                let plan = planned(&policy(&[], None, &[NoLandlock]), &host);
                let plan = plan.unwrap_or_else(|refusal| panic!("{found:?}: {refusal}"));
                let given_up: Vec<_> = plan.degradations.iter().map(|one| one.name).collect();
                assert_eq!((given_up, plan.remarks.len()), (vec![NoLandlock], 0), "{found:?}");
                assert_eq!(plan.confinement.and_then(|held| held.landlock), None);
            }
        }
        // Without mounts nothing is held by them, so that there is nothing to give up.
        for found in missing.into_iter().chain(failing) {
            let given_up = [&WITHOUT_NAMESPACES[..], &[NoLandlock]].concat();
            let lacks = planned(&policy(&[], None, &given_up), &host(bare(), found)).err();
            let lacks = lacks.map(|refusal| refusal.lacks).unwrap_or_default();
            assert!(matches!(lacks[..], [Lack::Landlock { found: 0, .. }, ..]), "{found:?}: {lacks:?}");
        }
    }
}
