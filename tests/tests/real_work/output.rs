//! Output as long as it comes.

use weir_tests::sandbox::{Way, World, finish, programs};

/// Bytes that go through a pipe.
const BYTES: u64 = 256 << 20;

#[test]
fn a_quarter_of_a_gigabyte_passes_a_pipe_unchanged() {
    let make = format!("seq 1 40000000 | head -c {BYTES}");
    Way::each_of(&[Way::Root, Way::User], "real_work::output", |way| {
        let world = World::new(way);
        let weir = programs().weir.display();
        let sum = |line: &str| finish(world.command("sh").args(["-c", line])).text();
        let outside = sum(&format!("{{ {make}; }} | cksum"));
        assert!(outside.ends_with(&BYTES.to_string()), "{outside}");
        assert_eq!(sum(&format!("'{weir}' run --quiet -- sh -c '{make}' | cksum")), outside, "{way:?}");
    });
}
