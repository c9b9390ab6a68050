//! Filters as Traefik middlewares.

use api_types::route::{
    Filter, FilterType, HeaderModifier, PathModifier, PathModifierType, RequestRedirect, Scheme,
};

use super::rule::{PathKey, escaped};

/// One middleware: what its name ends with, and its options below `traefik.http.middlewares.<name>.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Middleware {
    pub suffix: &'static str,
    pub options: Vec<(String, String)>,
}

/// Why a filter cannot be written as labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("header name {0:?} cannot be written as a label: use letters, digits, - and _")]
    HeaderName(String),
    #[error("ReplacePrefixMatch needs a path of type Prefix in every match of the rule, not {0:?}")]
    NoPrefix(String),
}

/// The middlewares of a rule's filters for one of its matches, in order.
pub(crate) fn middlewares(
    filters: &[Filter],
    path: &PathKey,
) -> Result<Vec<Middleware>, FilterError> {
    let mut list = Vec::new();
    for filter in filters {
        match filter.type_ {
            FilterType::RequestHeaderModifier => list.extend(headers(
                "request-headers",
                "customrequestheaders",
                &filter.request_header_modifier,
            )?),
            FilterType::ResponseHeaderModifier => list.extend(headers(
                "response-headers",
                "customresponseheaders",
                &filter.response_header_modifier,
            )?),
            FilterType::RequestRedirect => {
                if let Some(redirect) = &filter.request_redirect {
                    list.push(redirection(redirect, path)?);
                }
            }
            FilterType::UrlRewrite => {
                let rewrite = filter.url_rewrite.clone().unwrap_or_default();
                if let Some(hostname) = rewrite.hostname {
                    let options = vec![("headers.customrequestheaders.Host".to_owned(), hostname)];
                    list.push(Middleware {
                        suffix: "rewrite-host",
                        options,
                    });
                }
                if let Some(modifier) = &rewrite.path {
                    list.extend(path_rewrite(modifier, path)?);
                }
            }
        }
    }
    Ok(list)
}

/// Headers to set, and to remove by an empty value, as Traefik has it.
fn headers(
    suffix: &'static str,
    option: &str,
    modifier: &Option<HeaderModifier>,
) -> Result<Option<Middleware>, FilterError> {
    let Some(modifier) = modifier else {
        return Ok(None);
    };
    let mut options = Vec::new();
    let removed = modifier.remove.iter().map(|name| (name, ""));
    for (name, value) in removed.chain(
        modifier
            .set
            .iter()
            .map(|header| (&header.name, header.value.as_str())),
    ) {
        let good = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !good {
            return Err(FilterError::HeaderName(name.clone()));
        }
        options.push((format!("headers.{option}.{name}"), value.to_owned()));
    }
    Ok((!options.is_empty()).then_some(Middleware { suffix, options }))
}

/// A redirect of the whole URL: scheme, host, port, path and query are groups 1 to 5.
fn redirection(redirect: &RequestRedirect, path: &PathKey) -> Result<Middleware, FilterError> {
    let scheme = redirect.scheme.map(|scheme| match scheme {
        Scheme::Http => ("http", 80),
        Scheme::Https => ("https", 443),
    });
    let (path_expression, path_replacement) = match &redirect.path {
        None => ("(/[^?]*)?".to_owned(), "${4}".to_owned()),
        Some(PathModifier {
            type_: PathModifierType::ReplaceFullPath,
            replace_full_path,
            ..
        }) => (
            "(/[^?]*)?".to_owned(),
            verbatim(replace_full_path.as_deref().unwrap_or("/")),
        ),
        Some(modifier) => match prefixes(modifier, path)? {
            (prefix, "") => (
                format!("{}(?:/([^?]*))?", escaped(prefix)),
                "/${4}".to_owned(),
            ),
            (prefix, with) => (
                format!("{}(/[^?]*)?", escaped(prefix)),
                format!("{}${{4}}", verbatim(with)),
            ),
        },
    };
    let port = match (redirect.port, scheme) {
        (Some(port), Some((_, default))) if port == default => String::new(),
        (Some(port), _) => format!(":{port}"),
        (None, Some(_)) => String::new(),
        (None, None) => "${3}".to_owned(),
    };
    let regex = format!(r"^(https?)://([^/:?]+|\[[^\]]*\])(:[0-9]+)?{path_expression}(\?.*)?$");
    let replacement = format!(
        "{}://{}{port}{path_replacement}${{5}}",
        scheme.map_or("${1}", |(name, _)| name),
        redirect
            .hostname
            .as_deref()
            .map_or_else(|| "${2}".to_owned(), verbatim),
    );
    Ok(Middleware {
        suffix: "redirect",
        options: vec![
            ("redirectregex.regex".to_owned(), regex),
            ("redirectregex.replacement".to_owned(), replacement),
            (
                "redirectregex.permanent".to_owned(),
                (redirect.status_code == Some(301)).to_string(),
            ),
        ],
    })
}

