//! `GET /models`, as OpenAI has it and as local servers do, which say more.

use serde_json::Value;

use super::super::http::Http;
use super::super::{Model, ModelError};

/// The models that the key may use.
pub(super) async fn models(http: &Http) -> Result<Vec<Model>, ModelError> {
    Ok(models_of(&http.whole(http.get("models")?).await?))
}

/// The models of a list: `data` as OpenAI has it, `models` as others do.
pub(crate) fn models_of(list: &Value) -> Vec<Model> {
    let entries = list.get("data").or_else(|| list.get("models")).and_then(Value::as_array);
    let mut models: Vec<_> = entries.into_iter().flatten().filter_map(model).collect();
    models.sort_by(|a, b| a.id.cmp(&b.id));
    models
}

fn model(entry: &Value) -> Option<Model> {
    let text = |keys: &[&str]| keys.iter().find_map(|key| entry.get(key)?.as_str());
    let id = text(&["id", "slug", "name"])?;
    // vLLM, OpenRouter, LM Studio, Anthropic, llama.cpp.
    let windows = [
        "/max_model_len",
        "/context_length",
        "/context_window",
        "/max_context_length",
        "/max_input_tokens",
        "/meta/n_ctx_train",
    ];
    Some(Model {
        name: text(&["display_name"]).unwrap_or(id).to_owned(),
        context_window: windows.iter().find_map(|place| entry.pointer(place)?.as_u64()),
        ..Model::named(id)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_many_servers_are_read() {
        let cases = [
            (
                json!({"object": "list", "data": [{"id": "b"}, {"id": "a", "object": "model"}]}),
                vec![("a", None), ("b", None)],
            ),
            (json!({"data": [{"id": "v", "max_model_len": 4096}]}), vec![("v", Some(4096))]),
            (json!({"data": [{"id": "l", "meta": {"n_ctx_train": 8}}]}), vec![("l", Some(8))]),
            (
                json!({"models": [{"slug": "s", "context_window": 9, "display_name": "S"}]}),
                vec![("s", Some(9))],
            ),
            (json!({"data": [{"no": 1}]}), vec![]),
            (json!([]), vec![]),
        ];
        for (list, expect) in cases {
            let models = models_of(&list);
            let found: Vec<_> =
                models.iter().map(|model| (model.id.as_str(), model.context_window)).collect();
            assert_eq!(found, expect, "{list}");
        }
    }
}
