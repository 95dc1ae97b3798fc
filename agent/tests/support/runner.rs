//! `weir` with an exec-server: the real one beside it, one that runs already, or one that plays and confines nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::daemon::Daemon;
use super::place::{Place, weir};

/// A `weir` and the place in which it runs.
pub(crate) struct Runner {
    pub(crate) place: Place,
    weir: PathBuf,
    daemon: Option<Daemon>,
}

impl Runner {
    /// Beside the exec-server of the tests.
    pub(crate) fn fake() -> Self {
        let place = Place::new();
        let bin = place.dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/weir-exec-server.py");
        std::fs::copy(server, bin.join("weir-exec-server")).unwrap();
        let copy = bin.join("weir");
        if std::fs::hard_link(env!("CARGO_BIN_EXE_weir"), &copy).is_err() {
            std::fs::copy(env!("CARGO_BIN_EXE_weir"), &copy).unwrap();
        }
        place.write("log", "");
        Self { place, weir: copy, daemon: None }
    }

    /// Beside the real one; none where this host can confine nothing.
    fn real(test: &str) -> Option<Self> {
        Place::confining(test).map(|place| Self { place, weir: weir(), daemon: None })
    }

    /// With one that runs already.
    fn served(real: &Self) -> Self {
        let place = Place::new();
        let daemon = Daemon::start(place.dir.path());
        Self { place, weir: real.weir.clone(), daemon: Some(daemon) }
    }

    /// All, for what must be the same with all.
    pub(crate) fn each(test: &str) -> Vec<Self> {
        let real = Self::real(test);
        let served = real.as_ref().map(Self::served);
        std::iter::once(Self::fake()).chain(real).chain(served).collect()
    }

    fn server(&self) -> &str {
        self.daemon.as_ref().map_or("none", Daemon::path)
    }

    /// `weir run` with `options` and the words of a command.
    pub(crate) fn command(&self, options: &[&str], command: &[&str]) -> Command {
        let mut out = self.place.command(self.weir.to_str().unwrap());
        out.args(["run", "--server", self.server()])
            .args(options)
            .args(command)
            .env("FAKE_LOG", self.place.path("log"));
        out
    }

    pub(crate) fn run(&self, options: &[&str], command: &[&str]) -> Output {
        self.command(options, command).output().unwrap()
    }

    /// As a line for a shell.
    pub(crate) fn line(&self, arguments: &str) -> String {
        format!("'{}' run --server '{}' {arguments}", self.weir.display(), self.server())
    }

    /// What the server of the tests was sent.
    pub(crate) fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.place.path("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The parameters of the one start or plan.
    pub(crate) fn params(&self) -> Value {
        self.log().into_iter().find(|line| line["method"].is_string()).unwrap()["params"].clone()
    }
}
