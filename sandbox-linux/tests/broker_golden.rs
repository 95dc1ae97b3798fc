//! The broker's filters as text, instruction by instruction.
//!
//! Run with `WEIR_BLESS=1` to write the files anew after an intended change.

use std::path::PathBuf;

use weir_sandbox_linux::bpf::Arch;
use weir_sandbox_linux::broker::{Traps, filter};
use weir_sandbox_linux::seccomp;

#[test]
fn filters_are_as_they_were() {
    let sets = [
        ("names", Traps { names: true, ..Traps::default() }),
        ("sockets", Traps { unix_connect: true, ..Traps::default() }),
        ("opens", Traps { opens: true, ..Traps::default() }),
        ("reads-alone", Traps { opens: true, reads_alone: true, ..Traps::default() }),
        ("both", Traps { names: true, unix_connect: true, ..Traps::default() }),
        ("recorded", Traps { opens: true, unix_connect: true, looks: true, names: true, ..Traps::default() }),
    ];
    for (set, traps) in sets {
        for arch in Arch::ALL {
            let program = filter(&traps, arch).unwrap_or_else(|defect| panic!("{set} {arch}: {defect}"));
            let text = program.listing(&|nr| seccomp::name(arch, nr));
            let file = format!("tests/golden/broker-{set}-{arch}.txt");
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(&file);
            if std::env::var_os("WEIR_BLESS").is_some() {
                std::fs::write(&path, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
            let want = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text == want, "{file} differs; WEIR_BLESS=1 rewrites it");
        }
    }
}
