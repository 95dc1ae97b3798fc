//! What servers of each wire stream, in pieces: for servers that break off between them.

use serde_json::{Value, json};

use super::script::Answer;

/// A wire: its word, what its address has behind the host, and what its answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Responses,
    Chat,
    Anthropic,
    Ollama,
}

impl Wire {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Chat => "chat",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    /// What its addresses have behind the host.
    pub(crate) fn path(self) -> &'static str {
        if self == Self::Ollama { "" } else { "/v1" }
    }

    fn content_type(self) -> &'static str {
        if self == Self::Ollama { "application/x-ndjson" } else { "text/event-stream" }
    }

    /// One piece as it is streamed.
    fn piece(self, value: &Value) -> String {
        match self {
            Self::Ollama => format!("{value}\n"),
            Self::Chat => format!("data: {value}\n\n"),
            Self::Responses | Self::Anthropic => {
                format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
            }
        }
    }

    /// A success with this body.
    pub(crate) fn answer(self, body: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("content-type", self.content_type().to_owned())];
        Answer::Whole { status: 200, headers, body: body.into() }
    }

    /// The beginning of an answer that says something.
    pub(crate) fn begins(self, text: &str) -> String {
        let message = json!({ "id": "m", "type": "message", "role": "assistant", "content": [] });
        let pieces = match self {
            Self::Responses => vec![
                json!({ "type": "response.created", "response": { "id": "r" } }),
                json!({ "type": "response.output_text.delta", "output_index": 0, "delta": text }),
            ],
            Self::Chat => vec![chunk(&json!({ "role": "assistant", "content": text }), &Value::Null)],
            Self::Anthropic => vec![
                json!({ "type": "message_start", "message": message }),
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
            ],
            Self::Ollama => vec![line(&json!({ "role": "assistant", "content": text }))],
        };
        pieces.iter().map(|piece| self.piece(piece)).collect()
    }

    /// The beginning of an answer that calls a tool, up to the whole call and no further.
    pub(crate) fn begins_call(self, tool: &str, arguments: &Value) -> String {
        let text = arguments.to_string();
        let message = json!({ "id": "m", "type": "message", "role": "assistant", "content": [] });
        let pieces = match self {
            Self::Responses => {
                let call =
                    json!({ "type": "function_call", "call_id": "c", "name": tool, "arguments": text });
                vec![json!({ "type": "response.output_item.done", "output_index": 0, "item": call })]
            }
            Self::Chat => {
                let function = json!({ "name": tool, "arguments": text });
                let call = json!({ "index": 0, "id": "c", "type": "function", "function": function });
                vec![chunk(&json!({ "tool_calls": [call] }), &Value::Null)]
            }
            Self::Anthropic => {
                let block = json!({ "type": "tool_use", "id": "c", "name": tool, "input": {} });
                let delta = json!({ "type": "input_json_delta", "partial_json": text });
                vec![
                    json!({ "type": "message_start", "message": message }),
                    json!({ "type": "content_block_start", "index": 0, "content_block": block }),
                    json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
                    json!({ "type": "content_block_stop", "index": 0 }),
                ]
            }
            Self::Ollama => {
                let call = json!({ "function": { "name": tool, "arguments": arguments } });
                vec![line(&json!({ "role": "assistant", "content": "", "tool_calls": [call] }))]
            }
        };
        pieces.iter().map(|piece| self.piece(piece)).collect()
    }

    /// What completes an answer that has said `text`.
    pub(crate) fn ends(self, text: &str) -> String {
        let said = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": text }] });
        let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
        let pieces = match self {
            Self::Responses => vec![
                json!({ "type": "response.output_item.done", "output_index": 0, "item": said }),
                json!({ "type": "response.completed", "response": { "id": "r", "usage": usage } }),
            ],
            Self::Chat => vec![chunk(&json!({}), &json!("stop"))],
            Self::Anthropic => vec![
                json!({ "type": "content_block_stop", "index": 0 }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } }),
                json!({ "type": "message_stop" }),
            ],
            Self::Ollama => {
                vec![
                    json!({ "message": { "content": "" }, "done": true, "done_reason": "stop", "eval_count": 5 }),
                ]
            }
        };
        pieces.iter().map(|piece| self.piece(piece)).collect()
    }

    /// A whole answer.
    pub(crate) fn says(self, text: &str) -> Answer {
        self.answer(self.begins(text) + &self.ends(text))
    }

    /// A failure that a server tells of when the answer has begun.
    pub(crate) fn fails(self, message: &str) -> String {
        let error = json!({ "type": "overloaded_error", "code": "server_error", "message": message });
        self.piece(&match self {
            Self::Responses => json!({ "type": "response.failed", "response": { "error": error } }),
            Self::Chat => json!({ "error": error }),
            Self::Anthropic => json!({ "type": "error", "error": error }),
            Self::Ollama => json!({ "error": message }),
        })
    }

    /// A piece that is no JSON.
    pub(crate) fn garbles(self) -> String {
        if self == Self::Ollama { "{oops\n".to_owned() } else { "data: {oops\n\n".to_owned() }
    }

    /// A piece that is cut off in its middle.
    pub(crate) fn cuts(self, text: &str) -> String {
        let whole = self.begins(text);
        whole[..whole.len() - 10].to_owned()
    }
}

fn chunk(delta: &Value, finish: &Value) -> Value {
    json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
}

fn line(message: &Value) -> Value {
    json!({ "model": "m", "message": message, "done": false })
}
