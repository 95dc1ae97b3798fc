//! A recorded run: what is looked at, changed and executed is taken down, and every call ends as it would without.

use std::path::Path;
use std::process::Command;

use weir_protocol::denial::Act;
use weir_protocol::policy::{Filesystem, FilesystemParts};
use weir_sandbox_linux::broker::{Event, Wait};
use weir_sandbox_linux::live::LiveRules;

use super::inside::{Rules, run};
use super::{as_each_user, differences, fresh, python};

const WAITS: [Wait; 2] = [Wait::Killable, Wait::Interruptible];

/// Nothing is closed; recording makes the broker perform every call that opens a file all the same.
fn no_rules() -> LiveRules {
    let filesystem = Filesystem::new(FilesystemParts::default());
    LiveRules::of(filesystem)
}

#[test]
fn calls_answer_as_the_kernel_does_while_they_are_recorded() {
    as_each_user("recorded::calls_answer_as_the_kernel_does_while_they_are_recorded", |dir| {
        let script = include_str!("same.py");
        let without = run(python(script, &fresh(dir, "place")), None);
        for (number, wait) in WAITS.into_iter().enumerate() {
            let rules = Rules::recorded(no_rules(), wait);
            let with = run(python(script, &fresh(dir, &format!("with{number}"))), Some(rules));
            let different = differences(&without.output, &with.output);
            assert!(different.is_empty(), "{}", different.join("\n"));
            assert!(with.served > 400, "{}", with.served);
        }
    });
}

/// What was told of, by act and path below the directory.
fn told(events: &[Event], dir: &Path) -> Vec<(Act, String)> {
    let one = |event: &Event| match event {
        Event::Used { act, path, .. } => {
            let path = String::from_utf8_lossy(path).into_owned();
            Some((*act, path.strip_prefix(&format!("{}/", dir.display()))?.to_owned()))
        }
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

const LINE: &str = "test -e seen; test -e missing; test -x link; test -L dangling; chmod 600 changed; \
                    touch -h -d @1 lnk; cat read >/dev/null; test -e read; ./script; /bin/stat -L -c %s dir/. >/dev/null; cd dir";

#[test]
fn what_is_looked_at_changed_and_executed_is_told_once() {
    as_each_user("recorded::what_is_looked_at_changed_and_executed_is_told_once", |dir| {
        for (number, wait) in WAITS.into_iter().enumerate() {
            let place = fresh(dir, &format!("place{number}")).canonicalize().unwrap();
            for name in ["seen", "behind", "changed", "read", "target"] {
                std::fs::write(place.join(name), "x").unwrap();
            }
            std::fs::create_dir(place.join("dir")).unwrap();
            for (link, target) in [("link", "behind"), ("dangling", "nothing"), ("lnk", "target")] {
                std::os::unix::fs::symlink(target, place.join(link)).unwrap();
            }
            std::fs::copy("/bin/true", place.join("true")).unwrap();
            std::fs::write(place.join("script"), format!("#!{}/true -x\n", place.display())).unwrap();
            std::fs::set_permissions(
                place.join("script"),
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .unwrap();
            let mut command = Command::new("/bin/sh");
            command.args(["-c", LINE]).current_dir(&place);
            let done = run(command, Some(Rules::recorded(no_rules(), wait)));
            assert!(done.status.success(), "{}", done.output);
            let told = told(&done.events, &place);
            let want = [
                (Act::Look, "seen"),
                (Act::Look, "link"),
                (Act::Look, "behind"),
                (Act::Look, "dangling"),
                (Act::Alter, "changed"),
                (Act::Alter, "lnk"),
                (Act::Read, "read"),
                (Act::Execute, "script"),
                (Act::Execute, "true"),
                (Act::Look, "dir"),
            ];
            for (act, path) in want {
                let count = told.iter().filter(|one| **one == (act, path.to_owned())).count();
                assert_eq!(count, 1, "{act} {path}: {told:?}");
            }
            for never in ["missing", "nothing", "target"] {
                assert!(!told.iter().any(|(_, path)| path == never), "{never}: {told:?}");
            }
            assert!(!told.contains(&(Act::Look, "read".to_owned())), "{told:?}");
            // The loader of a program stands in its file.
            let loader = std::fs::canonicalize("/lib64/ld-linux-x86-64.so.2")
                .or_else(|_| std::fs::canonicalize("/lib/ld-linux-aarch64.so.1"));
            let loader = loader.unwrap().into_os_string().into_encoded_bytes();
            let is_loader = |event: &&Event| matches!(event, Event::Used { act: Act::Execute, path, .. } if *path == loader);
            assert_eq!(done.events.iter().filter(is_loader).count(), 1);
        }
    });
}
