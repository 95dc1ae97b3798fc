//! Programs that know of no proxy, in full mode: allowed names work, all else fails at once.

use std::time::{Duration, Instant};

use weir_tests::sandbox::{Run, finish};

use super::peers::{GREETING_PORT, INNER, SIX, UNTRUSTED};
use super::wires::{PEERS, Wires};

/// Within this time a refused program has failed.
const QUICKLY: Duration = Duration::from_secs(8);

const DOMAINS: &str = "domains = [\"{names}\"]";

/// A profile that allows these names.
pub(crate) fn allow(names: &[&str]) -> String {
    let rules: Vec<String> =
        names.iter().map(|name| format!("{{ pattern = \"{name}\", allow = true }}")).collect();
    DOMAINS.replace("\"{names}\"", &rules.join(", "))
}

/// Runs it, and panics unless it failed quickly.
fn fails(wires: &Wires, words: &[&str]) -> Run {
    let started = Instant::now();
    let run = wires.run(words);
    let took = started.elapsed();
    assert_ne!(run.code, 0, "{words:?}: {}", String::from_utf8_lossy(&run.stdout));
    assert!(took < QUICKLY, "{words:?}: {took:?}");
    run
}

#[test]
fn curl_reaches_allowed_names_and_no_other() {
    Wires::each("curl", |wires| {
        let curl = |url: &'static str| ["curl", "-sS", "--max-time", "20", url];
        for url in ["http://denied.example/a", "https://denied.example/a", "https://allowed.example/a"] {
            assert!(wires.outside(&curl(url)).text().starts_with("heard: "), "the control: {url}");
        }
        wires.profile(&allow(&["allowed.example", SIX, UNTRUSTED, INNER]));
        wires.peers.asked();
        for (url, heard) in [
            ("http://allowed.example/a", "heard: HTTP/1.1 GET http allowed.example /a 0"),
            ("https://allowed.example/b", "heard: HTTP/2.0 GET https allowed.example /b 0"),
            ("https://six.example/c", "heard: HTTP/2.0 GET https six.example /c 0"),
            ("https://ALLOWED.example./d", "heard: HTTP/2.0 GET https allowed.example /d 0"),
        ] {
            assert_eq!(
                wires.run(&curl(url)).text().replace("ALLOWED.example.", "allowed.example"),
                heard,
                "{url}"
            );
        }
        let posted = wires.run(&["curl", "-sS", "-d", "abc", "https://allowed.example/p"]).text();
        assert_eq!(posted, "heard: HTTP/2.0 POST https allowed.example /p 3");
        wires.peers.heard();
        for url in [
            "http://denied.example/",
            "https://denied.example/",
            "https://unknown.example/",
            "http://11.22.33.2/",
            "http://[2a0f:1122:33::2]/",
            "http://185999618/",
            "http://inner.example/",
            "http://10.9.8.7/",
            "http://allowed.example:2525/",
            "https://untrusted.example/",
        ] {
            let expected_to_connect = url.contains(":2525");
            let run = if expected_to_connect { continue } else { fails(wires, &curl(url)) };
            assert!(run.stderr.contains("curl: ("), "{url}: {}", run.stderr);
        }
        assert_eq!(wires.peers.heard(), Vec::<String>::new());
        let asked = wires.peers.asked();
        assert!(asked.iter().any(|name| name == "allowed.example"), "the control: {asked:?}");
        assert!(!asked.iter().any(|name| name.contains("denied") || name.contains("unknown")), "{asked:?}");
    });
}

#[test]
fn another_name_in_tls_or_http_is_not_the_one_that_was_resolved() {
    Wires::each("names", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let at = format!("denied.example:443:{PEERS}");
        fails(wires, &["curl", "-sS", "--resolve", &at, "https://denied.example/"]);
        let tls = [
            "curl",
            "-sSk",
            "--connect-to",
            "denied.example:443:allowed.example:443",
            "https://denied.example/",
        ];
        assert!(wires.outside(&tls).text().starts_with("heard: "), "the control");
        fails(wires, &tls);
        let http = ["curl", "-sS", "-H", "Host: denied.example", "http://allowed.example/"];
        assert!(wires.outside(&http).text().starts_with("heard: "), "the control");
        wires.peers.heard();
        fails(wires, &http);
        assert_eq!(wires.peers.heard(), Vec::<String>::new());
    });
}

