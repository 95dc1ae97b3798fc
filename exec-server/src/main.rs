//! The exec-server's binary.

use std::process::ExitCode;

/// Exit code for a failure of Weir itself.
const FAILED: u8 = 125;

const USAGE: &str = "\
weir-exec-server: the part of Weir that reads profiles and enforces them

Usage: weir-exec-server --stdio | --embedded

  --stdio     answer framed requests on standard input and output until the input ends
  --embedded  serve one client on the socket that is standard input, and run its command
  --version   print the version
  --help      print this

It is started by `weir`; people use `weir`.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--stdio"] => {
            match weir_exec_server::stdio::serve(std::io::stdin().lock(), std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => say(&format!("weir-exec-server: {error}")),
            }
        }
        #[cfg(target_os = "linux")]
        ["--embedded"] => weir_exec_server::embedded::run()
            .unwrap_or_else(|error| say(&format!("weir-exec-server: {error}"))),
        #[cfg(not(target_os = "linux"))]
        ["--embedded"] => say("weir-exec-server: commands are run on Linux only, so far"),
        ["--version"] => print(concat!("weir-exec-server ", env!("CARGO_PKG_VERSION"))),
        ["--help" | "-h"] => print(USAGE),
        _ => say(USAGE),
    }
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
