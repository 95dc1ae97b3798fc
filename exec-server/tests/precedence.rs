//! SPEC 1.1 and 1.2 as cases: which rule wins, what is implied, what is protected, where links lead, which hosts match.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

#[allow(dead_code, reason = "shared with the laws, which ask about more")]
#[path = "support/world.rs"]
mod world;

use weir_exec_server::profile::resolve::{Resolved, resolve};
use weir_protocol::policy::{Host, Operation, Policy, Request, StandIn};
use weir_protocol::profile::Format;
use world::{around, links, path};

/// The example of SPEC 1.1, byte for byte.
const EXAMPLE: &str = include_str!("../../tests/samples/valid/spec-example.toml");

fn resolved(body: &str, pairs: &[(&str, &str)]) -> Resolved {
    let pairs: Vec<_> = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    resolve("x", &world::profile(body, Format::Toml), &around(), &links(&pairs)).unwrap()
}

/// The policy of a profile whose `filesystem` table holds these lines.
fn filesystem(lines: &str, pairs: &[(&str, &str)]) -> Resolved {
    resolved(&format!("[permissions.x.filesystem]\n{lines}\n"), pairs)
}

fn access(policy: &Policy, text: &str) -> String {
    policy.access(&path(text)).to_string()
}

/// One profile and the access that it gives to each path.
fn check(lines: &str, pairs: &[(&str, &str)], expect: &[(&str, &str)]) {
    let policy = filesystem(lines, pairs).policy;
    let found: Vec<_> = expect.iter().map(|(text, _)| (*text, access(&policy, text))).collect();
    let expect: Vec<_> = expect.iter().map(|(text, access)| (*text, (*access).to_owned())).collect();
    assert_eq!(found, expect, "{lines}");
}

#[test]
fn the_rule_with_most_components_wins() {
    check(
        "\"/d\" = \"read\"\n\"/d/e\" = \"none\"\n\"/d/e/f\" = \"read\"\n\"/d/e/f/g\" = \"write\"\n\"/d/e/f/g/h\" = \"none\"",
        &[],
        &[
            ("/d", "read"),
            ("/d/other", "read"),
            ("/d/e", "none"),
            ("/d/e/x", "none"),
            ("/d/e/f/x", "read"),
            ("/d/e/f/g/x", "write"),
            ("/d/e/f/g/h/i", "none"),
            ("/d/ee", "read"),
            ("/dd", "none"),
            ("/nothing", "none"),
        ],
    );
}

#[test]
fn none_wins_over_write_over_read_for_one_path() {
    let link = [("/link", "/p/c")];
    check("\":cwd\" = \"read\"\n\":project_roots\" = \"write\"", &[], &[("/p/x", "write")]);
    check("\":cwd\" = \"none\"\n\":project_roots\" = \"write\"", &[], &[("/p/x", "none")]);
    check("\":cwd\" = \"none\"\n\"/p\" = \"read\"", &[], &[("/p/x", "none")]);
    check("\"~/x\" = \"write\"\n\"/home/u/x\" = \"none\"", &[], &[("/home/u/x", "none")]);
    check("\"/link\" = \"none\"\n\"/p/c\" = \"write\"", &link, &[("/p/c/d", "none"), ("/link", "none")]);
    check("\"/link\" = \"write\"\n\"/p/c\" = \"none\"", &link, &[("/p/c/d", "none"), ("/link", "write")]);
    check("\"/link\" = \"write\"", &link, &[("/p/c/d", "write"), ("/link/d", "write")]);
}

/// Who asks for a copy wants the place itself left alone.
#[test]
fn none_wins_over_copy_over_write_for_one_path() {
    check(
        "\":cwd\" = \"copy\"\n\":project_roots\" = \"write\"",
        &[],
        &[("/p/x", "copy"), ("/p/.git/config", "read")],
    );
    check("\":cwd\" = \"copy\"\n\":project_roots\" = \"read\"", &[], &[("/p/x", "copy")]);
    check("\":cwd\" = \"copy\"\n\":project_roots\" = \"none\"", &[], &[("/p/x", "none")]);
    check(
        "\":cwd\" = \"copy\"\n\"/p/out\" = \"write\"",
        &[],
        &[("/p/out/x", "write"), ("/p/out/.vscode", "read")],
    );
}

