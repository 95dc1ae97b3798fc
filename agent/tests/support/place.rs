//! A home and a project in a temporary directory, and `weir` in them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use weir_protocol::AbsPath;
use weir_protocol::method::policy::Standpoint;

/// The example of SPEC 1.1, byte for byte.
pub(crate) const EXAMPLE: &str = include_str!("../../../tests/samples/valid/spec-example.toml");

/// Builds the exec-server into the directory where this test's `weir` lies, once.
pub(crate) fn weir() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let weir = PathBuf::from(env!("CARGO_BIN_EXE_weir"));
            let built = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "-p", "weir-exec-server"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(built.unwrap().success());
            weir
        })
        .clone()
}

pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home/.weir", "home/.ssh", "project/sub"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    /// One on a host that can confine something; elsewhere none, and a skip.
    pub(crate) fn confining(test: &str) -> Option<Self> {
        let place = Self::new();
        if place.run(&["doctor"]).status.code() == Some(0) {
            return Some(place);
        }
        weir_tests::skip(&format!("run::{test}"), "this host confines no command");
        None
    }

    pub(crate) fn with_config(text: &str) -> Self {
        let place = Self::new();
        place.write("home/.weir/config.toml", text);
        place
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().canonicalize().unwrap().join(name).display().to_string()
    }

    pub(crate) fn at(&self, name: &str) -> AbsPath {
        AbsPath::from_host(Path::new(&self.path(name))).unwrap()
    }

    /// Where whoever works in the project stands.
    pub(crate) fn standpoint(&self) -> Standpoint {
        Standpoint {
            cwd: self.at("project"),
            project_roots: Vec::new(),
            home: self.at("home"),
            weir_home: self.at("home/.weir"),
            tmpdir: None,
        }
    }

    /// `program` in the project, in an environment that leads to nothing of the machine's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path().join("project"))
            .env("HOME", self.path("home"))
            .env("WEIR_SERVER", "none")
            .env_remove("WEIR_HOME")
            .env_remove("TMPDIR");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(weir().to_str().unwrap()).args(arguments).output().unwrap()
    }

    /// What `weir exec --json` tells with these arguments, and its exit code.
    pub(crate) fn events(&self, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
        let output = self.run(&[&["exec", "--json"], arguments].concat());
        let lines = text(&output.stdout);
        let events = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        (events.collect(), output.status.code())
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
