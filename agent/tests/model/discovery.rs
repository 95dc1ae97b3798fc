//! What providers offer: asked of them, each in its own way.

use serde_json::json;
use weir_agent::model::Account;

use super::script::{Answer, Script};
use super::{at, on};

#[test]
fn bedrock_says_what_the_account_may_use() {
    let model = |id: &str, ways: &[&str], status: &str| {
        json!({
            "modelId": id, "modelName": "M", "providerName": "P", "responseStreamingSupported": true,
            "inferenceTypesSupported": ways, "modelLifecycle": { "status": status },
        })
    };
    let models = json!({ "modelSummaries": [
        model("p.on-demand-v1:0", &["ON_DEMAND"], "ACTIVE"),
        model("p.by-profile-v1:0", &["INFERENCE_PROFILE"], "ACTIVE"),
        model("p.no-profile-v1:0", &["INFERENCE_PROFILE"], "ACTIVE"),
        model("p.old-v1:0", &["ON_DEMAND"], "LEGACY"),
    ] });
    let arn = "arn:aws:bedrock:eu-west-1::foundation-model/p.by-profile-v1:0";
    let profiles = json!({ "inferenceProfileSummaries": [
        { "inferenceProfileId": "eu.p.by-profile-v1:0", "status": "ACTIVE", "models": [{ "modelArn": arn }] },
    ] });
    let state = |agreement: &str| {
        json!({
            "agreementAvailability": { "status": agreement }, "authorizationStatus": "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE", "regionAvailability": "AVAILABLE",
        })
    };
    let all =
        |answers: &[serde_json::Value]| answers.iter().map(|answer| Answer::json(200, answer)).collect();
    let answers = [models, profiles, state("AVAILABLE"), state("AVAILABLE")];
    let script = Script::new(all(&answers));
    let rest = "wire_api = \"bedrock\"\naws = { region = \"eu-west-1\" }";
    let provider = at(&script.url, rest);
    let found = on(provider.models()).unwrap();
    let ids: Vec<_> = found.iter().map(|model| (model.id.as_str(), model.state.as_deref())).collect();
    assert_eq!(ids, [("p.on-demand-v1:0", Some("usable")), ("eu.p.by-profile-v1:0", Some("usable"))]);
    assert!(
        script
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").unwrap().contains("AWS4-HMAC-SHA256"))
    );

    let [models, profiles, ..] = answers;
    let script = Script::new(all(&[models, profiles, state("NOT_AVAILABLE"), state("NOT_AVAILABLE")]));
    let account = on(at(&script.url, rest).account()).unwrap();
    let expect = Account::Aws {
        from: "AWS_ACCESS_KEY_ID".to_owned(),
        region: "eu-west-1".to_owned(),
        usable: 0,
        offered: 2,
    };
    assert_eq!(account, expect);
}

#[test]
fn ollama_tells_windows() {
    let script = Script::new(vec![
        Answer::json(200, &json!({ "models": [{ "name": "qwen3:8b" }] })),
        Answer::json(200, &json!({ "model_info": { "qwen3.context_length": 40_960 } })),
    ]);
    let models = on(at(&script.url, "wire_api = \"ollama\"").models()).unwrap();
    assert_eq!((models[0].id.as_str(), models[0].context_window), ("qwen3:8b", Some(40_960)));
}

#[test]
fn a_key_that_is_not_taken_is_said() {
    let refused = Answer::json(401, &json!({ "error": { "message": "no" } }));
    let script = Script::new(vec![refused]);
    let account = on(at(&script.url, "env_key = \"KEY\"").account()).unwrap();
    assert_eq!(account, Account::Key { from: "KEY".to_owned(), accepted: false });
    let script =
        Script::new(vec![Answer::json(200, &json!({ "data": [{ "id": "claude" }], "has_more": false }))]);
    let models = on(at(&script.url, "wire_api = \"anthropic\"\nenv_key = \"KEY\"").models()).unwrap();
    assert_eq!(models[0].id, "claude");
    assert_eq!(script.asked()[0].line, "GET /models?limit=1000 HTTP/1.1");
}
