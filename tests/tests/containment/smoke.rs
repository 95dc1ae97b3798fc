//! The harness itself: a command runs, in the way that was asked for.

use weir_tests::sandbox::{Way, World, act};

#[test]
fn a_command_runs_in_each_way() {
    Way::each("containment::smoke", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let report = world.at("work/report.json");
        let run = weir_tests::sandbox::finish(world.weir(["--report".as_ref(), report.as_os_str()]).args([
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ]));
        assert_eq!((run.code, run.stdout.as_slice()), (7, b"out\n".as_slice()), "{}", run.stderr);
        assert!(run.stderr.contains("err\n"), "{}", run.stderr);
        let report = std::fs::read_to_string(report).unwrap();
        assert!(report.contains(&format!("\"way\": \"{}\"", way.name())), "{way:?}: {report}");
        world.check(
            |world| {
                world.file("work/seen", "yes");
                world.file("hidden/file", "no");
            },
            &[
                act(["read", "seen"]).answers("yes"),
                act(["read", "{w}/hidden/file"]),
                act(["write", "seen"]).works(),
            ],
        );
    });
}
