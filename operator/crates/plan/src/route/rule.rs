//! Which requests a match means, in one normal form, and the same as a Traefik v3 rule.
//!
//! Grammar: `pkg/rules/parser.go` and `pkg/muxer/http/matcher.go` of Traefik v3: Go expressions
//! over `Host`, `HostRegexp`, `Path`, `PathPrefix`, `PathRegexp`, `Header`, `Method`, `Query`.

use std::collections::BTreeMap;

use api_types::route::{HttpMethod, PathMatchType, RouteMatch};
use serde::Serialize;

/// Requests that one router gets. Two equal ones are a conflict; what is equal is decided by the
/// requests that match and not by how they are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct MatchKey {
    /// Lower case; `*.` at the beginning stands for one label.
    pub host: String,
    /// Traefik keeps encrypted and plain requests apart.
    pub tls: bool,
    pub path: PathKey,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub method: Option<&'static str>,
    pub query: BTreeMap<String, String>,
}

/// Paths that match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum PathKey {
    /// This path and everything below it, without a slash at the end; empty: every path.
    Prefix(String),
    Exact(String),
    Expression(String),
}

impl PathKey {
    /// What a person calls it: `/` for every path.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Prefix(path) if path.is_empty() => "/",
            Self::Prefix(path) | Self::Exact(path) | Self::Expression(path) => path,
        }
    }
}

impl MatchKey {
    pub(crate) fn new(host: &str, tls: bool, matched: &RouteMatch) -> Self {
        let path = match &matched.path {
            None => PathKey::Prefix(String::new()),
            Some(path) => match path.type_ {
                PathMatchType::Prefix => {
                    PathKey::Prefix(path.value.trim_end_matches('/').to_owned())
                }
                PathMatchType::Exact => PathKey::Exact(path.value.clone()),
                PathMatchType::RegularExpression => PathKey::Expression(path.value.clone()),
            },
        };
        Self {
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            tls,
            path,
            headers: matched
                .headers
                .iter()
                .map(|h| (h.name.to_ascii_lowercase(), h.value.clone()))
                .collect(),
            method: matched.method.map(method),
            query: matched
                .query_params
                .iter()
                .map(|q| (q.name.clone(), q.value.clone()))
                .collect(),
        }
    }

    /// The host name behind `*.`, for a wildcard.
    pub(crate) fn wildcard(&self) -> Option<&str> {
        self.host.strip_prefix("*.")
    }

    /// The rule in Traefik's words.
    pub(crate) fn rule(&self) -> String {
        let mut terms = vec![match self.wildcard() {
            None => format!("Host({})", literal(&self.host)),
            Some(domain) => format!(
                "HostRegexp({})",
                literal(&format!(r"^[^.]+\.{}$", escaped(domain)))
            ),
        }];
        match &self.path {
            PathKey::Prefix(path) if path.is_empty() => {}
            PathKey::Prefix(path) => {
                terms.push(format!(
                    "(Path({}) || PathPrefix({}))",
                    literal(path),
                    literal(&format!("{path}/"))
                ));
            }
            PathKey::Exact(path) => terms.push(format!("Path({})", literal(path))),
            PathKey::Expression(expression) => {
                terms.push(format!(
                    "PathRegexp({})",
                    literal(&format!("^(?:{expression})"))
                ));
            }
        }
        terms.extend(
            self.method
                .map(|method| format!("Method({})", literal(method))),
        );
        terms.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("Header({}, {})", literal(name), literal(value))),
        );
        terms.extend(
            self.query
                .iter()
                .map(|(name, value)| format!("Query({}, {})", literal(name), literal(value))),
        );
        terms.join(" && ")
    }

    /// Order among the routers of one host name (F6): an explicit priority before none, then an
    /// exact host name before a wildcard, an exact path before others, a longer path before a
    /// shorter one, more conditions before fewer.
    pub(crate) fn priority(&self, explicit: Option<u32>) -> u64 {
        const EXPLICIT: u64 = 1_000_000;
        const EXACT_HOST: u64 = 200_000;
        const EXACT_PATH: u64 = 100_000;
        const PER_CHARACTER: u64 = 64; // above the 33 conditions that a match can have beside the path
        let host = if self.wildcard().is_none() {
            EXACT_HOST
        } else {
            0
        };
        let kind = if matches!(self.path, PathKey::Exact(_)) {
            EXACT_PATH
        } else {
            0
        };
        let length = self.path.text().len().min(1024) as u64 * PER_CHARACTER;
        let conditions =
            (self.headers.len() + self.query.len() + usize::from(self.method.is_some())).min(63)
                as u64;
        u64::from(explicit.unwrap_or_default()) * EXPLICIT + host + kind + length + conditions
    }
}