#[test]
fn patterns_deny_whatever_is_granted() {
    check(
        "\":project_roots\" = { \".\" = \"write\", \"**/*.env\" = \"none\", \"**/.secrets\" = \"none\", \"t?p/*.k\" = \"none\" }
\"/p/a/x.env\" = \"write\"\n\"/p/.secrets/open\" = \"read\"",
        &[],
        &[
            ("/p/x.env", "none"),
            ("/p/a/x.env", "none"),
            ("/p/a/b/c/d/e/f/x.env", "none"),
            ("/p/a/x.env/below", "none"),
            ("/p/a/x.envy", "write"),
            ("/p/.secrets/open", "none"),
            ("/p/deep/.secrets", "none"),
            ("/p/top/a.k", "none"),
            ("/p/top/deep/a.k", "write"),
            ("/p/toop/a.k", "write"),
        ],
    );
}

/// Whatever of a directory's name is named when it is shown.
#[test]
fn a_pattern_below_a_directory_is_below_that_very_one() {
    for name in ["plain", "a\u{200d}b", "a\u{ad}b", "a\u{202e}b", "\u{feff}", "a\u{a0}b", "\u{2764}\u{fe0f}"]
    {
        check(
            &format!("\"/d/{name}\" = {{ \".\" = \"write\", \"**/*.env\" = \"none\" }}"),
            &[],
            &[
                (&format!("/d/{name}/x.env"), "none"),
                (&format!("/d/{name}/a/b/x.env"), "none"),
                (&format!("/d/{name}/x"), "write"),
            ],
        );
        let policy = filesystem("", &[]).policy;
        let socket = path(&format!("/s/{name}"));
        let edit = policy.explain(&Request::UnixSocket { path: &socket }).edit.unwrap().to_string();
        let line = format!("{} = \"allow\"", weir_protocol::unseen::toml(&format!("/s/{name}")));
        assert!(edit.contains(&line), "{edit}");
    }
}

#[test]
fn metadata_of_a_writable_root_is_protected() {
    let root = "\":project_roots\" = \"write\"";
    check(
        root,
        &[],
        &[
            ("/p/.git/objects/ab/cd", "write"),
            ("/p/.git/index", "write"),
            ("/p/.git/HEAD", "write"),
            ("/p/.git/hooks/pre-commit", "read"),
            ("/p/.git/config", "read"),
            ("/p/.weir/config.toml", "read"),
            ("/p/.codex", "read"),
            ("/p/.agents", "read"),
            ("/p/.claude/settings.json", "read"),
            ("/p/.mcp.json", "read"),
            ("/p/.vscode/tasks.json", "read"),
            ("/p/.idea", "read"),
            ("/p/.bashrc", "read"),
            ("/p/sub/.vscode", "write"),
        ],
    );
    check(
        &format!("{root}\n\"/p/.git/hooks\" = \"write\""),
        &[],
        &[("/p/.git/hooks/x", "write"), ("/p/.git/config", "read")],
    );
    check(
        &format!("{root}\n\"/p/.git\" = \"read\""),
        &[],
        &[("/p/.git/hooks/x", "read"), ("/p/.git/index", "read")],
    );
    let opened = "[permissions.x.filesystem]\n\":project_roots\" = \"write\"\n[permissions.x.protected]\n\".git/hooks\" = false\n";
    let policy = resolved(opened, &[]).policy;
    assert_eq!([access(&policy, "/p/.git/hooks/x"), access(&policy, "/p/.git/config")], ["write", "read"]);
    // Where `.git` is a link inside the root, a host-side git runs what it leads to.
    check(
        root,
        &[("/p/.git", "meta")],
        &[("/p/meta/hooks/x", "read"), ("/p/meta/config", "read"), ("/p/meta/index", "write")],
    );
}

