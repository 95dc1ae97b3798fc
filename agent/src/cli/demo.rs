//! `weir demo`.

use clap::Args;

use super::{Exit, output};
use crate::demo::{Demo, DemoError};
use crate::exec::events::Events;
use crate::exec::human::Human;
use crate::exec::{Outlet, Show};
use crate::model::Prices;

const EXAMPLES: &str = "\
Shows what Weir is for, on a small project in a temporary directory, without a key and without a network: a recorded model reads code, runs a
failing test, follows an instruction that somebody has hidden in the project and is refused a secret and a host, mends the fault and runs the
test again. Its words are recorded; all that it asks for is really done, or refused, here.

Exit codes:
  0      everything happened as it should
  125    it did not, and the message says what";

/// Options of `weir demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoOptions {
    /// Print the events of the session as JSON, one a line, as `weir exec --json` does
    #[arg(long)]
    json: bool,
    /// Keep the project, its configuration and the thread, and say where they are
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(options: &DemoOptions) -> Exit {
    match play(options) {
        Ok((text, told)) if text.is_empty() => told,
        Ok((text, told)) => output::message(&text, told),
        Err(error) => output::message(&format!("weir: {error}"), Exit::Failed),
    }
}

/// What is left to say, and whether all that was shown could be written.
fn play(options: &DemoOptions) -> Result<(String, Exit), DemoError> {
    let demo = Demo::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outlet = Outlet::to(&std::io::stdout());
    let show: &dyn Show = if options.json {
        &Events::new(outlet.clone())
    } else {
        output::text(&format!(
            "The profile, in config.toml:\n\n{}\nThe person asks: {}\n\n",
            indented(&demo),
            demo.prompt()
        ));
        &Human::new(outlet.clone(), Prices::new())
    };
    let played = runtime.block_on(demo.play(show));
    let told = output::written(outlet.finish());
    played?;
    let mut text = String::new();
    text.extend(demo.ground().remark().map(|remark| format!("{remark}\n")));
    if options.keep {
        text += &format!("the project and the thread are in {}\n", demo.keep().display());
    }
    Ok((text, told))
}

fn indented(demo: &Demo) -> String {
    demo.profile().lines().map(|line| format!("    {line}\n")).collect()
}
