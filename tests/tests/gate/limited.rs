//! Limited mode with real programs, which trust what they find inside.

use super::peers::UNTRUSTED;
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
        wires.profile(&limited(&[UNTRUSTED, "nowhere.example"]));
        let told = wires.run(&["curl", "-sS", "https://untrusted.example/"]).text();
        assert!(
            told.contains("no answer from https://untrusted.example: TLS with the server failed"),
            "{told}"
        );
        assert!(told.contains("UnknownIssuer"), "{told}");
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
