//! Answers calls: the one place where a method meets what carries it out.

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod command;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) mod explain;
pub(crate) mod policy;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub mod process;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod recording;

use serde_json::Value;
use weir_protocol::method::{Call, Error, Examined, JSON_RPC, Request, Response, code};

/// Answers one control message. Every message gets an answer, also one that is no request.
#[must_use]
pub fn answer(payload: &[u8]) -> Response {
    read(payload).map_or_else(|refusal| refusal, |request| response(Some(request.id), call(request.call)))
}

/// Reads one control message.
///
/// # Errors
/// The answer to what is no request.
pub(crate) fn read(payload: &[u8]) -> Result<Request, Response> {
    serde_json::from_slice(payload)
        .map_err(|error| response(request_id(payload), Err(bad_request(payload, &error))))
}

/// An answer to the request `id`.
#[must_use]
pub fn response(id: Option<u64>, outcome: Result<Value, Error>) -> Response {
    let (result, error) = match outcome {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    };
    Response { jsonrpc: JSON_RPC.to_owned(), id, result, error }
}

/// Carries out a call that starts nothing.
pub(crate) fn call(call: Call) -> Result<Value, Error> {
    let result = match call {
        Call::PolicyCheck(params) => serde_json::to_value(policy::check(&params)?),
        Call::PolicyShow(params) => serde_json::to_value(policy::show(&params)?),
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        Call::PolicyExplain(params) => serde_json::to_value(explain::explained(&params)?),
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        Call::PolicyExplain(_) => {
            let message = "nothing is enforced on this system, so that there is no answer".to_owned();
            return Err(Error { code: code::STATE, message });
        }
        Call::PolicyDiff(params) => serde_json::to_value(policy::diff(&params)?),
        Call::Hello(_)
        | Call::DenialList(_)
        | Call::ContextOpen(_)
        | Call::ContextFork(_)
        | Call::ContextNarrow(_)
        | Call::ContextLease(_)
        | Call::ContextClose(_)
        | Call::ContextList
        | Call::ProcessPlan(_)
        | Call::ProcessStart(_)
        | Call::ProcessSignal(_)
        | Call::ProcessKill(_)
        | Call::ProcessCloseInput(_)
        | Call::ProcessResize(_)
        | Call::ProcessWait(_)
        | Call::ProcessList
        | Call::ProcessAttach(_)
        | Call::ProcessForget(_)
        | Call::NetworkAnswer(_)
        | Call::ChangesList(_)
        | Call::ChangesApply(_)
        | Call::ChangesDiscard(_)
        | Call::FileRead(_)
        | Call::FileWrite(_)
        | Call::FilePatch(_)
        | Call::FileList(_)
        | Call::FileStat(_)
        | Call::FileCopy(_)
        | Call::FileMove(_)
        | Call::FileRemove(_)
        | Call::FileGlob(_)
        | Call::FileSearch(_) => {
            let message = "this stream carries no commands and no calls on files".to_owned();
            return Err(Error { code: code::STATE, message });
        }
        Call::HostDoctor => doctor().and_then(serde_json::to_value),
    };
    result.map_err(|error| Error { code: code::BAD_CALL, message: error.to_string() })
}

/// Probes the host by trying, and reads what was found.
#[cfg(target_os = "linux")]
pub(crate) fn doctor() -> Result<Examined, serde_json::Error> {
    use weir_sandbox_linux::{doctor, host::Host};

    let host = Host::probe();
    Ok(Examined {
        confines: doctor::confines(&host),
        text: doctor::render(&host),
        findings: serde_json::to_value(doctor::findings(&host))?,
        host: serde_json::to_value(&host)?,
    })
}

/// What macOS can and cannot give is declared, not probed; whether the program is there that confines is seen.
#[cfg(not(target_os = "linux"))]
pub(crate) fn doctor() -> Result<Examined, serde_json::Error> {
    use weir_sandbox_macos::gap;
    use weir_sandbox_macos::launch::SANDBOX_EXEC;

    let keys: Vec<&str> = gap::GAPS.iter().map(|gap| gap.key).collect();
    Ok(Examined {
        confines: cfg!(target_os = "macos") && std::path::Path::new(SANDBOX_EXEC).exists(),
        text: gap::summary(),
        findings: serde_json::to_value(keys)?,
        host: serde_json::to_value(std::env::consts::OS)?,
    })
}

fn request_id(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(payload).ok()?.get("id")?.as_u64()
}

fn bad_request(payload: &[u8], error: &serde_json::Error) -> Error {
    let is_json = serde_json::from_slice::<Value>(payload).is_ok();
    let code = if is_json { code::BAD_CALL } else { code::BAD_REQUEST };
    Error { code, message: format!("not a request of this version: {error}") }
}
