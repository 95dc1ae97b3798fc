//! Answers that are none: what a status and what a provider says about it mean.
//!
//! Pure over status, headers and body. Providers word their errors differently and agree on a few places to look.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::super::ModelError;

/// How much of a message is shown, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// How much of a page that is no answer is shown, in characters.
const BEGINS_CHARS_MAX: usize = 120;

/// The longest wait that a provider can ask for: a turn that stands for longer is better ended by its person.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// Words of providers for a conversation that is too long: OpenAI, Anthropic, Bedrock, vLLM, llama.cpp.
const OVERFLOW: [&str; 7] = [
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "prompt is too long",
    "input is too long",
    "too many input tokens",
    "exceeds the available context size",
];

/// Words of providers for an account that may ask no more.
const QUOTA: [&str; 4] = ["insufficient_quota", "billing", "credit balance", "quota exceeded"];

/// What an answer is, by its head.
pub(super) struct Kind {
    host: String,
    status: StatusCode,
    content_type: String,
    after: Option<Duration>,
}

impl Kind {
    pub(super) fn of(response: &Response, host: String) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            host,
            status: response.status(),
            content_type: content_type.unwrap_or_default().to_owned(),
            after: retry_after(response.headers(), SystemTime::now()),
        }
    }

    /// Whether what follows is an answer. A success that is a page is none.
    pub(super) fn is_answer(&self) -> bool {
        self.status.is_success() && !self.content_type.starts_with("text/html")
    }

    /// The error that it is, with what its body says.
    pub(super) fn into_error(self, body: &[u8]) -> ModelError {
        let status = self.status.as_u16();
        if self.status.is_redirection() {
            return ModelError::Elsewhere { host: self.host, status };
        }
        let said: Option<Value> = serde_json::from_slice(body).ok();
        let page = self.content_type.starts_with("text/html");
        if self.status.is_success() || (page && !self.status.is_server_error()) {
            let begins = String::from_utf8_lossy(body).trim_start().chars().take(BEGINS_CHARS_MAX).collect();
            return ModelError::NotAnApi { host: self.host, status, content_type: self.content_type, begins };
        }
        let text = match said.as_ref().and_then(Said::of) {
            Some(said) => said,
            None if page => {
                Said { code: String::new(), message: "a page, and no word of a provider".to_owned() }
            }
            None => Said { code: String::new(), message: String::from_utf8_lossy(body).trim().to_owned() },
        };
        text.into_error(status, self.after)
    }
}

/// The error that a piece of a stream tells of: `{"error": …}`, or the error itself.
pub(crate) fn failure_of(piece: &Value) -> ModelError {
    let said = Said::of(piece).unwrap_or_else(|| Said { code: String::new(), message: piece.to_string() });
    let status = status_of(&said.code);
    said.into_error(status, None)
}

/// What a provider says of an error.
struct Said {
    code: String,
    message: String,
}

impl Said {
    /// Looks where OpenAI, Anthropic, Amazon, Ollama and FastAPI put it.
    fn of(value: &Value) -> Option<Self> {
        let inner = match value.get("error") {
            Some(Value::Null) | None => value,
            Some(inner) => inner,
        };
        if let Some(text) = inner.as_str() {
            return Some(Self { code: String::new(), message: text.to_owned() });
        }
        let word = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| inner.get(name).and_then(Value::as_str))
                .unwrap_or_default()
                .to_owned()
        };
        let message = word(&["message", "Message", "detail"]);
        let code = match word(&["code"]) {
            code if code.is_empty() => word(&["type", "__type"]),
            code => code,
        };
        (!message.is_empty() || !code.is_empty()).then_some(Self { code, message })
    }

    fn has(&self, words: &[&str]) -> bool {
        let text = format!("{} {}", self.code, self.message).to_lowercase();
        words.iter().any(|word| text.contains(word))
    }

    fn into_error(self, status: u16, after: Option<Duration>) -> ModelError {
        let message = match (self.message.is_empty(), self.code.is_empty()) {
            (true, true) => "no reason was given".to_owned(),
            (true, false) => self.code.clone(),
            (false, _) => self.message.chars().take(MESSAGE_CHARS_MAX).collect(),
        };
        match status {
            _ if self.has(&OVERFLOW) => ModelError::ContextOverflow { message },
            413 => ModelError::ContextOverflow { message },
            402 => ModelError::Quota { message },
            429 if self.has(&QUOTA) => ModelError::Quota { message },
            429 => ModelError::Throttled { message, after },
            401 | 403 => ModelError::Key { status, message },
            404 => ModelError::Unknown { message },
            408 | 409 | 500.. => ModelError::Server { status, message, after },
            _ => ModelError::Refused { status, message },
        }
    }
}

