//! Runs a command on the exec-server that is running, and prints what is proved of its output.
//!
//! ```sh
//! weir-exec-server --listen &
//! cargo run --example carried -- seq 1000000 >numbers
//! ```
//!
//! The command stays when the connection breaks: the session connects again and goes on with the next byte.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use weir_agent::link::{Session, SessionError, Which, reach};
use weir_protocol::AbsPath;
use weir_protocol::method::output::{Output, WhenLeft};
use weir_protocol::method::policy::{Choice, Standpoint};
use weir_protocol::method::process::{End, Start, Stdio};

fn main() -> ExitCode {
    let outcome = run();
    let (text, code) = match &outcome {
        Ok((text, code)) => (text.clone(), *code),
        Err(error) => (format!("{error}\n"), ExitCode::FAILURE),
    };
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

fn run() -> Result<(String, ExitCode), SessionError> {
    // The server that `$WEIR_SERVER` names, or this user's, or the system's.
    let mut session = Session::new(reach(&Which::Found)?)?;
    let started = session.start(start())?;
    // No faster than standard output takes it; to the last byte, and not one that was not written.
    let finished = session.copy(started.id, &mut std::io::stdout().lock(), &mut std::io::sink())?;
    session.forget(started.id)?;
    let mut text = format!("under {}, digest {}\n", started.enforcement.profile, started.enforcement.digest);
    for verified in finished.streams {
        text += &format!("{:?}: {} bytes, {} missing\n", verified.stream, verified.bytes, verified.missing);
    }
    let code = match finished.exited.end {
        End::Exited { code } => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        _ => ExitCode::FAILURE,
    };
    Ok((text, code))
}

/// The words of the command line, in this directory, under the profile in force here.
fn start() -> Start {
    let text = |value: std::ffi::OsString| value.to_string_lossy().as_ref().into();
    let at = |path: &Path| AbsPath::from_host(path);
    let cwd = std::env::current_dir().ok().as_deref().and_then(at).unwrap_or_else(AbsPath::root);
    let home = std::env::var_os("HOME").and_then(|home| at(Path::new(&home))).unwrap_or_else(AbsPath::root);
    Start {
        choice: Choice {
            standpoint: Standpoint {
                cwd,
                project_roots: Vec::new(),
                weir_home: home.join(".weir").unwrap_or_else(|_| home.clone()),
                home,
                tmpdir: None,
            },
            config: None,
            profile: None,
            read: Vec::new(),
            write: Vec::new(),
            copy: Vec::new(),
            deny: Vec::new(),
        },
        argv: std::env::args_os().skip(1).map(text).collect(),
        env: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        set: Vec::new(),
        stdio: Stdio::Pipes { input: false },
        timeout_ms: None,
        user: None,
        output: Output { when_left: WhenLeft::Stay, ..Output::default() },
        umask: None,
        under: None,
        asking: None,
        record: None,
    }
}
