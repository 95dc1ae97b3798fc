//! Limited mode with real programs, which trust what they find inside.

use super::peers::{INNER, SILENT, UNTRUSTED};
use super::programs::{allow, askers, with};
use super::wires::Wires;

fn limited(names: &[&str]) -> String {
    format!("mode = \"limited\"\n{}", allow(names))
}

#[test]
fn programs_ask_over_inspected_https_and_change_nothing() {
    Wires::each("limited", |wires| {
        wires.profile(&limited(&["allowed.example"]));
        let curl = ["curl", "-sS"].map(str::to_owned).to_vec();
        for words in [curl].into_iter().chain(askers(wires, "limited")) {
            let is_curl = words[0] == "curl";
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://allowed.example/x");
                let asked = wires.run(&with(&words, &[&url]));
                assert!(
                    asked.text().contains(&format!("GET {scheme} allowed.example /x 0")),
                    "{words:?}: {asked:?}"
                );
                wires.peers.heard();
                let post =
                    if is_curl { with(&words, &["-d", "abc", &url]) } else { with(&words, &[&url, "abc"]) };
                let refused = wires.run(&post).text();
                let expect = format!(
                    "weir: POST {url} was refused: `mode = \"limited\"` allows GET, HEAD and OPTIONS alone"
                );
                assert!(refused.contains(&expect), "{words:?}: {refused}");
                assert!(is_curl || refused.starts_with("403 "), "{words:?}: {refused}");
                assert!(refused.contains("profile: test\nrule: mode = \"limited\" ("), "{refused}");
                assert_eq!(wires.peers.heard(), Vec::<String>::new());
            }
        }
    });
}

#[test]
fn a_broken_server_is_told_by_name_and_reason() {
    Wires::each("limited_broken", |wires| {
        wires.profile(&limited(&[UNTRUSTED, INNER, SILENT, "nowhere.example", "allowed.example:444"]));
        let told = wires.run(&["curl", "-sS", "https://untrusted.example/"]).text();
        assert!(
            told.contains("no answer from https://untrusted.example: TLS with the server failed"),
            "{told}"
        );
        assert!(told.contains("UnknownIssuer"), "{told}");
        for (url, reason) in [
            ("http://inner.example/", "leads to 10.9.8.7"),
            ("http://nowhere.example/", "Could not resolve host: nowhere.example"),
            ("http://silent.example/", "no name server answered in time"),
            ("https://allowed.example:444/", "could not connect"),
        ] {
            let run = wires.run(&["curl", "-sS", "--max-time", "20", url]);
            let all = format!("{}{}", String::from_utf8_lossy(&run.stdout), run.stderr);
            eprintln!("{url}: {all}");
            assert!(all.contains(reason), "{url}: {all}");
        }
        assert_eq!(wires.peers.heard(), Vec::<String>::new());
    });
}

#[test]
fn no_web_socket_and_no_other_protocol() {
    Wires::each("limited_upgrade", |wires| {
        wires.profile(&limited(&["allowed.example"]));
        let upgrade = [
            "curl",
            "-sS",
            "--http1.1",
            "-H",
            "Connection: Upgrade",
            "-H",
            "Upgrade: websocket",
            "https://allowed.example/",
        ];
        let told = wires.run(&upgrade).text();
        assert!(told.contains("allows no change of protocol (to websocket)"), "{told}");
        let script = "exec 3<>/dev/tcp/allowed.example/80; printf 'SSH-2.0-x\\r\\n' >&3; head -c 12 <&3";
        assert_eq!(wires.run(&["bash", "-c", script]).text(), "HTTP/1.1 400");
        assert_eq!(wires.peers.heard(), Vec::<String>::new());
    });
}

#[test]
fn large_answers_and_many_at_once_arrive_whole() {
    Wires::each("limited_large", |wires| {
        const BYTES: usize = 64 * 1024 * 1024;
        wires.profile(&limited(&["allowed.example"]));
        for (scheme, version) in [("http", "--http1.1"), ("https", "--http1.1"), ("https", "--http2")] {
            let url = format!("{scheme}://allowed.example/bytes/{BYTES}");
            let whole = wires.run(&["sh", "-c", "curl -sS $0 $1 | sha256sum", version, &url]).text();
            let expect = wires.outside(&[
                "sh",
                "-c",
                "head -c $0 /dev/zero | tr '\\0' x | sha256sum",
                &BYTES.to_string(),
            ]);
            assert_eq!(whole, expect.text(), "{scheme} {version}");
            let many = format!("{scheme}://allowed.example/[1-300]");
            let all = wires.run(&["curl", "-sS", version, "-Z", "--parallel-max", "100", &many]).text();
            let mut numbers: Vec<u32> = all
                .lines()
                .filter_map(|line| line.split(" /").nth(1)?.split(' ').next()?.parse().ok())
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=300).collect::<Vec<_>>(), "{scheme} {version}");
        }
    });
}
