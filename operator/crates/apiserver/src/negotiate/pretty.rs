//! Answers in another layout: indented JSON for people who look at them with `pretty=true`, curl or
//! a browser, and refusals in YAML.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::handlers::{Query, Streaming};
use crate::status_error::ApiError;

/// Programs of people, by the beginning of their names.
const PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Does this client want to read the answer by itself?
pub(crate) fn wanted(query: &str, headers: &HeaderMap) -> bool {
    if let Some(asked) = Query::parse(query).set("pretty") {
        return matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| PEOPLE.iter().any(|name| agent.starts_with(name)))
}

/// The same answer, indented; streams, and documents that are known by their hash, stay as they are.
pub(crate) async fn print(response: Response) -> Response {
    let fixed = response.headers().contains_key(header::ETAG)
        || response.extensions().get::<Streaming>().is_some();
    if fixed || !is_json(&response) {
        return response;
    }
    rewritten(response, indented).await
}

/// A refusal in YAML, for those who asked for that.
pub(crate) async fn refusal_in_yaml(response: Response) -> Response {
    if !is_json(&response) {
        return response;
    }
    let mut response = rewritten(response, |json| {
        let status: Option<Value> = serde_json::from_slice(json).ok();
        status.and_then(|status| serde_saphyr::to_string(&status).ok().map(Into::into))
    })
    .await;
    let yaml = HeaderValue::from_static("application/yaml");
    response.headers_mut().insert(header::CONTENT_TYPE, yaml);
    response
}

fn is_json(response: &Response) -> bool {
    let media = response.headers().get(header::CONTENT_TYPE);
    media.is_some_and(|media| media == "application/json")
}

/// With another body, where one can be made of it.
async fn rewritten(response: Response, body: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Response {
    let (parts, old) = response.into_parts();
    let old = match old.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return ApiError::Internal(error.to_string()).into_response(),
    };
    let new = body(&old).map_or(Body::from(old), Body::from);
    Response::from_parts(parts, new)
}

/// Written as it is read, because the tree of a large list would take many times its text.
fn indented(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut from = serde_json::Deserializer::from_slice(json);
    let mut to = serde_json::Serializer::pretty(&mut out);
    serde_transcode::transcode(&mut from, &mut to).ok()?;
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_known_by_what_they_ask_and_use() {
        let cases = [
            ("", "kubectl/v1.32.0", false),
            ("", "curl/8.0", true),
            ("", "Mozilla/5.0 (X11)", true),
            ("pretty=true", "kubectl/v1.32.0", true),
            ("pretty=false", "curl/8.0", false),
            ("pretty=yes", "curl/8.0", false),
        ];
        for (query, agent, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(wanted(query, &headers), expected, "{query} {agent}");
        }
    }

    #[test]
    fn indentation_is_that_of_every_json_printer() {
        let value = json!({"b": [], "a": {}, "c": [{}, [1, {"x": null}], "}\"{"], "d": -1.5e-300});
        let expected = serde_json::to_string_pretty(&value).unwrap();
        let ours = indented(value.to_string().as_bytes()).unwrap();
        assert_eq!(String::from_utf8(ours).unwrap(), expected);
        assert_eq!(indented(b"no JSON"), None);
    }
}
