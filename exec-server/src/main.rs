//! The exec-server's binary.

use std::process::ExitCode;

/// Exit code for a failure of Weir itself.
const FAILED: u8 = 125;

const USAGE: &str = "\
weir-exec-server: the part of Weir that reads profiles and enforces them

Usage: weir-exec-server --listen [SOCKET] [OPTIONS] | --stdio [OPTIONS] | --answer | --embedded

  --listen    serve every user who may connect; on what a service manager hands over, or on SOCKET
              (default: /run/weir/exec-server.sock as root, else $XDG_RUNTIME_DIR/weir/exec-server.sock)
      --group NAME          those of this group may connect as well (default: the owner alone)
      --server-user NAME    as root: the user of the parts that read clients (default: weir)
      --state DIR           where output goes that memory does not hold
                            (default: /var/lib/weir as root, else $XDG_STATE_HOME/weir or ~/.local/state/weir)
      --audit PATH|none     where decisions are recorded, one line of JSON each (default: audit.jsonl in the state directory)
      --kernel-audit enable|as-found
                            as root: switch the kernel's audit on where it is off, so that it tells what Landlock refuses, and off
                            again at the end (default: as-found)
      --max-commands N      commands of one user at once (default: 1024)
      --max-connections N   connections of one user at once (default: 256)
      --idle-exit SECONDS   end when nobody has been served for so long
      --stop-after SECONDS  let what runs go on for so long when told to stop (default: 10)
    SIGHUP reads the requirements again. SIGTERM stops the server: what has not ended after that time is ended, its output is
    delivered, and a second SIGTERM ends everything at once. A service manager hears of it all (Type=notify).

  --stdio     serve whoever is at the other end of standard input and output, as in `ssh HOST weir-exec-server --stdio`: by the server
              that runs, or else by one for this connection alone (OPTIONS as above; --alone, as the first, for that in any case)
  --answer    answer questions about policies on standard input and output, and run nothing
  --embedded  serve one client on the socket that is standard input, and run its command
  --version   print the version
  --help      print this

It is started by `weir`; people use `weir`.";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == "--listen" => return listen(words),
        Some(word) if word == "--stdio" => return remote(words),
        _ => {}
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--answer"] => {
            match weir_exec_server::stdio::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => say(&format!("weir-exec-server: {error}")),
            }
        }
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        ["--embedded"] => weir_exec_server::embedded::run()
            .unwrap_or_else(|error| say(&format!("weir-exec-server: {error}"))),
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        ["--embedded"] => say("weir-exec-server: commands are run on Linux and macOS only"),
        ["--version"] => print(concat!("weir-exec-server ", env!("CARGO_PKG_VERSION"))),
        ["--help" | "-h"] => print(USAGE),
        _ => say(USAGE),
    }
}

#[cfg(target_os = "linux")]
fn listen(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    weir_exec_server::daemon::run(words).unwrap_or_else(|error| say(&format!("weir-exec-server: {error}")))
}

#[cfg(target_os = "linux")]
fn remote(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    weir_exec_server::daemon::run_remote(words)
        .unwrap_or_else(|error| say(&format!("weir-exec-server: {error}")))
}

#[cfg(not(target_os = "linux"))]
fn remote(words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    listen(words)
}

#[cfg(not(target_os = "linux"))]
fn listen(_words: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    say("weir-exec-server: a server for several users runs on Linux only, so far")
}

#[expect(clippy::print_stdout, reason = "help and version go to standard output")]
fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "the one message of a failure goes to standard error")]
fn say(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(FAILED)
}
