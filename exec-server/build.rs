//! Links the compiler's runtime library into the program instead of loading it each time. The agent's package names this file as well.
//!
//! The standard library asks for the shared `libgcc_s`, of which it needs the unwinder. Loading it takes as long as a tenth of a whole sandbox:
//! mappings, relocations, and a constructor that asks the processor what it is, which a virtual machine answers slowly. The linker finds a script of that name
//! first, which names the same library's static parts.

use std::path::PathBuf;
use std::{env, fs, io};

/// What stands for the shared library.
const SCRIPT: &str = "GROUP ( libgcc_eh.a libgcc.a )\n";

fn main() -> io::Result<()> {
    // Of no file: a change of this one builds and runs it again anyway.
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_ENV");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !(is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")) {
        return Ok(());
    }
    let place = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(place.join("libgcc_s.so"), SCRIPT)?;
    println!("cargo::rustc-link-search=native={}", place.display());
    Ok(())
}