#[test]
fn what_a_program_needs_is_implied() {
    check(
        "\":project_roots\" = \"write\"",
        &[("/bin", "usr/bin"), ("/lib64", "/usr/lib64")],
        &[
            ("/usr/bin/git", "read"),
            ("/bin/sh", "read"),
            ("/lib64/ld.so", "read"),
            ("/etc/passwd", "read"),
            ("/etc/shadow", "none"),
            ("/etc/ssh/ssh_host_rsa_key", "none"),
            ("/etc/weir/requirements.toml", "none"),
            ("/home/u/.weir/config.toml", "none"),
            ("/dev/null", "write"),
            ("/dev/sda", "none"),
            ("/home/u/.ssh/id_ed25519", "none"),
            ("/home/u/notes", "none"),
            ("/var/lib/x", "none"),
        ],
    );
    check("\":minimal\" = \"none\"", &[], &[("/usr/bin/git", "none"), ("/dev/null", "none")]);
    check(
        "\":root\" = \"read\"\n\":secrets\" = \"none\"",
        &[],
        &[
            ("/var/lib/x", "read"),
            ("/home/u/.ssh/x", "none"),
            ("/home/other/.ssh/x", "none"),
            ("/etc/shadow", "none"),
            ("/etc/weir/x", "none"),
            ("/home/u/.weir/x", "none"),
        ],
    );
}

#[test]
fn an_ungranted_home_and_tmp_get_a_stand_in() {
    let kinds = |lines: &str, texts: &[&str]| -> Vec<Option<StandIn>> {
        let policy = filesystem(lines, &[]).policy;
        let stand_in = |text: &&str| policy.filesystem().stand_in(&path(text)).map(|private| private.kind);
        texts.iter().map(stand_in).collect()
    };
    let texts = ["/home/u/.cache", "/tmp/x", "/tmp/u/x", "/dev/shm/x", "/srv"];
    let (home, temporary) = (Some(StandIn::Home), Some(StandIn::Temporary));
    let shared = Some(StandIn::SharedMemory);
    assert_eq!(kinds("\":cwd\" = \"write\"", &texts), [home, temporary, temporary, shared, None]);
    assert_eq!(
        kinds("\":home\" = \"read\"\n\":slash_tmp\" = \"write\"", &texts),
        [None, None, None, shared, None]
    );
    assert_eq!(kinds("\"~/.cache\" = \"write\"", &["/home/u/.cache/x", "/home/u/.config"]), [None, home]);
}

#[test]
fn links_are_followed_only_where_no_command_can_put_them() {
    let planted = [("/p/l", "/home/u/.ssh"), ("/p/in", "a"), ("/out", "/srv/data")];
    let lines =
        "\":project_roots\" = \"write\"\n\"/p/l\" = \"read\"\n\"/p/in\" = \"write\"\n\"/out\" = \"read\"";
    check(
        lines,
        &planted,
        &[("/home/u/.ssh/id", "none"), ("/p/a/x", "write"), ("/srv/data/x", "read"), ("/out/x", "read")],
    );
    let found = filesystem(lines, &planted);
    assert_eq!(found.remarks.len(), 1, "{:?}", found.remarks);
    assert!(
        found.remarks[0].contains("/p/l") && found.remarks[0].contains("/home/u/.ssh"),
        "{:?}",
        found.remarks
    );
    let rule = found.policy.filesystem().rule_at(&path("/srv/data")).unwrap();
    assert_eq!(rule.via, Some(path("/out")));
    // A root that is itself a link: what lies below its real place is writable as well.
    let below = [("/p", "/data/real"), ("/data/real/l", "/home/u/.ssh")];
    check(lines, &below, &[("/data/real/x", "write"), ("/home/u/.ssh/id", "none")]);
    // A denial beside it makes the link no more trustworthy.
    check(
        "\"/p\" = \"write\"\n\":cwd\" = \"none\"\n\"/p/l\" = \"read\"",
        &planted,
        &[("/home/u/.ssh/id", "none"), ("/p/x", "none")],
    );
    // A denied link closes what it leads to, wherever it lies.
    check(
        "\":project_roots\" = \"write\"\n\"/srv\" = \"read\"\n\"/p/d\" = \"none\"",
        &[("/p/d", "/srv/x")],
        &[("/srv/x", "none"), ("/srv/y", "read")],
    );
    let long = format!("/srv/{}", "n".repeat(300));
    check("\"/out/x\" = \"read\"", &[("/out", &long)], &[("/srv", "none"), ("/", "none")]);
    let sockets = "[permissions.x.filesystem]\n\":project_roots\" = \"write\"\n[permissions.x.network]\nunix_sockets = [\"/p/s\", \"/run/link\"]\n";
    let policy = resolved(sockets, &[("/p/s", "/run/docker.sock"), ("/run/link", "/run/real")]).policy;
    let socket = |text| policy.verdict(&Request::UnixSocket { path: &path(text) }).allowed;
    assert_eq!(["/run/docker.sock", "/p/s", "/run/real", "/run/link"].map(socket), [false, true, true, true]);
}

