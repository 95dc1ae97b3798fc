//! The server serves every user with no more than what its unit lets it have.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use weir_tests::sandbox::way::is_root;

use super::client::start;
use super::place::{ALICE, BOB, Place, below, status};

/// The capabilities of the system unit, as setpriv(1) names them.
fn bounding_set() -> Vec<String> {
    let unit = "../packaging/systemd/system/weir-exec-server.service";
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(unit)).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase()).collect()
}

#[test]
fn the_capabilities_of_the_unit_are_enough() {
    if !is_root() {
        return weir_tests::skip("service::bounded", "only root has capabilities to give up");
    }
    let place = Place::new();
    let names = bounding_set();
    assert!(names.len() > 3 && !names.contains(&"sys_module".to_owned()));
    let inner = place.command(&[]);
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set=-all,+{}", names.join(",+")));
    command.arg(inner.get_program()).args(inner.get_args());
    command.stdout(Stdio::null()).stderr(fs::File::create(place.at("log")).unwrap());
    let server = place.begin(command);
    for user in [ALICE, BOB] {
        let outcome =
            server.client(user).run(&start(&place.world(user), &["sh", "-c", "id -u; touch made; ls"]));
        assert_eq!(outcome.output, format!("{user}\nmade\n").as_bytes(), "{}", place.log());
    }
    // The bound holds for all of it: of 1 << 16, CAP_SYS_MODULE, nothing is left anywhere.
    // A launcher whose command is over may go between the list and the look; the supervisor may not.
    let kin =
        below(server.pid()).into_iter().map(|pid| status(pid, "CapBnd")).filter(|bound| !bound.is_empty());
    for bound in kin.chain([status(server.pid(), "CapBnd")]) {
        let bound = u64::from_str_radix(&bound, 16).unwrap();
        assert_eq!(bound & (1 << 16), 0, "{bound:x}");
    }
}
