//! `weir trust`, and what the exec-server makes of the decision.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of `weir run`, which ask for more")]
#[path = "support/place.rs"]
mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use place::{Place, text};

const USER: &str =
    "# mine\ndefault_permissions = \":workspace\"  # kept\n\n[model_providers.x]\nname = \"x\"\n";
const NARROW: &str = "default_permissions = \":isolated\"\n";

impl Place {
    fn trust(&self, arguments: &[&str]) -> (Option<i32>, serde_json::Value, String) {
        let output = self.run(&[&["trust", "--json"], arguments].concat());
        let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json, text(&output.stderr))
    }

    /// The profile that the exec-server chooses in the project.
    fn profile(&self) -> Result<String, String> {
        let output = self.run(&["policy", "show", "--json"]);
        match serde_json::from_slice::<serde_json::Value>(&output.stdout) {
            Ok(shown) if output.status.success() => {
                Ok(shown["policy"]["profile"].as_str().unwrap().to_owned())
            }
            _ => Err(text(&output.stdout) + &text(&output.stderr)),
        }
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("home/.weir/config.toml")).unwrap()
    }
}

#[test]
fn trust_holds_for_a_place_and_a_content() {
    let place = Place::with_config(USER);
    place.write("project/.weir/config.toml", NARROW);
    let (code, shown, _) = place.trust(&[]);
    assert_eq!((code, shown["standing"].as_str()), (Some(1), Some("undecided")));
    assert_eq!(place.profile().as_deref(), Ok(":workspace"));

    let (code, shown, err) = place.trust(&["--yes"]);
    assert_eq!((code, shown["standing"].as_str()), (Some(0), Some("trusted")), "{err}");
    assert_eq!(place.profile().as_deref(), Ok(":isolated"));
    // What was there is there, comments too.
    assert!(place.config().starts_with(USER), "{}", place.config());
    assert_eq!(place.trust(&[]).0, Some(0));

    place.write("project/.weir/config.toml", "default_permissions = \":read-only\"\n");
    assert_eq!(place.trust(&[]).1["standing"], "changed");
    let refused = place.profile().unwrap_err();
    assert!(refused.contains("weir trust --yes"), "{refused}");
    fs::remove_file(place.path("project/.weir/config.toml")).unwrap();
    assert!(place.profile().is_err());

    place.write("project/.weir/config.toml", NARROW);
    assert_eq!(place.profile().as_deref(), Ok(":isolated"));
    assert_eq!(place.trust(&["--forget"]).1["standing"], "undecided");
    assert_eq!(place.profile().as_deref(), Ok(":workspace"));
}

#[test]
fn a_no_stays_until_it_is_taken_back_in_as_many_words() {
    let place = Place::with_config(USER);
    place.write("project/.weir/config.toml", NARROW);
    assert_eq!(place.trust(&["--no"]).1["standing"], "untrusted");
    let before = place.config();
    let (code, _, err) = place.trust(&["--yes"]);
    assert_eq!((code, err.contains("--change")), (Some(2), true), "{err}");
    assert_eq!((place.config(), place.profile().as_deref()), (before, Ok(":workspace")));
    assert_eq!(place.trust(&["--yes", "--change"]).1["standing"], "trusted");
    assert_eq!(place.profile().as_deref(), Ok(":isolated"));
    assert_eq!(place.trust(&["--yes", "--no"]).0, Some(2));
}

#[test]
fn the_file_is_made_or_changed_and_nothing_else() {
    let place = Place::new();
    assert_eq!(place.trust(&["--yes"]).0, Some(0));
    let file = place.path("home/.weir/config.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(place.path("home/.weir")).unwrap().count(), 1);
    // A link to where someone keeps their configuration stays one.
    let kept = place.path("home/dotfiles.toml");
    fs::rename(&file, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &file).unwrap();
    assert_eq!(place.trust(&["--no"]).0, Some(0));
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert!(fs::read_to_string(&kept).unwrap().contains("untrusted"));
    // One with errors is left as it is.
    place.write("home/dotfiles.toml", "[permissions.x]\nnonsense = 1\n");
    let (code, _, err) = place.trust(&["--yes"]);
    assert_eq!((code, err.contains("nonsense")), (Some(2), true), "{err}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "[permissions.x]\nnonsense = 1\n");
}

#[test]
fn a_fifo_in_the_place_of_a_configuration_is_told() {
    let place = Place::with_config(USER);
    fs::create_dir(place.path("project/.weir")).unwrap();
    let fifo = place.path("project/.weir/config.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (code, _, err) = place.trust(&[]);
    assert!(code == Some(2) && err.contains("not a regular file"), "{code:?}: {err}");
}
