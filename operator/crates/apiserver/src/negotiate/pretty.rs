//! Indented JSON, for people who look at answers with `pretty=true`, curl or a browser.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;

use crate::handlers::{Query, Streaming};

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
    let headers = response.headers();
    let json = HeaderValue::from_static("application/json");
    let fixed =
        headers.contains_key(header::ETAG) || response.extensions().get::<Streaming>().is_some();
    if fixed || headers.get(header::CONTENT_TYPE) != Some(&json) {
        return response;
    }
    let (parts, body) = response.into_parts();
    // It is all in memory already, so that nothing can fail.
    let bytes = body.collect().await.map(|body| body.to_bytes());
    let text = indented(&bytes.unwrap_or_default());
    Response::from_parts(parts, Body::from(text))
}

fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut string, mut escaped) = (0, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * depth));
    };
    for (at, &byte) in json.iter().enumerate() {
        if string {
            out.push(byte);
            string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend(b": "),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => {
                string = byte == b'"';
                out.push(byte);
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

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
        let values = [
            json!({"a": {}, "b": [], "c": [{}, [1, {"x": null}], "}\"{,:\\"], "d\\\"[": -1.5e3}),
            json!([]),
            json!("x: {\""),
            Value::Null,
        ];
        for value in values {
            let expected = serde_json::to_string_pretty(&value).unwrap();
            let ours = indented(value.to_string().as_bytes());
            assert_eq!(String::from_utf8(ours).unwrap(), expected);
        }
    }
}
