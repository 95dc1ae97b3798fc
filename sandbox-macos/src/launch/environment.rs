//! The variables that a command on macOS sees: those that were decided, without what the system would take for orders to
//! sandbox-exec, and what the run itself needs.
//!
//! Which of the caller's variables pass is [`Policy::verdict`]'s to say, before. Pure. Caller: [`super::plan`].

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Policy, StandIn};

use crate::compile::Run;

/// Variables by which the dynamic loader is told to load something else. They never pass: they would act on sandbox-exec.
pub const LOADER_PREFIXES: [&str; 2] = ["DYLD_", "LD_"];

/// Variables that name an HTTP proxy.
pub const HTTP_PROXY_VARIABLES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];

/// Variables that name a SOCKS proxy.
pub const SOCKS_PROXY_VARIABLES: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// Variables that would lead past a proxy.
pub const NO_PROXY_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The home directory, for the C library and for Core Foundation.
const HOME_VARIABLES: [&str; 2] = ["HOME", "CFFIXED_USER_HOME"];

/// The temporary directory.
const TEMPORARY_VARIABLES: [&str; 3] = ["TMPDIR", "TEMP", "TMP"];

/// Every variable of the command, from those that were decided.
#[must_use]
pub fn adapted(policy: &Policy, run: &Run, decided: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let mut out = decided.clone();
    if policy.is_unrestricted() {
        return out;
    }
    out.retain(|name, value| can_pass(name, value));
    stand_ins(policy, run, &mut out);
    proxies(policy, run, &mut out);
    out
}

fn can_pass(name: &str, value: &[u8]) -> bool {
    let loads = LOADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !loads && !name.is_empty() && !name.contains(['=', '\0']) && !value.contains(&0)
}

/// Names the run's own directory where the policy puts one in the place of the home or the temporary directory.
fn stand_ins(policy: &Policy, run: &Run, out: &mut BTreeMap<String, Vec<u8>>) {
    let Some(scratch) = &run.scratch else { return };
    let kinds = [
        (StandIn::Home, &HOME_VARIABLES[..], home(scratch)),
        (StandIn::Temporary, &TEMPORARY_VARIABLES[..], temporary(scratch)),
    ];
    for (kind, names, path) in kinds {
        if policy.filesystem().private().iter().any(|private| private.kind == kind) {
            for name in names {
                out.insert((*name).to_owned(), path.clone());
            }
        }
    }
}

/// The private home below the run's directory.
#[must_use]
pub fn home(scratch: &AbsPath) -> Vec<u8> {
    [scratch.as_bytes(), b"/home"].concat()
}

/// The private temporary directory below the run's directory.
#[must_use]
pub fn temporary(scratch: &AbsPath) -> Vec<u8> {
    [scratch.as_bytes(), b"/tmp"].concat()
}

fn proxies(policy: &Policy, run: &Run, out: &mut BTreeMap<String, Vec<u8>>) {
    let every = HTTP_PROXY_VARIABLES.iter().chain(&SOCKS_PROXY_VARIABLES).chain(&NO_PROXY_VARIABLES);
    every.for_each(|name| {
        out.remove(*name);
    });
    let Some(gate) = run.gate.filter(|_| policy.network().enabled.value) else { return };
    for name in HTTP_PROXY_VARIABLES {
        out.insert(name.to_owned(), format!("http://127.0.0.1:{}", gate.http).into_bytes());
    }
    for name in SOCKS_PROXY_VARIABLES {
        out.insert(name.to_owned(), format!("socks5h://127.0.0.1:{}", gate.socks).into_bytes());
    }
}
