//! `weir learn --network`: hosts that were asked for and reached are proposed, by name and port; without it they are told.

use weir_tests::sandbox::finish;
use weir_tests::sandbox::programs;

use super::wires::Wires;

const CURL: [&str; 5] = ["curl", "-sS", "--max-time", "20", "http://denied.example/learnt"];

fn learn(wires: &Wires, options: &[&str], words: &[&str]) -> (weir_tests::sandbox::Run, String) {
    let file = wires.world.at("learned.toml");
    let mut command = wires.host_command(programs().weir.to_str().unwrap());
    let run = finish(command.args(["learn", "--output"]).arg(&file).args(options).arg("--").args(words));
    (run, std::fs::read_to_string(file).unwrap_or_default())
}

fn held(wires: &Wires, words: &[&str]) -> weir_tests::sandbox::Run {
    let mut command = wires.host_command(programs().weir.to_str().unwrap());
    finish(command.args(["run", "--config"]).arg(wires.world.at("learned.toml")).arg("--").args(words))
}

#[test]
fn a_host_that_was_reached_is_proposed_and_no_other_is_let_through() {
    Wires::each("learnt", |wires| {
        assert!(wires.outside(&CURL).text().starts_with("heard: "), "the control");
        let (run, text) = learn(wires, &["--network"], &CURL);
        assert!(run.text().contains("/learnt"), "{}", run.stderr);
        assert!(text.contains("{ pattern = \"denied.example:80\", allow = true }"), "{text}");
        assert!(!text.contains('*'), "{text}");
        assert!(held(wires, &CURL).text().contains("/learnt"), "{text}");
        // Another port of the host, and another host, both of which answer.
        for url in ["https://denied.example/", "http://allowed.example/"] {
            let words = ["curl", "-sS", "--max-time", "20", url];
            assert_eq!(wires.outside(&words).code, 0, "{url}");
            assert_ne!(held(wires, &words).code, 0, "{url}");
        }
    });
}

#[test]
fn without_the_option_no_host_is_reached_and_the_name_is_told() {
    Wires::each("learnt_off", |wires| {
        wires.peers.asked();
        let (run, text) = learn(wires, &[], &CURL);
        assert_ne!(run.code, 0);
        assert!(text.contains("# NOT GRANTED: refused: resolve denied.example"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("enabled")), "{text}");
        assert!(!wires.peers.asked().iter().any(|name| name.contains("denied")), "nobody was asked about it");
    });
}