fn path_rewrite(
    modifier: &PathModifier,
    path: &PathKey,
) -> Result<Option<Middleware>, FilterError> {
    if modifier.type_ == PathModifierType::ReplaceFullPath {
        let to = modifier
            .replace_full_path
            .clone()
            .unwrap_or_else(|| "/".to_owned());
        return Ok(Some(Middleware {
            suffix: "rewrite-path",
            options: vec![("replacepath.path".to_owned(), to)],
        }));
    }
    let (regex, replacement) = match prefixes(modifier, path)? {
        ("", "") => return Ok(None),
        (prefix, "") => (
            format!("^{}(?:/(.*))?$", escaped(prefix)),
            "/${1}".to_owned(),
        ),
        (prefix, with) => (
            format!("^{}(/.*)?$", escaped(prefix)),
            format!("{}${{1}}", verbatim(with)),
        ),
    };
    Ok(Some(Middleware {
        suffix: "rewrite-path",
        options: vec![
            ("replacepathregex.regex".to_owned(), regex),
            ("replacepathregex.replacement".to_owned(), replacement),
        ],
    }))
}

/// The prefix that matched and what stands in its place, both without a slash at the end.
fn prefixes<'a>(
    modifier: &'a PathModifier,
    path: &'a PathKey,
) -> Result<(&'a str, &'a str), FilterError> {
    let PathKey::Prefix(prefix) = path else {
        return Err(FilterError::NoPrefix(path.text().to_owned()));
    };
    let with = modifier.replace_prefix_match.as_deref().unwrap_or("/");
    Ok((prefix, with.trim_end_matches('/')))
}

/// Text that Go's `Expand` leaves as it is.
fn verbatim(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(filters: serde_json::Value, path: &PathKey) -> Result<Vec<String>, String> {
        let filters: Vec<Filter> = serde_json::from_value(filters).unwrap();
        let list = middlewares(&filters, path).map_err(|error| error.to_string())?;
        Ok(list
            .into_iter()
            .flat_map(|m| {
                m.options
                    .into_iter()
                    .map(move |(key, value)| format!("{}: {key}={value}", m.suffix))
            })
            .collect())
    }

    #[test]
    fn every_filter_has_its_middleware() {
        let api = PathKey::Prefix("/api".into());
        let root = PathKey::Prefix(String::new());
        let request = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-Env", "value": "a, $1"}], "remove": ["X-Old"]}}]);
        assert_eq!(
            rendered(request, &root).unwrap(),
            [
                "request-headers: headers.customrequestheaders.X-Old=",
                "request-headers: headers.customrequestheaders.X-Env=a, $1"
            ]
        );
        let response = json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-A", "value": "b"}]}}]);
        assert_eq!(
            rendered(response, &root).unwrap(),
            ["response-headers: headers.customresponseheaders.X-A=b"]
        );
        let rewrite = |path: serde_json::Value| json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "in.example.com", "path": path}}]);
        assert_eq!(
            rendered(
                rewrite(json!({"type": "ReplaceFullPath", "replaceFullPath": "/down.html"})),
                &api
            )
            .unwrap(),
            [
                "rewrite-host: headers.customrequestheaders.Host=in.example.com",
                "rewrite-path: replacepath.path=/down.html"
            ]
        );
        let prefix = |with: &str| json!([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": with}}}]);
        assert_eq!(
            rendered(prefix("/"), &api).unwrap(),
            [
                "rewrite-path: replacepathregex.regex=^/api(?:/(.*))?$",
                "rewrite-path: replacepathregex.replacement=/${1}"
            ]
        );
        assert_eq!(
            rendered(prefix("/v$2/"), &api).unwrap(),
            [
                "rewrite-path: replacepathregex.regex=^/api(/.*)?$",
                "rewrite-path: replacepathregex.replacement=/v$$2${1}"
            ]
        );
        assert!(rendered(prefix("/"), &root).unwrap().is_empty());
    }

    #[test]
    fn redirects_replace_what_is_set_and_keep_the_rest() {
        let api = PathKey::Prefix("/api".into());
        let replacement = |redirect: serde_json::Value| {
            let filters = json!([{"type": "RequestRedirect", "requestRedirect": redirect}]);
            rendered(filters, &api)
                .unwrap()
                .into_iter()
                .find(|line| line.contains("replacement"))
                .unwrap()
        };
        let cases = [
            (json!({"scheme": "https"}), "https://${2}${4}${5}"),
            (
                json!({"scheme": "https", "port": 443}),
                "https://${2}${4}${5}",
            ),
            (
                json!({"scheme": "https", "port": 8443}),
                "https://${2}:8443${4}${5}",
            ),
            (
                json!({"hostname": "www.example.com"}),
                "${1}://www.example.com${3}${4}${5}",
            ),
            (
                json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}),
                "${1}://${2}${3}/x${5}",
            ),
            (
                json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}}),
                "${1}://${2}${3}/v2${4}${5}",
            ),
            (
                json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}),
                "${1}://${2}${3}/${4}${5}",
            ),
        ];
        for (redirect, expected) in cases {
            assert_eq!(
                replacement(redirect),
                format!("redirect: redirectregex.replacement={expected}")
            );
        }
        let moved = json!([{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]);
        assert!(
            rendered(moved, &api)
                .unwrap()
                .contains(&"redirect: redirectregex.permanent=true".to_owned())
        );
    }

    #[test]
    fn what_labels_cannot_say_is_refused() {
        let dotted = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["X.Y"]}}]);
        assert!(
            rendered(dotted, &PathKey::Prefix(String::new()))
                .unwrap_err()
                .contains("X.Y")
        );
        let exact = json!([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]);
        assert!(
            rendered(exact, &PathKey::Exact("/a".into()))
                .unwrap_err()
                .contains("type Prefix")
        );
    }
}