#[test]
fn the_example_of_the_specification_means_what_it_says() {
    let text = EXAMPLE.replace("team-standard", "x");
    let policy = resolved(&text, &[]).policy;
    let cases = [
        ("/p/src/main.rs", Operation::Write, true),
        ("/p/sub/deep/er/than/four/x.env", Operation::Read, false),
        ("/p/sub/.secrets/key", Operation::Read, false),
        ("/usr/bin/git", Operation::Read, true),
        ("/usr/bin/git", Operation::Execute, true),
        ("/usr/bin/git", Operation::Write, false),
        ("/home/u/.ssh/id_ed25519", Operation::Read, false),
    ];
    for (text, operation, expect) in cases {
        assert_eq!(policy.verdict(&Request::Path { path: &path(text), operation }).allowed, expect, "{text}");
    }
    let explained =
        policy.explain(&Request::Path { path: &path("/usr/bin/git"), operation: Operation::Read });
    assert_eq!(explained.origin.unwrap().whence(), "implied");
    let explained = policy.explain(&Request::Path { path: &path("/p/a.env"), operation: Operation::Read });
    assert_eq!(explained.origin.unwrap().whence(), "test:4");
    hosts(
        &policy,
        &[
            ("registry.example.org", true),
            ("evil-registry.example.org", false),
            ("registry.example.org.evil.example", false),
            ("db.internal.example", true),
            ("internal.example", false),
        ],
    );
}

fn hosts(policy: &Policy, expect: &[(&str, bool)]) {
    let allowed = |text: &str| {
        let (text, port) =
            text.split_once(" port ").map_or((text, 443), |(text, port)| (text, port.parse().unwrap()));
        policy.verdict(&Request::Connect { host: &Host::parse(text).unwrap(), port }).allowed
    };
    let found: Vec<_> = expect.iter().map(|(text, _)| (*text, allowed(text))).collect();
    assert_eq!(found, expect);
}

fn network(lines: &str) -> Policy {
    resolved(&format!("[permissions.x.network]\n{lines}\n"), &[]).policy
}

