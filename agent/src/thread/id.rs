//! Names of threads, turns and items: UUIDs of version 7, so that their order is that of their making.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no id: {source}")]
pub struct IdError {
    text: String,
    source: uuid::Error,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, later than all before it.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "two are never equal")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(out)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let read = Uuid::try_parse(text);
                read.map(Self).map_err(|source| IdError { text: text.to_owned(), source })
            }
        }
    };
}

id! {
    /// Names a thread.
    ThreadId
}

id! {
    /// Names a turn.
    TurnId
}

id! {
    /// Names an item.
    ItemId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_their_making() {
        let made: Vec<ThreadId> = (0..1000).map(|_| ThreadId::new()).collect();
        assert!(made.is_sorted_by(|earlier, later| earlier < later));
        let texts: Vec<String> = made.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert_eq!(texts[7].parse(), Ok(made[7]));
        assert!("01a2".parse::<ThreadId>().is_err());
    }
}
