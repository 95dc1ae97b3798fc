//! Programs that know of no proxy, in full mode: allowed names work, all else fails at once.

use std::process::Command;
use std::time::{Duration, Instant};

use weir_tests::sandbox::{PATH, Run, finish, programs};

use super::peers::{GREETING_PORT, INNER, LATE, SIX, UNTRUSTED};
use super::wires::{PEERS, Wires};

/// Within this time a refused program has failed.
const QUICKLY: Duration = Duration::from_secs(8);

/// A profile that allows these names.
pub(crate) fn allow(names: &[&str]) -> String {
    let rules: Vec<String> =
        names.iter().map(|name| format!("{{ pattern = \"{name}\", allow = true }}")).collect();
    format!("domains = [{}]", rules.join(", "))
}

/// Runs it, and panics unless it failed quickly.
pub(crate) fn fails(wires: &Wires, words: &[&str]) -> Run {
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
            "http://[::ffff:11.22.33.2]/",
            "http://0x0b.22.33.2/",
            "http://allowed.example@denied.example/",
            "http://denied.example./",
            "http://DENIED.example/",
            "http://inner.example/",
            "http://10.9.8.7/",
            "https://untrusted.example/",
        ] {
            let run = fails(wires, &curl(url));
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

/// Under an environment of which the profile lets no proxy through.
#[test]
fn the_callers_proxy_is_used_where_the_profile_lets_it_be() {
    Wires::each("upstream", |wires| {
        for (line, uses) in [("allow_upstream_proxy = true\n", true), ("", false)] {
            wires.profile(&format!("{line}{}", allow(&["allowed.example"])));
            let mut command = wires.host_command(programs().weir.to_str().unwrap());
            command.args(["run", "--", "curl", "-s", "-m", "10", "http://allowed.example/x"]);
            finish(command.env("https_proxy", format!("http://{PEERS}:80")));
            let heard = wires.peers.heard();
            assert_eq!(heard.iter().any(|line| line.contains("CONNECT")), uses, "{heard:?}");
        }
    });
}

/// Connecting takes longer than the program is there.
#[test]
fn what_a_command_sends_last_arrives() {
    Wires::each("last_words", |wires| {
        wires.profile(&allow(&[LATE]));
        let request = format!("GET /last HTTP/1.0\\r\\nHost: {LATE}\\r\\n\\r\\n");
        let run = wires.run(&["bash", "-c", &format!("printf '{request}' >/dev/tcp/{LATE}/80")]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let until = Instant::now() + QUICKLY;
        let mut heard = Vec::new();
        while heard.is_empty() && Instant::now() < until {
            heard = wires.peers.heard();
            std::thread::yield_now();
        }
        assert_eq!(heard, [format!("HTTP/1.0 GET http {LATE} /last")]);
    });
}

const PYTHON: &str = "import sys, urllib.request\n\
    data = sys.argv[2].encode() if len(sys.argv) > 2 else None\n\
    try:\n    print(urllib.request.urlopen(sys.argv[1], data=data, timeout=20).read().decode().strip())\n\
    except urllib.error.HTTPError as error:\n    print(error.code, error.read().decode().strip())\n";

/// The requests library, which pip brings along.
const REQUESTS: &str = "import sys\nfrom pip._vendor import requests\n\
    method = 'POST' if len(sys.argv) > 2 else 'GET'\n\
    r = requests.request(method, sys.argv[1], data=''.join(sys.argv[2:]) or None, timeout=20)\n\
    print(('' if r.status_code == 200 else str(r.status_code) + ' ') + r.text.strip())\n";

const NODE: &str = "const [url, body] = process.argv.slice(1); \
    fetch(url, body ? { method: 'POST', body } : {}).then(async r => console.log((r.status == 200 ? '' : r.status + ' ') + (await r.text()).trim()))\
    .catch(e => { console.error(e.cause ?? e); process.exit(1) })";

/// One source file.
const JAVA: &str = "import java.net.*; import java.net.http.*;\n\
    public class Ask { public static void main(String[] a) throws Exception {\n\
    var b = HttpRequest.newBuilder(URI.create(a[0]));\n\
    if (a.length > 1) b.POST(HttpRequest.BodyPublishers.ofString(a[1]));\n\
    var r = HttpClient.newHttpClient().send(b.build(), HttpResponse.BodyHandlers.ofString());\n\
    System.out.println((r.statusCode() == 200 ? \"\" : r.statusCode() + \" \") + r.body().strip()); } }\n";

/// One source file, made into a program that needs nothing else. It finds names and authorities without the system's libraries.
const GO: &str = "package main\n\
    import (\"fmt\"; \"io\"; \"net/http\"; \"os\"; \"strings\")\n\
    func main() {\n\
    var r *http.Response; var e error\n\
    if len(os.Args) > 2 { r, e = http.Post(os.Args[1], \"text/plain\", strings.NewReader(os.Args[2])) } else { r, e = http.Get(os.Args[1]) }\n\
    if e != nil { fmt.Fprintln(os.Stderr, e); os.Exit(1) }\n\
    b, _ := io.ReadAll(r.Body)\n\
    if r.StatusCode != 200 { fmt.Print(r.StatusCode, \" \") }\n\
    fmt.Println(strings.TrimSpace(string(b))) }\n";

/// Programs that ask for a URL, or send a body to it, and print the answer; those that this machine has.
pub(crate) fn askers(wires: &Wires, test_id: &str) -> Vec<Vec<String>> {
    wires.world.file("work/Ask.java", JAVA);
    wires.outside(&["javac", "Ask.java"]);
    wires.world.file("work/ask.go", GO);
    wires.outside(&["env", "CGO_ENABLED=0", "go", "build", "-o", "ask-go", "ask.go"]);
    let all: [(&str, Vec<String>); 5] = [
        ("python3", vec!["/usr/bin/python3".into(), "-c".into(), PYTHON.into()]),
        ("pip", vec!["/usr/bin/python3".into(), "-c".into(), REQUESTS.into()]),
        ("node", vec!["node".into(), "-e".into(), NODE.into()]),
        ("java", vec!["java".into(), "-cp".into(), ".".into(), "Ask".into()]),
        ("go", vec!["./ask-go".into()]),
    ];
    let mut askers = Vec::new();
    for (name, words) in all {
        let found = finish(Command::new("sh").args(["-c", &format!("command -v {name}")]).env("PATH", PATH));
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
fn what_trusts_the_hosts_authorities_asks_over_https() {
    Wires::each("secure", |wires| {
        wires.profile(&allow(&["allowed.example", UNTRUSTED]));
        // The others bring authorities of their own.
        let reads_the_hosts = |words: &Vec<String>| words[0] == "./ask-go" || words[2] == PYTHON;
        for words in askers(wires, "secure").into_iter().filter(reads_the_hosts) {
            let denied = with(&words, &["https://denied.example/x"]);
            assert!(wires.outside(&denied).text().starts_with("heard: "), "the control: {words:?}");
            wires.peers.heard();
            let allowed = wires.run(&with(&words, &["https://allowed.example/x"])).text();
            assert!(allowed.ends_with(" GET https allowed.example /x 0"), "{words:?}: {allowed}");
            wires.peers.heard();
            fails(wires, &denied);
            fails(wires, &with(&words, &["https://untrusted.example/x"]));
            assert_eq!(wires.peers.heard(), Vec::<String>::new(), "{words:?}");
        }
    });
}

#[test]
fn proxy_endpoints_lead_no_further() {
    Wires::each("proxies", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        for proxy in ["http://198.18.0.2:3128", "socks5h://198.18.0.2:1080"] {
            let curl =
                |more: &[&'static str]| [&["curl", "-sS", "--max-time", "20", "-x", proxy], more].concat();
            for (url, heard) in [
                ("https://allowed.example/x", "heard: HTTP/2.0 GET https allowed.example /x 0"),
                ("http://allowed.example/x", "heard: HTTP/1.1 GET http allowed.example /x 0"),
            ] {
                assert_eq!(wires.run(&curl(&[url])).text(), heard, "{proxy} {url}");
            }
            wires.peers.heard();
            fails(wires, &curl(&["https://denied.example/"]));
            let tunnel =
                ["-k", "--connect-to", "denied.example:443:allowed.example:443", "https://denied.example/"];
            fails(wires, &curl(&tunnel));
            let inner = wires.run(&curl(&["-f", "http://inner.example/"]));
            assert_ne!(inner.code, 0);
            assert_eq!(wires.peers.heard(), Vec::<String>::new());
        }
    });
}

#[test]
fn an_empty_list_allows_none_and_datagrams_go_nowhere() {
    Wires::each("none", |wires| {
        wires.profile("domains = []");
        fails(wires, &["curl", "-sS", "http://allowed.example/"]);
        let datagram = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            s.settimeout(3)\ns.connect(('11.22.33.2', 53))\n\
            try:\n    s.send(b'x' * 30)\n    print(s.recv(100))\nexcept OSError as error:\n    print(type(error).__name__)\n";
        wires.peers.asked();
        let refused = wires.run(&["/usr/bin/python3", "-c", datagram]);
        assert!(
            ["PermissionError", "ConnectionRefusedError"].contains(&refused.text().as_str()),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("weir: denied: send 11.22.33.2:53"), "{}", refused.stderr);
        assert_eq!(wires.peers.asked(), Vec::<String>::new());
    });
}

#[test]
fn what_policy_explain_says_is_what_the_gate_does() {
    Wires::each("explain", |wires| {
        let rules = "domains = [{ pattern = \"allowed.example:443\", allow = true }, { pattern = \"**.git.example\", allow = true }, \
                     { pattern = \"ssh.example\", allow = true }, { pattern = \"ssh.example:80\", allow = false }]";
        wires.profile(rules);
        let weir = programs().weir.to_string_lossy();
        let (mut reached, mut refused) = (0, 0);
        for host in ["allowed.example", "git.example", "ssh.example", "db.example", SIX, PEERS] {
            for (scheme, port) in [("http", 80), ("https", 443)] {
                let said = wires.outside(&[
                    &weir,
                    "policy",
                    "explain",
                    "--json",
                    "--host",
                    &format!("{host}:{port}"),
                ]);
                let said: serde_json::Value = serde_json::from_str(&said.text()).unwrap();
                let allowed = said["explanation"]["allowed"].as_bool().unwrap();
                let run = wires.run(&["curl", "-sSk", "--max-time", "20", &format!("{scheme}://{host}/")]);
                assert_eq!(run.code == 0, allowed, "{host}:{port} {said}: {}", run.stderr);
                *(if allowed { &mut reached } else { &mut refused }) += 1;
            }
        }
        assert_eq!((reached, refused), (4, 8));
    });
}
