//! One lesson: learn a command, run it again under what was proposed, and try what it did not need.

use std::path::Path;
use std::process::Command;

use weir_tests::sandbox::{Run, Way, World, finish, programs};

/// The ways in which there are copies.
pub(crate) const WAYS: [Way; 2] = [Way::Root, Way::User];

/// A world with things that no lesson needs: a file outside of the project, and a secret.
pub(crate) struct Lesson {
    pub(crate) world: World,
}

impl Lesson {
    /// Gives it in each way with a copy.
    pub(crate) fn each(name: &str, give: impl Fn(&Self)) {
        Way::each_of(&WAYS, &format!("learn::{name}"), |way| {
            let world = World::new(way);
            world.file("other/file", "not needed");
            world.file("home/.ssh/id_test", "secret");
            give(&Self { world });
        });
    }

    /// `weir learn OPTIONS… -- WORDS…`; the proposal goes to `learned.toml`.
    pub(crate) fn learn(&self, options: &[&str], words: &[&str]) -> Run {
        finish(&mut self.learning(options, words))
    }

    pub(crate) fn learning(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = self.world.command(&programs().weir);
        command.args(["learn", "--output"]).arg(self.file()).args(options).arg("--").args(words);
        command
    }

    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.world.at("learned.toml")
    }

    /// What was proposed.
    pub(crate) fn proposal(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// The rules for files that were proposed.
    pub(crate) fn rules(&self) -> toml::Table {
        self.table("filesystem")
    }

    /// One table of the profile that was proposed.
    pub(crate) fn table(&self, name: &str) -> toml::Table {
        self.whole()[name].as_table().unwrap().clone()
    }

    /// All of the profile.
    pub(crate) fn whole(&self) -> toml::Table {
        let table: toml::Table = self.proposal().parse().unwrap();
        table["permissions"]["learned"].as_table().unwrap().clone()
    }

    /// Runs a command under the proposal.
    pub(crate) fn held(&self, words: &[&str]) -> Run {
        finish(&mut self.holding(words))
    }

    pub(crate) fn holding(&self, words: &[&str]) -> Command {
        let mut command = self.world.command(&programs().weir);
        command.args(["run", "--config"]).arg(self.file()).arg("--").args(words);
        command
    }

    /// What the lesson did not need cannot be read under the proposal; without it, it can.
    pub(crate) fn not_beside(&self, path: &str) {
        let path = self.world.at(path).display().to_string();
        assert_ne!(self.held(&["cat", &path]).code, 0, "{path}\n{}", self.proposal());
        assert_eq!(self.world.outside(["cat", path.as_str()]).code, 0);
    }

    /// Learns what succeeds without Weir, and holds the proposal to it: the command does the same again, nothing of the project has
    /// changed in between, and what it did not need is out of reach.
    pub(crate) fn teach(&self, words: &[&str], expect: &str) {
        let before = self.content();
        let learnt = self.learn(&[], words);
        assert_eq!(learnt.code, 0, "{words:?}: {}", learnt.stderr);
        assert_eq!(learnt.text(), expect, "{}", learnt.stderr);
        assert_eq!(self.content(), before, "learning changed something");
        self.nothing_else();
        let again = self.held(words);
        assert_eq!(again.code, 0, "{}\n{}", again.stderr, self.proposal());
        assert_eq!(again.text(), expect, "{}", again.stderr);
        // The control: without Weir it does the same.
        assert_eq!(self.world.outside(words).text(), expect);
    }

    /// What no lesson needs cannot be read under the proposal; without it, it can.
    pub(crate) fn nothing_else(&self) {
        self.not_beside("other/file");
        self.not_beside("home/.ssh/id_test");
        let other = self.world.at("other/new").display().to_string();
        assert_ne!(self.held(&["touch", &other]).code, 0);
        assert!(!Path::new(&other).exists());
    }

    /// Every name in the project, with kind, size, mode and time.
    fn content(&self) -> String {
        self.world.outside(["find", ".", "-printf", "%P %y %s %m %T@\n"]).text()
    }
}
