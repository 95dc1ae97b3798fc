//! Chat completions, as OpenAI had them and most other servers have: vLLM, LM Studio, llama.cpp, routers.

mod reader;
mod request;

use super::http::Framing;
use super::keyed::Keyed;
use super::{Events, ModelError, Prompt};

/// Asks once.
pub(super) async fn respond(server: &Keyed, prompt: &Prompt<'_>) -> Result<Events, ModelError> {
    let request = server.http.post("chat/completions", &request::body(prompt, &server.id))?;
    let reader = reader::ChatReader::new(&server.id, prompt.items.len());
    server.http.events(request, Framing::Events, reader).await
}
