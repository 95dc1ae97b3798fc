//! Members of objects on the wire: what has none takes none. Called by the types whose variants stand apart by a tag beside their members,
//! where serde passes over everything else of a variant that has none.

use serde::{Deserialize, Deserializer};

/// Refuses every member, as `deny_unknown_fields` does where there are some.
///
/// # Errors
/// The deserializer's, with the first member's name.
pub(crate) fn none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    Nothing::deserialize(deserializer).map(|Nothing {}| ())
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use crate::method::output::Overflow;
    use crate::method::{Call, process};
    use crate::policy::lease::Scope;

    fn check<T: DeserializeOwned>(given: &Value, expected: Result<(), &str>) {
        let found = serde_json::from_value::<T>(given.clone()).map(drop).map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(found, Ok(()), "{given}"),
            Err(part) => assert!(found.as_ref().is_err_and(|why| why.contains(part)), "{given}: {found:?}"),
        }
    }

    #[test]
    fn a_member_that_is_not_listed_is_refused_whatever_the_kind() {
        check::<Overflow>(&json!({"kind": "wait"}), Ok(()));
        check::<Overflow>(&json!({"kind": "wait", "x": 1}), Err("unknown field `x`"));
        check::<Overflow>(&json!({"x": 1, "kind": "wait"}), Err("unknown field `x`"));
        check::<Overflow>(
            &json!({"kind": "head-and-tail", "head": 1, "tail": 1, "x": 1}),
            Err("unknown field `x`"),
        );
        check::<Scope>(&json!({"kind": "context"}), Ok(()));
        check::<Scope>(&json!({"kind": "context", "turn": "1"}), Err("unknown field `turn`"));
        check::<Scope>(&json!({"kind": "command", "argv": [], "turn": "1"}), Err("unknown field `turn`"));
        check::<process::Stdio>(
            &json!({"kind": "pipes", "input": true, "size": [1, 1]}),
            Err("unknown field `size`"),
        );
    }

    #[test]
    fn a_method_without_parameters_takes_none() {
        for method in ["host/doctor", "context/list", "process/list"] {
            check::<Call>(&json!({"method": method}), Ok(()));
            check::<Call>(&json!({"method": method, "params": null}), Ok(()));
            check::<Call>(&json!({"method": method, "params": {"x": 1}}), Err(""));
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for overflow in [Overflow::Wait, Overflow::HeadAndTail { head: 1, tail: 2 }] {
            let text = serde_json::to_string(&overflow).unwrap();
            assert_eq!(serde_json::from_str::<Overflow>(&text).unwrap(), overflow);
        }
        let text = serde_json::to_string(&Scope::Context).unwrap();
        assert_eq!(
            (text.as_str(), serde_json::from_str(&text).unwrap()),
            ("{\"kind\":\"context\"}", Scope::Context)
        );
    }
}