/// The status that stands for an error which came in a stream, by the providers' own words.
fn status_of(code: &str) -> u16 {
    match code {
        "rate_limit_exceeded" | "rate_limit_error" | "throttlingException" | "insufficient_quota" => 429,
        "overloaded_error" | "serviceUnavailableException" | "slow_down" => 503,
        "authentication_error" | "permission_error" | "invalid_api_key" => 401,
        "not_found_error" | "model_not_found" => 404,
        "invalid_request_error" | "invalid_prompt" | "validationException" => 400,
        _ => 500,
    }
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = text("retry-after-ms").and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let stated = milliseconds.or_else(|| {
        let text = text("retry-after")?;
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds
            .or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()))
    });
    stated.map(|after| after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, content_type: &str, body: &str) -> String {
        let kind = Kind {
            host: "api.example".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            content_type: content_type.to_owned(),
            after: None,
        };
        assert!(!kind.is_answer(), "{status} {content_type}");
        let text = format!("{:?}", kind.into_error(body.as_bytes()));
        text.split([' ', '(']).next().unwrap_or_default().to_owned()
    }

    #[test]
    fn what_providers_say_is_told_apart() {
        let json = "application/json";
        let cases = [
            (401, json, r#"{"error":{"message":"Incorrect API key provided"}}"#, "Key"),
            (403, json, r#"{"message":"The security token included in the request is invalid."}"#, "Key"),
            (402, json, r#"{"error":{"message":"pay"}}"#, "Quota"),
            (429, json, r#"{"error":{"code":"insufficient_quota","message":"You exceeded"}}"#, "Quota"),
            (
                429,
                json,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#,
                "Throttled",
            ),
            (400, json, r#"{"error":{"code":"context_length_exceeded","message":"…"}}"#, "ContextOverflow"),
            (
                400,
                json,
                r#"{"error":{"message":"prompt is too long: 9 tokens > 8 maximum","type":"invalid_request_error"}}"#,
                "ContextOverflow",
            ),
            (400, json, r#"{"message":"Input is too long for requested model."}"#, "ContextOverflow"),
            (400, json, r#"{"detail":"no such field"}"#, "Refused"),
            (404, json, r#"{"error":"model 'x' not found"}"#, "Unknown"),
            (500, "text/html", "<html>oops", "Server"),
            (529, json, r#"{"error":{"type":"overloaded_error"}}"#, "Server"),
            (200, "text/html; charset=utf-8", "<!doctype html><title>Sign in", "NotAnApi"),
            (404, "text/html", "<html>nginx", "NotAnApi"),
            (302, "text/plain", "", "Elsewhere"),
            (418, "text/plain", "tea", "Refused"),
        ];
        for (status, content_type, body, expect) in cases {
            assert_eq!(error(status, content_type, body), expect, "{status} {body}");
        }
    }

    #[test]
    fn a_wait_is_read_in_every_form_and_bounded() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "1500", Some(1_500)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("retry-after", "86400", Some(120_000)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("x-other", "2", None),
        ];
        for (name, value, expect) in cases {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expect.map(Duration::from_millis), "{name}: {value}");
        }
    }
}
