//! Signature Version 4, as Amazon's own crate makes it.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Request;
use reqwest::header::{HeaderName, HeaderValue};

use super::super::ModelError;
use super::credentials::Keys;

/// The service's name in a signature.
const SERVICE: &str = "bedrock";

/// The request with its signature.
pub(super) fn signed(
    mut request: Request,
    keys: &Keys,
    region: &str,
    now: SystemTime,
) -> Result<Request, ModelError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ModelError::Sign(error);
    let session = keys.session.as_ref().map(|session| session.expose().to_owned());
    let identity = Credentials::new(keys.id.expose(), keys.secret.expose(), session, None, "weir").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(error.into()))?
        .into();
    // Without the others: a proxy may change them.
    let content = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    let headers: Vec<_> = content.map(|value| ("content-type", value)).into_iter().collect();
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let url = request.url().as_str();
    let signable =
        SignableRequest::new(request.method().as_str(), url, headers.into_iter(), SignableBody::Bytes(body))
            .map_err(|error| failed(error.into()))?;
    let (instructions, _) = sign(signable, &params).map_err(|error| failed(error.into()))?.into_parts();
    for (name, value) in instructions.headers() {
        let name = name.parse::<HeaderName>().map_err(|error| failed(error.into()))?;
        let mut value = value.parse::<HeaderValue>().map_err(|error| failed(error.into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::secret::Secret;
    use super::*;

    fn key(text: &str) -> Secret {
        Secret::new(text, "test").unwrap()
    }

    /// The signature was made with Python's hmac and hashlib over the canonical request of the documentation.
    #[test]
    fn a_signature_is_what_the_documentation_says() {
        let keys = Keys {
            id: key("AKIDEXAMPLE"),
            secret: key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
        };
        let client = reqwest::Client::builder().no_proxy();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let request = client
            .build()
            .unwrap()
            .post("https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b-v1%3A0/converse-stream")
            .header("content-type", "application/json")
            .body("{}")
            .build()
            .unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let signed = signed(request, &keys, "us-east-1", now).unwrap();
        let header = |name: &str| signed.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature=87f283cd5e773ee9a3350cc15d699c3bf8e0ce22ef7b0beb2de389e2d1dea9f0"
        );
    }
}
