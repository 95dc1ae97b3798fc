//! `weir-skips check LIST LOG FACT=yes|no…` compares a run's skips with the expected ones; `weir-skips record ID REASON`
//! records a skip from a test that is no Rust program. `.ci/run` calls the first. Exit code: 0 as expected, 1 unexpected
//! skips, 2 the comparison could not be made.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::{env, fs};

use weir_tests::skip::account::{Account, AccountError, Facts, account, read_fact};

const UNEXPECTED: u8 = 1;
const NOT_COMPARED: u8 = 2;

/// Why no comparison was made.
#[derive(Debug, thiserror::Error)]
enum SkipsError {
    #[error("usage: weir-skips check LIST LOG FACT=yes|no… | weir-skips record ID REASON")]
    Usage,
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do when stderr is closed as well.
            let _ = writeln!(io::stderr(), "weir-skips: {error}");
            ExitCode::from(NOT_COMPARED)
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, SkipsError> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check", list, log, facts @ ..] => {
            let facts: Facts = facts.iter().map(|fact| read_fact(fact)).collect::<Result<_, _>>()?;
            print(&account(&read(list)?, &read(log)?, &facts)?)
        }
        ["record", id, reason] => {
            weir_tests::skip(id, reason);
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(SkipsError::Usage),
    }
}

fn read(path: &str) -> Result<String, SkipsError> {
    fs::read_to_string(path).map_err(|source| SkipsError::Read { path: path.to_owned(), source })
}

fn print(account: &Account) -> Result<ExitCode, SkipsError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{} skipped as expected", account.as_expected)?;
    for id in &account.ran {
        writeln!(out, "expected to be skipped, but ran: {id}")?;
    }
    for skip in &account.unexpected {
        writeln!(out, "UNEXPECTED SKIP {}: {}", skip.id, skip.reason)?;
    }
    Ok(if account.unexpected.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNEXPECTED) })
}
