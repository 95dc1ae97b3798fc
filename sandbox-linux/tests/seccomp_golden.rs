//! The compiled filters as text: what is refused and why, and every instruction.
//!
//! Run with `WEIR_BLESS=1` to write the files anew after an intended change.

use std::path::PathBuf;

use weir_sandbox_linux::bpf::Arch;
use weir_sandbox_linux::seccomp::{self, Grant, Ipc, Needs, Network, Pids};

/// A command with its own namespaces, loopback or the network gate, and unix sockets.
const PRIVATE: Needs = Needs { network: Network::Private, unix_sockets: Grant::Allowed, ..Needs::STRICT };
/// Landlock and seccomp alone.
const BARE: Needs = Needs { ipc: Ipc::Shared, pids: Pids::Shared, ..Needs::STRICT };
/// Everything a profile can grant by name.
const WIDE: Needs = Needs {
    network: Network::Host,
    unix_sockets: Grant::Allowed,
    nested_user_namespaces: Grant::Allowed,
    io_uring: Grant::Allowed,
    ipc: Ipc::Own,
    pids: Pids::Own,
};

fn check(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let want = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = text.lines().zip(want.lines()).position(|(got, want)| got != want);
    assert!(
        text == want,
        "{file} differs, first at line {:?}; WEIR_BLESS=1 rewrites it",
        line.map(|n| n + 1)
    );
}

#[test]
fn filters_are_as_they_were() {
    for (set, needs) in [("strict", Needs::STRICT), ("private", PRIVATE), ("bare", BARE), ("wide", WIDE)] {
        for arch in Arch::ALL {
            let program =
                seccomp::compile(&needs, arch).unwrap_or_else(|defect| panic!("{set} {arch}: {defect}"));
            let listing = program.listing(&|nr| seccomp::name(arch, nr));
            let text = format!("{}\n{listing}", seccomp::summary(&needs, arch));
            check(&format!("seccomp-{set}-{arch}.txt"), &text);
        }
    }
}
