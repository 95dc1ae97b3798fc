//! What must hold of any control message: a client's, a server part's to its launcher, and a line of the audit log. Called by the
//! fuzz target and, over the corpus, by `tests/tests/corpus.rs`.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_exec_server::answer::answer;
use weir_exec_server::launch::{Order, Told};
use weir_protocol::audit::Record;
use weir_protocol::method::process::Notification;
use weir_protocol::method::{Request, Response, code};

/// What reads is written and reads again as the same. What is no request is answered as such, with its number if it has one; what
/// is one is not carried out here.
pub(crate) fn run(data: &[u8]) {
    same::<Response>(data);
    same::<Notification>(data);
    same::<Order>(data);
    same::<Told>(data);
    if let Some(record) = std::str::from_utf8(data).ok().and_then(Record::read) {
        let line = record.line().and_then(|line| String::from_utf8(line).ok());
        assert!(line.is_none_or(|line| Record::read(&line).as_ref() == Some(&record)));
    }
    if same::<Request>(data) {
        return;
    }
    let Response { id, result, error, .. } = answer(data);
    let error = error.unwrap_or_else(|| panic!("an answer to what is no request: {result:?}"));
    let parsed = serde_json::from_slice::<Value>(data).ok();
    let expected = if parsed.is_some() { code::BAD_CALL } else { code::BAD_REQUEST };
    assert_eq!(error.code, expected);
    assert_eq!(id, parsed.and_then(|parsed| parsed.get("id")?.as_u64()));
    assert!(error.kind().is_some());
}

fn same<T: Serialize + DeserializeOwned>(data: &[u8]) -> bool {
    let Ok(read) = serde_json::from_slice::<T>(data) else { return false };
    let written = serde_json::to_value(&read).unwrap_or_default();
    let again = serde_json::from_value::<T>(written.clone()).map(|again| serde_json::to_value(&again));
    assert!(matches!(again, Ok(Ok(again)) if again == written), "{written}");
    true
}
