//! `weir ps`: the commands that a server keeps.

use std::time::SystemTime;

use clap::Args;
use weir_protocol::audit::since_1970_ms;
use weir_protocol::method::output::{List, Listed};

use super::super::run::{duration, end_word};
use super::super::{Exit, output};
use super::Asking;
use crate::link::SessionError;

const EXAMPLES: &str = "\
Examples:
  weir ps
  weir ps --json | jq '.commands[] | select(.exited == null) | .id'

Exit codes: 0 done, 2 bad options, 125 Weir failed or no server runs.";

/// Options of `weir ps`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct PsOptions {
    #[command(flatten)]
    asking: Asking,
}

pub(in super::super) fn ps(options: &PsOptions) -> Exit {
    options.asking.end(list(&options.asking))
}

fn list(asking: &Asking) -> Result<Exit, SessionError> {
    let commands = asking.session()?.list()?;
    if asking.json {
        return Ok(output::json(&List { commands }));
    }
    Ok(output::text(&table(&commands, since_1970_ms(SystemTime::now()))))
}

const HEAD: [&str; 6] = ["ID", "PROFILE", "AGE", "STATE", "WRITTEN", "COMMAND"];

/// The command comes last, however long it is.
fn table(commands: &[Listed], now_ms: u64) -> String {
    super::super::table::table(HEAD, commands.iter().map(|listed| row(listed, now_ms)))
}

fn row(listed: &Listed, now_ms: u64) -> [String; 6] {
    let age_s = now_ms.saturating_sub(listed.started_ms) / 1000;
    let [output, error] = listed.written;
    let written = if listed.carried { (output + error).to_string() } else { "-".to_owned() };
    let cut = listed.whole_argv.is_some().then(|| "…".to_owned());
    let argv: Vec<_> = listed.argv.iter().map(ToString::to_string).chain(cut).collect();
    [
        listed.id.to_string(),
        listed.profile.clone(),
        duration::text(age_s * 1000),
        state(listed),
        written,
        argv.join(" "),
    ]
}

fn state(listed: &Listed) -> String {
    match (listed.exited.as_ref().map(|exited| exited.end), listed.owned) {
        (None, _) if listed.background.is_some() => "background".to_owned(),
        (None, true) => "attached".to_owned(),
        (None, false) => "running".to_owned(),
        (Some(end), _) => end_word(end),
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::ByteString;
    use weir_protocol::method::process::{End, Exited, Usage};

    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_command() {
        let listed = |id, exited, carried| Listed {
            id,
            pid: 7,
            argv: vec!["sh".into(), ByteString(b"a\nb".to_vec())],
            whole_argv: (id == 20).then(|| "1".repeat(64).parse().unwrap()),
            profile: ":workspace".to_owned(),
            digest: "0".repeat(64).parse().unwrap(),
            started_ms: 1000,
            written: [10, 5],
            owned: id == 1,
            terminal: false,
            carried,
            when_left: Default::default(),
            background: None,
            exited,
            is_end_cut: false,
        };
        let end = End::Signalled { signal: 9 };
        let (denials, sight, unreached, new_repositories, stuck) = Default::default();
        let (usage, recorded) = (Usage::default(), None);
        let exited =
            Exited { id: 2, end, usage, denials, sight, unreached, new_repositories, recorded, stuck };
        let told = table(&[listed(1, None, true), listed(20, Some(exited), false)], 62_500);
        let expect = "\
ID  PROFILE     AGE   STATE     WRITTEN  COMMAND
1   :workspace  1m1s  attached  15       sh a\\nb
20  :workspace  1m1s  signal 9  -        sh a\\nb …
";
        assert_eq!(told, expect);
    }
}