#[test]
fn hosts_have_one_spelling_and_addresses_need_a_rule() {
    let listed = "enabled = true\ndomains = { \"api.example\" = \"allow\", \"**.corp.example\" = \"allow\", \"bad.corp.example\" = \"deny\", \"web.example:8443\" = \"allow\", \"*\" = \"deny\" }";
    hosts(
        &network(listed),
        &[
            ("API.Example.", true),
            ("corp.example", true),
            ("a.corp.example", true),
            ("bad.corp.example", false),
            ("BAD.corp.example.", false),
            ("web.example port 8443", true),
            ("web.example", false),
            ("8.8.8.8", false),
            ("::ffff:8.8.8.8", false),
            ("127.1", false),
            ("2130706433", false),
            ("0x7f000001", false),
            ("localhost", false),
            ("a.localhost", false),
            ("other.example", false),
        ],
    );
    // The host's own network is not the gate's, and nothing holds addresses there.
    let all = ["any.example", "8.8.8.8", "10.0.0.1", "169.254.169.254", "127.0.0.1", "::1"];
    hosts(&network("enabled = true"), &all.map(|host| (host, true)));
    hosts(
        &network("enabled = true\ndomains = { \"*\" = \"allow\" }"),
        &[
            ("any.example", true),
            ("8.8.8.8", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("169.254.169.254", false),
            ("2852039166", false),
            ("fe80::1", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
        ],
    );
    hosts(&network("enabled = true\ndomains = {}"), &[("any.example", false), ("8.8.8.8", false)]);
    hosts(&network("enabled = true\ndomains = []"), &[("any.example", false)]);
    hosts(&network("enabled = false\ndomains = { \"*\" = \"allow\" }"), &[("any.example", false)]);
    hosts(&network("mode = \"full\""), &[("any.example", false)]);
    hosts(
        &network("loopback = true"),
        &[("localhost", true), ("127.1", true), ("::1", true), ("any.example", false)],
    );
    let private = "enabled = true\ndomains = { \"*\" = \"allow\" }\nallow_private = [\"10.0.0.0/8\", \"169.254.0.0/16\"]";
    hosts(
        &network(private),
        &[("10.1.2.3", true), ("192.168.0.1", false), ("169.254.1.1", true), ("169.254.169.254", false)],
    );
    let metadata = "enabled = true\ndomains = { \"*\" = \"allow\" }\nallow_private = [\"169.254.0.0/16\", \"169.254.169.254/32\"]";
    hosts(&network(metadata), &[("169.254.169.254", true), ("169.254.170.2", false)]);
    hosts(
        &network("enabled = true\ndomains = { \"*\" = \"allow\" }\nallow_private = true"),
        &[("192.168.0.1", true), ("169.254.169.254", false)],
    );
    hosts(
        &network("enabled = true\ndomains = { \"10.0.0.1\" = \"allow\" }"),
        &[("10.0.0.1", true), ("10.0.0.2", false)],
    );
}

#[test]
fn narrowing_knows_the_addresses_that_need_a_rule() {
    let cases = [
        ("allow_private = [\"169.254.169.254/32\"]", "allow_private = true", false),
        ("allow_private = [\"10.0.0.0/24\"]", "allow_private = [\"10.0.0.0/8\"]", true),
        ("domains = { \"10.0.0.1\" = \"allow\" }", "mode = \"full\"", false),
        ("domains = { \"10.0.0.1\" = \"allow\" }", "allow_private = [\"10.0.0.0/8\"]", true),
        ("domains = { \"api.example\" = \"allow\" }", "mode = \"full\"", true),
    ];
    for (one, other, expect) in cases {
        let [one, other] = [one, other].map(|lines| network(&format!("enabled = true\n{lines}")));
        assert_eq!(one.narrower_than(&other), expect, "{:?}", one.excess_over(&other));
        let both = one.intersect(&other).policy;
        assert_eq!((both.narrower_than(&one), both.narrower_than(&other)), (true, true));
    }
}

#[test]
fn variables_pass_by_rule() {
    let cases = [
        ("", vec![("PATH", true), ("LC_ALL", true), ("MY_VAR", false), ("AWS_SECRET_ACCESS_KEY", false)]),
        ("inherit = \"all\"", vec![("MY_VAR", true), ("API_TOKEN", false), ("DB_PASSWORD", false)]),
        (
            "inherit = \"none\"\nallow = [\"FOO\", \"B*\"]",
            vec![("FOO", true), ("BAR", true), ("PATH", false), ("foo", false)],
        ),
        (
            "allow = [\"API_TOKEN\", \"B*\"]\ndeny = [\"BAD\"]",
            vec![("API_TOKEN", true), ("BAD", false), ("BAR", true)],
        ),
        ("deny = [\"*\"]", vec![("PATH", false)]),
        ("deny = [\"P?TH\"]", vec![("PATH", false), ("HOME", true)]),
        ("set = { PATH = \"/usr/bin\" }", vec![("PATH", false), ("HOME", true)]),
    ];
    for (lines, expect) in cases {
        let policy = resolved(&format!("[permissions.x.environment]\n{lines}\n"), &[]).policy;
        let allowed = |name: &'static str| policy.verdict(&Request::Environment { name }).allowed;
        let found: Vec<_> = expect.iter().map(|(name, _)| (*name, allowed(name))).collect();
        assert_eq!(found, expect, "{lines}");
    }
}

#[test]
fn a_policy_by_value_is_checked_like_a_document() {
    let policy = resolved("[permissions.x.environment]\ndeny = [\"GOOD\"]\n", &[]).policy;
    let text = serde_json::to_string(&policy).unwrap();
    assert!(serde_json::from_str::<Policy>(&text).is_ok());
    let broken = text.replace("\"value\":\"GOOD\"", "\"value\":\"[GOOD\"");
    assert_ne!(broken, text);
    assert!(serde_json::from_str::<Policy>(&broken).is_err());
}
