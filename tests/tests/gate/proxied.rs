//! Without namespaces, where the profile gives the gate up by name for its proxies: programs that heed the variables reach allowed hosts,
//! all else fails, and the report says what is lost.

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, REFUSED, act};

use super::peers::GREETING_PORT;
use super::programs::{allow, fails};
use super::wires::{PEERS, Wires};

const GIVEN_UP: &[&str] = &["proxy-only-network"];

#[test]
fn programs_that_heed_the_variables_reach_allowed_hosts_alone() {
    Wires::bare("proxied", |wires| {
        let curl = |url: &'static str| ["curl", "-sS", "--max-time", "20", url];
        for url in ["http://allowed.example/a", "https://denied.example/a"] {
            assert!(wires.outside(&curl(url)).text().starts_with("heard: "), "the control: {url}");
        }
        wires.profile_giving_up(GIVEN_UP, &allow(&["allowed.example"]));
        wires.peers.asked();
        for (url, heard) in [
            ("http://allowed.example/a", "heard: HTTP/1.1 GET http allowed.example /a 0"),
            ("https://allowed.example/b", "heard: HTTP/2.0 GET https allowed.example /b 0"),
        ] {
            let run = wires.run(&curl(url));
            assert_eq!(run.text(), heard, "{url}: {}", run.stderr);
        }
        let python =
            "import urllib.request as u; print(u.urlopen('http://allowed.example/p').read().decode())";
        assert_eq!(
            wires.run(&["python3", "-c", python]).text(),
            "heard: HTTP/1.1 GET http allowed.example /p 0"
        );
        let socks = "curl -sS --max-time 20 -x \"$ALL_PROXY\" https://allowed.example/s";
        assert_eq!(wires.run(&["sh", "-c", socks]).text(), "heard: HTTP/2.0 GET https allowed.example /s 0");
        let run = wires.run(&curl("http://denied.example/"));
        assert!(run.text().contains("no rule allows it"), "{run:?}");
        assert!(run.stderr.contains("connect denied.example:80"), "{}", run.stderr);
        fails(wires, &curl("https://denied.example/"));
        fails(wires, &["curl", "-sS", "--max-time", "20", "--noproxy", "*", "http://allowed.example/"]);
        assert!(!wires.peers.asked().iter().any(|name| name.contains("denied")));
    });
}

/// What knows of no proxy reaches nothing at all, and cannot serve.
#[test]
fn nothing_goes_around_the_proxies() {
    Wires::bare("proxied_around", |wires| {
        wires.profile_giving_up(GIVEN_UP, &allow(&["allowed.example"]));
        let refused = || Expect::Errors(&["EACCES"]);
        let acts = [
            act(["tcp".to_owned(), format!("{PEERS}:{GREETING_PORT}")]).inside(refused()),
            act(["udp".to_owned(), format!("{PEERS}:53")]).inside(refused()),
            act(["tcp-bind", "127.0.0.1:8081"]).inside(refused()),
            act(["tcp-bind", "0.0.0.0:0"]).inside(refused()),
            act(["tcp-self", "127.0.0.1:0"]).inside(refused()),
            act(["udp-bind", "127.0.0.1:0"]).inside(refused()),
            // MPTCP, which Landlock does not see.
            act(["socket", "2", "1", "262"]).outside(Expect::Anything),
        ];
        let words = wires.world.probe_words(&acts);
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        let (outside, inside) = (wires.outside(&words), wires.run(&words));
        let mut wrong = wires.world.compare("outside", &outside, &acts, Act::expected_outside);
        wrong.extend(wires.world.compare("inside", &inside, &acts, Act::expected_inside));
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), inside.stderr);
        assert!(inside.stderr.contains("on the two ports of the proxies"), "{}", inside.stderr);
    });
}

#[test]
fn it_is_given_up_by_name_or_not_at_all() {
    Wires::bare("proxied_name", |wires| {
        wires.profile_giving_up(&[], &allow(&["allowed.example"]));
        let run = wires.run(&["touch", "ran"]);
        assert_eq!(run.code, REFUSED);
        assert!(run.stderr.contains("\"proxy-only-network\""), "{}", run.stderr);
        // What limited mode trusts takes mounts, and a loopback of its own a network namespace.
        for more in ["mode = \"limited\"", "loopback = true"] {
            wires.profile_giving_up(GIVEN_UP, &format!("{}\n{more}", allow(&["allowed.example"])));
            let run = wires.run(&["touch", "ran"]);
            assert_eq!(run.code, REFUSED, "{more}: {}", run.stderr);
        }
        assert!(!wires.world.at("work/ran").exists());
    });
}
