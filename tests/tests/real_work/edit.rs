//! Working on a project: version control, editors, shells.

use super::work::Work;

const GIT: &str = "set -e; for at in sub .; do mkdir -p $at; git init -q -b main $at; git -C $at config user.name n; git -C $at config user.email e@x; done; \
                   echo one > sub/s; git -C sub add s; git -C sub commit -q -m one; git submodule -q add ./sub; git submodule -q absorbgitdirs; \
                   git add -A; git commit -q -m one";

/// The repository is there before: the command may work in it, and not change what the host would later execute.
#[test]
fn git_works_in_a_repository_that_is_there() {
    use weir_tests::sandbox::{Way, World, finish};
    let script = "set -e; echo two > b; git add b; git commit -qm two; git checkout -qb side; echo three >> a; git stash -q; \
                  git stash pop -q; git commit -qam three; git checkout -q main; git merge -q side; git branch -d side -q; \
                  git worktree add -q ../work/tree 2>/dev/null; echo four > tree/c; git -C tree add c; git -C tree commit -qm four; \
                  git worktree remove --force tree; cd sub; echo two > s; git commit -qam two; git stash list; cd ..; git submodule -q status; \
                  git commit -qam sub; git log --oneline | wc -l; git status --short";
    Way::each_of(&[Way::Root, Way::User], "real_work::git", |way| {
        for profile in [None, Some(":workspace"), Some("test")] {
            let world = World::new(way);
            world.profile(r#"":project_roots" = "write""#, "");
            world.file("work/a", "one\n");
            let made = finish(world.command("sh").args(["-c", GIT]));
            assert_eq!(made.code, 0, "{}", made.stderr);
            let mut command = match profile {
                None => world.command("sh"),
                Some(profile) => world.weir(["--quiet", "--profile", profile]),
            };
            if profile.is_some() {
                command.arg("sh");
            }
            assert_eq!(finish(command.args(["-c", script])).text(), "4", "{way:?} {profile:?}");
        }
    });
}

#[test]
fn vim_edits() {
    Work {
        name: "vim",
        needs: &["vim"],
        files: &[("text", "an apple\nan apple\n")],
        script: "vim -es -u NONE -i NONE '+%s/apple/pear/' +wq text </dev/null; cat text",
        expect: "an pear\nan pear\n",
    }
    .check();
}

/// Five thousand files are made, renamed, read and removed.
#[test]
fn many_files_come_and_go() {
    Work {
        name: "files",
        needs: &["/usr/bin/python3"],
        files: &[],
        script: "/usr/bin/python3 - <<'END'\n\
                 import os\n\
                 for n in range(5000):\n    \
                     os.makedirs(f'd{n % 50}', exist_ok=True)\n    \
                     open(f'd{n % 50}/f{n}', 'w').write(str(n))\n\
                 for n in range(5000):\n    \
                     os.rename(f'd{n % 50}/f{n}', f'd{(n + 1) % 50}/g{n}')\n\
                 print(sum(int(open(f'd{(n + 1) % 50}/g{n}').read()) for n in range(5000)))\n\
                 for n in range(5000):\n    \
                     os.unlink(f'd{(n + 1) % 50}/g{n}')\n\
                 print(sum(len(names) for _, _, names in os.walk('.')))\n\
                 END",
        expect: "12497500\n0\n",
    }
    .check();
}

/// A shell with job control of its own, on a terminal of its own.
#[test]
fn bash_controls_its_jobs() {
    use weir_tests::sandbox::{Way, World, finish, programs};
    let script = "set -m; sh -c 'kill -STOP $$; echo resumed' & until jobs -s | grep -q Stopped; do :; done; \
                  fg %1 >/dev/null; sh -c 'kill -STOP $$; echo again' & until jobs -s | grep -q Stopped; do :; done; bg >/dev/null; \
                  wait; tty | grep -c pts; echo done";
    Way::each_of(&[Way::Root, Way::User], "real_work::jobs", |way| {
        let world = World::new(way);
        world.profile(r#"":project_roots" = "write""#, "");
        world.file("work/jobs.sh", script);
        let weir = programs().weir.display();
        for line in ["bash jobs.sh".to_owned(), format!("'{weir}' run --quiet -- bash jobs.sh")] {
            // An end of its input would be typed into the terminal.
            let (input, _open) = std::io::pipe().unwrap();
            let run = finish(world.command("script").args(["-qec", &line, "/dev/null"]).stdin(input));
            assert_eq!(run.text().replace('\r', ""), "resumed\nagain\n1\ndone", "{way:?} {line}");
        }
    });
}
