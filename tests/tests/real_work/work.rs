//! One piece of work, done outside and inside.

use std::path::Path;
use std::process::Command;

use weir_tests::sandbox::{Run, Way, World, finish};

/// Files, and a script of bash that works on them.
pub(crate) struct Work<'a> {
    /// Names the work in skips.
    pub(crate) name: &'a str,
    /// Programs without which it cannot be done.
    pub(crate) needs: &'a [&'a str],
    pub(crate) files: &'a [(&'a str, &'a str)],
    pub(crate) script: &'a str,
    /// The whole standard output.
    pub(crate) expect: &'a str,
}

/// The file rules of the example profile: what matches the patterns is closed.
const EXAMPLE: &str = "\":project_roots\" = { \".\" = \"write\", \"**/*.env\" = \"none\", \"**/.secrets\" = \"none\" }\n\
                       glob_scan_max_depth = 4\n";

/// Under which profiles a command is held.
const PROFILES: [&str; 2] = [":workspace", "test"];

impl Work<'_> {
    /// Does it in the ways that hold the profiles in full.
    pub(crate) fn check(&self) {
        let id = format!("real_work::{}", self.name);
        if let Some(missing) = self.needs.iter().find(|program| !has(program)) {
            return weir_tests::skip(&id, &format!("no `{missing}` here"));
        }
        Way::each_of(&[Way::Root, Way::User], &id, |way| {
            let world = self.world(way);
            let mut outside = world.command("bash");
            self.held("outside", way, &finish(outside.args(["-c", self.script])));
            for profile in PROFILES {
                let world = self.world(way);
                let mut inside = world.weir(["--quiet", "--profile", profile]);
                self.held(profile, way, &finish(inside.args(["bash", "-c", self.script])));
            }
        });
    }

    fn world(&self, way: Way) -> World {
        let world = World::new(way);
        world.profile(EXAMPLE, "");
        for (name, content) in self.files {
            world.file(Path::new("work").join(name), content);
        }
        world
    }

    fn held(&self, profile: &str, way: Way, run: &Run) {
        let told = String::from_utf8_lossy(&run.stdout);
        assert_eq!((run.code, &*told), (0, self.expect), "{way:?}, {profile}: {}", run.stderr);
    }
}

/// Whether a program can be found and run by every user.
pub(crate) fn has(program: &str) -> bool {
    let mut command = Command::new("sh");
    command.env("PATH", weir_tests::sandbox::PATH).args(["-c", "command -v \"$0\"", program]);
    command.output().is_ok_and(|output| output.status.success())
}
