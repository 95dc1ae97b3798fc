//! Records as a kernel wrote them (Linux 6.18), in order, out of order, cut off, and among those of others.

use weir_protocol::denial::Act;

use super::*;

const MAKER: u32 = 27_256;

fn access(serial: u64, domain: &str, rest: &str) -> (u16, String) {
    (LANDLOCK_ACCESS, format!("audit(1795935194.479:{serial}): domain={domain} {rest}"))
}

fn domain(serial: u64, domain: &str, pid: u32) -> (u16, String) {
    let rest = format!("status=allocated mode=enforcing pid={pid} uid=0 exe=\"/tmp/ll\" comm=\"ll\"");
    (LANDLOCK_DOMAIN, format!("audit(1795935194.479:{serial}): domain={domain} {rest}"))
}

fn syscall(serial: u64, pid: u32, comm: &str) -> (u16, String) {
    let rest = format!(
        "arch=c000003e syscall=257 success=no exit=-13 a0=ffffff9c a1=7f1eb61360b1 a2=80000 a3=0 items=0 ppid=27162 \
         pid={pid} auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 \
         comm={comm} exe=\"/usr/bin/cat\" key=(null)"
    );
    (SYSCALL, format!("audit(1795935194.479:{serial}): {rest}"))
}

fn end(serial: u64) -> (u16, String) {
    (END_OF_EVENT, format!("audit(1795935194.479:{serial}): "))
}

/// What was refused, with the path and the pid.
fn told(records: &[(u16, String)]) -> Vec<(Act, Object, Option<u32>)> {
    let mut follower = Follower::new(MAKER);
    let mut found: Vec<Vec<Refused>> =
        records.iter().flat_map(|(kind, text)| follower.take(*kind, text.as_bytes())).collect();
    found.extend(follower.finish());
    let one = |refused: Refused| {
        (
            refused.blocker.map_or(Act::Call, |found| found.act),
            refused.object,
            refused.process.map(|one| one.pid),
        )
    };
    found.into_iter().flatten().map(one).collect()
}

fn path(text: &str) -> Object {
    Object::Path(text.as_bytes().to_vec())
}

const PASSWD: &str = "blockers=fs.read_file path=\"/etc/passwd\" dev=\"vda\" ino=1196068";

#[test]
fn an_access_is_joined_to_its_domain_and_its_caller() {
    let records = [access(1, "1b", PASSWD), domain(1, "1b", MAKER), syscall(1, 27_257, "\"cat\""), end(1)];
    assert_eq!(told(&records), [(Act::Read, path("/etc/passwd"), Some(27_257))]);
    let mut follower = Follower::new(MAKER);
    let found: Vec<_> =
        records.iter().flat_map(|(kind, text)| follower.take(*kind, text.as_bytes())).flatten().collect();
    let process = found[0].process.as_ref().unwrap();
    assert_eq!(
        (process.command.as_ref().unwrap().to_string().as_str(), process.numbered),
        ("cat", Numbered::ByHost)
    );
    assert_eq!(found[0].since_1970_ms, 1_795_935_194_479);
}

#[test]
fn order_does_not_count() {
    let records = [
        access(1, "1b", PASSWD),
        domain(1, "1b", MAKER),
        syscall(1, 5, "\"cat\""),
        access(2, "1b", PASSWD),
        syscall(2, 6, "63617420"),
    ];
    for turn in 0..records.len() {
        let mut turned = records.clone();
        turned.rotate_left(turn);
        let acts: Vec<_> = told(&turned).into_iter().map(|(act, object, _)| (act, object)).collect();
        assert_eq!(acts, [(Act::Read, path("/etc/passwd")), (Act::Read, path("/etc/passwd"))], "{turn}");
    }
}

#[test]
fn what_belongs_to_others_is_dropped() {
    let records = [
        access(1, "1b", PASSWD),
        domain(1, "1b", MAKER + 1),
        end(1),
        access(2, "2c", PASSWD),
        end(2),
        (LANDLOCK_DOMAIN, "audit(1.000:3): domain=2c status=deallocated denials=1".to_owned()),
        (1327, "audit(1.000:3): proctitle=636174".to_owned()),
        (LANDLOCK_ACCESS, "audit(1.000:4): domain=1b".to_owned()),
        (LANDLOCK_ACCESS, "no record at all".to_owned()),
    ];
    assert_eq!(told(&records), []);
}

#[test]
fn a_rename_is_two_accesses_of_one_event() {
    let records = [
        domain(7, "1b", MAKER),
        access(7, "1b", "blockers=fs.remove_file,fs.refer path=\"/a b\" dev=\"vda\" ino=1"),
        access(7, "1b", "blockers=fs.make_reg,fs.refer path=2F630A dev=\"vda\" ino=2"),
        end(7),
    ];
    assert_eq!(told(&records), [(Act::Remove, path("/a b"), None), (Act::Create, path("/c\n"), None)]);
}

#[test]
fn addresses_signals_and_calls() {
    let records = [
        domain(1, "1b", MAKER),
        access(2, "1b", "blockers=net.connect_tcp daddr=127.0.0.1 dest=80"),
        access(3, "1b", "blockers=net.connect_tcp daddr=::1 dest=443"),
        access(4, "1b", "blockers=net.bind_tcp src=8080"),
        access(5, "1b", "blockers=scope.signal opid=1 ocomm=\"systemd\""),
        (
            SECCOMP,
            "audit(1795934547.431:9): auid=4294967295 uid=6 gid=6 ses=4294967295 pid=212 comm=\"x\" exe=\"/x\" sig=0 \
             arch=c000003e syscall=262 compat=0 ip=0x7f code=0x50000"
                .to_owned(),
        ),
        (SECCOMP, "audit(1.000:9): pid=1 syscall=1 code=0x7ffc0000".to_owned()),
    ];
    let address = |text: &str| Object::Address(text.to_owned());
    assert_eq!(
        told(&records),
        [
            (Act::Call, Object::Call(262), Some(212)),
            (Act::Connect, address("127.0.0.1:80"), None),
            (Act::Connect, address("[::1]:443"), None),
            (Act::Bind, address("*:8080"), None),
            (Act::Signal, Object::Other, None),
        ]
    );
}

#[test]
fn a_flood_of_events_that_never_end_is_bounded_and_told() {
    let mut follower = Follower::new(MAKER);
    let (kind, text) = domain(0, "1b", MAKER);
    follower.take(kind, text.as_bytes());
    let mut count = 0;
    for serial in 1..=10_000 {
        let (kind, text) = access(serial, "1b", PASSWD);
        count += follower.take(kind, text.as_bytes()).len();
        assert!(follower.open.len() <= MAX_OPEN_EVENTS);
    }
    assert_eq!(count + follower.finish().len(), 10_000);
}

#[test]
fn the_mark_is_the_last() {
    let mut follower = Follower::new(MAKER);
    assert!(follower.has_all());
    follower.await_mark(99);
    let (kind, text) = domain(1, "1b", MAKER);
    follower.take(kind, text.as_bytes());
    assert!(!follower.has_all());
    let (kind, text) = domain(2, "2c", 99);
    follower.take(kind, text.as_bytes());
    assert!(follower.has_all());
}
