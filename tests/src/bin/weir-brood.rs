//! A command that starts all kinds of processes and waits for ever: what a test of ending things lets loose.
//!
//!     weir-brood MARK
//!
//! The mark is in the argument list of every one of them. It prints `ready` when all have been started, so that a test can
//! strike before or after. Nothing here ends by itself but the links of the chain.

use std::io::Write as _;

/// Children that have children.
const FAMILIES: usize = 3;

/// Processes of the chain, each of which starts the next one and ends.
const LINKS: usize = 150;

fn main() {
    for _ in 0..FAMILIES {
        child(|| {
            child(|| wait());
            wait()
        });
    }
    // A daemon by one fork, and one by two, deaf to what can be heard.
    child(|| {
        own_session();
        wait()
    });
    child(|| {
        own_session();
        child(|| {
            deaf();
            wait()
        });
    });
    child(|| chain(LINKS));
    let _ = std::io::stdout().write_all(b"ready\n");
    wait()
}

/// Goes on as another process, and yet another.
fn chain(links: usize) {
    if links == 0 {
        wait()
    }
    child(|| chain(links - 1));
}

fn child(act: impl FnOnce()) {
    // SAFETY: this program has one thread, so the child may go on with all of its memory.
    if unsafe { libc::fork() } == 0 {
        act();
        std::process::exit(0)
    }
}

fn own_session() {
    // SAFETY: changes this process only.
    unsafe { libc::setsid() };
}

fn deaf() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
        // SAFETY: ignores a signal.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn wait() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}