fn method(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Connect => "CONNECT",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Trace => "TRACE",
        HttpMethod::Patch => "PATCH",
    }
}

/// A Go string literal: raw where that is possible, which keeps expressions readable.
fn literal(text: &str) -> String {
    if text.chars().any(|c| c == '`' || c.is_control()) {
        // JSON's escapes are a part of Go's.
        return serde_json::Value::from(text).to_string();
    }
    format!("`{text}`")
}

/// `text` as an expression that matches just it (RE2 syntax).
pub(crate) fn escaped(text: &str) -> String {
    let mut expression = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            expression.push('\\');
        }
        expression.push(c);
    }
    expression
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(host: &str, matched: serde_json::Value) -> MatchKey {
        MatchKey::new(host, false, &serde_json::from_value(matched).unwrap())
    }

    #[test]
    fn rules_are_in_the_grammar_of_v3() {
        // cases F3, F5
        let path =
            |type_: &str, value: &str| serde_json::json!({"path": {"type": type_, "value": value}});
        let cases = [
            (
                "shop.example.com",
                serde_json::json!({}),
                "Host(`shop.example.com`)",
            ),
            (
                "Shop.Example.com",
                path("Prefix", "/"),
                "Host(`shop.example.com`)",
            ),
            (
                "*.example.com",
                serde_json::json!({}),
                r"HostRegexp(`^[^.]+\.example\.com$`)",
            ),
            (
                "a.b",
                path("Prefix", "/api"),
                "Host(`a.b`) && (Path(`/api`) || PathPrefix(`/api/`))",
            ),
            (
                "a.b",
                path("Prefix", "/api/"),
                "Host(`a.b`) && (Path(`/api`) || PathPrefix(`/api/`))",
            ),
            (
                "a.b",
                path("Exact", "/api/"),
                "Host(`a.b`) && Path(`/api/`)",
            ),
            (
                "a.b",
                path("RegularExpression", "/u/[0-9]+$"),
                "Host(`a.b`) && PathRegexp(`^(?:/u/[0-9]+$)`)",
            ),
            (
                "a.b",
                path("Exact", "/a`b\\c"),
                r#"Host(`a.b`) && Path("/a`b\\c")"#,
            ),
            (
                "a.b",
                serde_json::json!({"method": "GET", "headers": [{"name": "X-B", "value": "2"}, {"name": "X-A", "value": "$1"}],
                    "queryParams": [{"name": "q", "value": "a b"}]}),
                "Host(`a.b`) && Method(`GET`) && Header(`x-a`, `$1`) && Header(`x-b`, `2`) && Query(`q`, `a b`)",
            ),
        ];
        for (host, matched, rule) in cases {
            assert_eq!(key(host, matched).rule(), rule);
        }
    }

    /// A rule without its literals, and what is in them.
    fn taken_apart(rule: &str) -> (String, Vec<String>) {
        let (mut shape, mut literals, mut rest) = (String::new(), Vec::new(), rule);
        while let Some(start) = rest.find(['`', '"']) {
            shape.push_str(&rest[..start]);
            shape.push('_');
            rest = &rest[start..];
            if let Some(raw) = rest.strip_prefix('`') {
                let (text, behind) = raw.split_once('`').unwrap();
                literals.push(text.to_owned());
                rest = behind;
            } else {
                let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                literals.push(texts.next().unwrap().unwrap());
                rest = &rest[texts.byte_offset()..];
            }
        }
        (shape + rest, literals)
    }

    proptest::proptest! {
        /// Nothing that a user writes gets out of its literal and becomes a part of the rule.
        #[test]
        fn texts_stay_in_their_literals(texts in proptest::array::uniform3("[ -~`\"\\\\\r\n\u{e4}\u{2028}]{0,9}")) {
            let [path, header, query] = texts;
            let matched = serde_json::json!({
                "path": {"type": "Exact", "value": path},
                "headers": [{"name": "x", "value": header}],
                "queryParams": [{"name": query, "value": header}],
            });
            let rule = key("a.b", matched).rule();
            let (shape, literals) = taken_apart(&rule);
            proptest::prop_assert_eq!(shape, "Host(_) && Path(_) && Header(_, _) && Query(_, _)");
            proptest::prop_assert_eq!(literals, ["a.b", &path, "x", &header, &query, &header]);
        }
    }

    #[test]
    fn priority_follows_what_is_more_specific() {
        // case F6
        let path = |host: &str, type_: &str, value: &str| {
            key(
                host,
                serde_json::json!({"path": {"type": type_, "value": value}}),
            )
        };
        let ordered = [
            path("*.b.c", "Prefix", "/"),
            path("*.b.c", "Prefix", "/long"),
            path("*.b.c", "Exact", "/"),
            path("a.b.c", "Prefix", "/"),
            path("a.b.c", "Prefix", "/api"),
            path("a.b.c", "Prefix", "/api/v1"),
            key(
                "a.b.c",
                serde_json::json!({"path": {"type": "Prefix", "value": "/api/v1"}, "method": "GET"}),
            ),
            path("a.b.c", "Prefix", &format!("/{}", "x".repeat(1023))),
            path("a.b.c", "Exact", "/"),
            path("a.b.c", "Exact", "/api"),
        ];
        let priorities: Vec<u64> = ordered.iter().map(|key| key.priority(None)).collect();
        assert!(priorities.is_sorted_by(|a, b| a < b), "{priorities:?}");
        assert!(priorities.iter().all(|p| *p < 1_000_000));
        assert!(ordered[0].priority(Some(1)) > ordered[9].priority(None));
        assert!(ordered[9].priority(Some(1)) < ordered[0].priority(Some(2)));
    }

    #[test]
    fn equal_requests_are_equal_however_they_are_written() {
        let one = key(
            "A.b.",
            serde_json::json!({"path": {"type": "Prefix", "value": "/x/"},
            "headers": [{"name": "X-A", "value": "1"}, {"name": "x-b", "value": "2"}]}),
        );
        let two = key(
            "a.b",
            serde_json::json!({"path": {"type": "Prefix", "value": "/x"},
            "headers": [{"name": "X-B", "value": "2"}, {"name": "X-a", "value": "1"}]}),
        );
        assert_eq!(one, two);
        assert_eq!(
            key("a.b", serde_json::json!({})),
            key(
                "a.b",
                serde_json::json!({"path": {"type": "Prefix", "value": "/"}})
            )
        );
        for other in [
            serde_json::json!({"path": {"type": "Exact", "value": "/x"}}),
            serde_json::json!({"path": {"type": "Prefix", "value": "/x/y"}}),
            serde_json::json!({"path": {"type": "Prefix", "value": "/x"}, "method": "GET"}),
        ] {
            assert_ne!(
                key(
                    "a.b",
                    serde_json::json!({"path": {"type": "Prefix", "value": "/x"}})
                ),
                key("a.b", other)
            );
        }
        assert_ne!(
            MatchKey::new("a.b", true, &RouteMatch::default()),
            MatchKey::new("a.b", false, &RouteMatch::default())
        );
    }
}
