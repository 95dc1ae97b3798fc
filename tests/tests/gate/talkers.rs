//! Programs that speak something else than HTTP, or more: git over https and ssh, psql.

use std::process::Command;

use weir_tests::sandbox::finish;
use weir_tests::skip;

use super::programs::{allow, fails};
use super::servers;
use super::wires::Wires;

/// Makes a repository of root's with one file, `repo.git` in `served`.
fn repository(wires: &Wires) {
    let script = "git init -q --bare repo.git && git init -q tree && cd tree && echo text > file && git add file && \
                  git -c user.name=n -c user.email=e commit -qm m && git push -q ../repo.git HEAD:refs/heads/main && \
                  cd ../repo.git && git symbolic-ref HEAD refs/heads/main && git update-server-info";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(wires.world.directory("served"));
    let made = finish(command.env("HOME", wires.world.at("home")));
    assert_eq!(made.code, 0, "{}", made.stderr);
}

#[test]
fn git_clones_over_https() {
    Wires::each("git_https", |wires| {
        repository(wires);
        wires.peers.serve_files(wires.world.at("served"));
        let clone = |url: &'static str, to: &'static str| ["git", "clone", "-q", url, to];
        let (allowed, denied) =
            ("https://git.example/files/repo.git", "https://denied.example/files/repo.git");
        for (url, to) in [(allowed, "outside"), (denied, "outside-too")] {
            let run = wires.outside(&clone(url, to));
            assert_eq!(run.code, 0, "the control: {}", run.stderr);
        }
        for (mode, to) in [("full", "full"), ("limited", "limited")] {
            wires.profile(&format!("mode = \"{mode}\"\n{}", allow(&["git.example"])));
            let run = wires.run(&clone(allowed, to));
            assert_eq!(run.code, 0, "{mode}: {}", run.stderr);
            assert_eq!(wires.run(&["cat", &format!("{to}/file")]).text(), "text");
            let refused = fails(wires, &clone(denied, "refused"));
            assert!(refused.stderr.contains("denied.example"), "{mode}: {}", refused.stderr);
        }
    });
}

#[test]
fn git_clones_over_ssh() {
    Wires::each("git_ssh", |wires| {
        repository(wires);
        let Some(_server) = servers::sshd(wires) else {
            return skip("gate::git_ssh", "there is no sshd");
        };
        let ssh = "core.sshCommand=ssh -F /dev/null -i key -o BatchMode=yes -o StrictHostKeyChecking=no \
                   -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10";
        let url = |host: &str| format!("ssh://root@{host}{}", wires.world.at("served/repo.git").display());
        let clone = |host: &str, to: &str| {
            ["git", "-c", ssh, "clone", "-q", &url(host), to].map(str::to_owned).to_vec()
        };
        let run = |words: Vec<String>| wires.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for (host, to) in [("ssh.example", "outside"), ("denied.example", "outside-too")] {
            let words = clone(host, to);
            let run = wires.outside(&words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(run.code, 0, "the control: {}", run.stderr);
        }
        wires.profile(&allow(&["ssh.example:22"]));
        let cloned = run(clone("ssh.example", "inside"));
        assert_eq!(cloned.code, 0, "{}", cloned.stderr);
        assert_eq!(wires.run(&["cat", "inside/file"]).text(), "text");
        let refused = run(clone("denied.example", "refused"));
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("denied.example"), "{}", refused.stderr);
        wires.profile(&format!("mode = \"limited\"\n{}", allow(&["ssh.example"])));
        let refused = run(clone("ssh.example", "limited"));
        assert_ne!(refused.code, 0);
        assert!(refused.stderr.contains("HTTP alone"), "{}", refused.stderr);
    });
}

#[test]
fn psql_asks_an_allowed_database() {
    Wires::each("psql", |wires| {
        let Some(_server) = servers::postgres(wires) else {
            return skip("gate::psql", "there is no PostgreSQL");
        };
        let ask = |host: &'static str| {
            ["psql", "-h", host, "-U", "tester", "-tAc", "select 40 + 2, repeat('x', 3)", "postgres"]
        };
        for host in ["db.example", "denied.example"] {
            assert_eq!(wires.outside(&ask(host)).text(), "42|xxx", "the control");
        }
        wires.profile(&allow(&["db.example:5432"]));
        assert_eq!(wires.run(&ask("db.example")).text(), "42|xxx");
        let refused = fails(wires, &ask("denied.example"));
        assert!(refused.stderr.contains("denied.example"), "{}", refused.stderr);
    });
}
