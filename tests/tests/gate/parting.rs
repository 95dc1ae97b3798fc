//! A command has ended and its gate still sends: whoever does not want to wait for that says so by a signal.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::sandbox::programs;

use super::peers::SLOW_PORT;
use super::programs::allow;
use super::wires::Wires;

/// Less than the gate would go on for, and more than anything else takes.
const SOON: Duration = Duration::from_secs(7);

/// How far signals lie apart.
const APART: Duration = Duration::from_millis(100);

#[test]
fn a_signal_ends_what_is_still_sent_and_it_is_told() {
    Wires::each("parting", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        for signal in [Signal::INT, Signal::TERM] {
            // The command itself heeds none, so that one which comes early changes nothing.
            let line = format!(
                "trap '' INT TERM; exec 3<>/dev/tcp/allowed.example/{SLOW_PORT}; head -c 4000000 /dev/zero >&3; echo sent"
            );
            let mut command = wires.host_command(programs().weir.to_str().unwrap());
            command.args(["run", "--", "bash", "-c", &line]).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let (mut said, mut told) = (String::new(), child.stderr.take().unwrap());
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
            let started = Instant::now();
            let (tell, heard) = mpsc::channel();
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = told.read_to_string(&mut text);
                let _ = tell.send(text);
            });
            let told = loop {
                let _ = kill_process(Pid::from_child(&child), signal);
                match heard.recv_timeout(APART) {
                    Ok(text) => break text,
                    Err(_) => assert!(started.elapsed() < 3 * SOON),
                }
            };
            let status = child.wait().unwrap();
            assert_eq!((said.as_str(), status.code()), ("sent\n", Some(0)), "{told}");
            assert!(told.contains("before all that it sent had gone out, and the rest is lost"), "{told}");
            assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        }
    });
}