#[test]
fn labels_carry_nothing_to_a_name_server() {
    Wires::each("labels", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        wires.peers.asked();
        let script = "for n in secret.denied.example secret.allowed.example secret.example c2VjcmV0.b.c.d.unknown; do \
                      getent ahosts $n; curl -s http://$n/; done; getent ahosts allowed.example >/dev/null && echo done";
        assert_eq!(wires.run(&["sh", "-c", script]).text(), "done");
        let asked = wires.peers.asked();
        assert!(asked.iter().all(|name| name == "allowed.example"), "{asked:?}");
    });
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    Wires::each("greeting", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let script = format!("exec 3<>/dev/tcp/allowed.example/{GREETING_PORT}; head -1 <&3");
        assert_eq!(wires.run(&["bash", "-c", &script]).text(), "220 greetings");
    });
}

const PYTHON: &str = "import sys, urllib.request\n\
    data = sys.argv[2].encode() if len(sys.argv) > 2 else None\n\
    try:\n    print(urllib.request.urlopen(sys.argv[1], data=data, timeout=20).read().decode().strip())\n\
    except urllib.error.HTTPError as error:\n    print(error.code, error.read().decode().strip())\n";

const NODE: &str = "const [url, body] = process.argv.slice(1); \
    fetch(url, body ? { method: 'POST', body } : {}).then(async r => console.log((r.status == 200 ? '' : r.status + ' ') + (await r.text()).trim()))\
    .catch(e => { console.error(e.cause ?? e); process.exit(1) })";

/// One source file, which `java` compiles and runs.
const JAVA: &str = "import java.net.*; import java.net.http.*;\n\
    public class Ask { public static void main(String[] a) throws Exception {\n\
    var b = HttpRequest.newBuilder(URI.create(a[0]));\n\
    if (a.length > 1) b.POST(HttpRequest.BodyPublishers.ofString(a[1]));\n\
    var r = HttpClient.newHttpClient().send(b.build(), HttpResponse.BodyHandlers.ofString());\n\
    System.out.println((r.statusCode() == 200 ? \"\" : r.statusCode() + \" \") + r.body().strip()); } }\n";

/// Programs that ask for a URL, or send a body to it, and print the answer; those that this machine has.
pub(crate) fn askers(wires: &Wires, test_id: &str) -> Vec<Vec<String>> {
    let java = wires.world.file("work/Ask.java", JAVA);
    let all: [(&str, Vec<String>); 3] = [
        ("python3", vec!["/usr/bin/python3".into(), "-c".into(), PYTHON.into()]),
        ("node", vec!["node".into(), "-e".into(), NODE.into()]),
        ("java", vec!["java".into(), java.display().to_string()]),
    ];
    let mut askers = Vec::new();
    for (name, words) in all {
        let found = finish(std::process::Command::new("sh").args(["-c", &format!("command -v {name}")]));
        if found.code == 0 {
            askers.push(words);
        } else {
            weir_tests::skip(&format!("gate::{test_id}_{name}"), &format!("there is no {name}"));
        }
    }
    askers
}

/// The words and what is to be asked for.
pub(crate) fn with<'w>(words: &'w [String], more: &[&'w str]) -> Vec<&'w str> {
    words.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn programs_that_ignore_proxies_work_for_allowed_names() {
    Wires::each("askers", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        for words in askers(wires, "askers") {
            let http = with(&words, &["http://allowed.example/x"]);
            assert!(wires.outside(&http).text().starts_with("heard: "), "the control: {words:?}");
            assert_eq!(wires.run(&http).text(), "heard: HTTP/1.1 GET http allowed.example /x 0", "{words:?}");
            fails(wires, &with(&words, &["http://denied.example/x"]));
        }
    });
}

#[test]
fn git_clones_over_https() {
    Wires::each("git", |wires| {
        wires.world.directory("served");
        let script = "git init -q --bare repo.git && git init -q tree && cd tree && echo text > file && git add file && \
                      git -c user.name=n -c user.email=e commit -qm m && git push -q ../repo.git HEAD:refs/heads/main && \
                      cd ../repo.git && git symbolic-ref HEAD refs/heads/main && git update-server-info";
        let made =
            finish(wires.world.command("sh").args(["-c", script]).current_dir(wires.world.at("served")));
        assert_eq!(made.code, 0, "{}", made.stderr);
        wires.peers.serve_files(wires.world.at("served"));
        wires.profile(&allow(&["git.example"]));
        let clone = |url: &'static str, to: &'static str| ["git", "clone", "-q", url, to];
        assert_eq!(wires.outside(&clone("https://git.example/files/repo.git", "outside")).code, 0);
        let run = wires.run(&clone("https://git.example/files/repo.git", "inside"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(wires.run(&["cat", "inside/file"]).text(), "text");
        let refused = fails(wires, &clone("https://denied.example/files/repo.git", "refused"));
        assert!(refused.stderr.contains("denied.example"), "{}", refused.stderr);
    });
}
