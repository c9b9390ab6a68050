//! What a Route changes on requests and responses: only what Traefik's labels can express.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One change; exactly the field that belongs to the type is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestRedirect` or `URLRewrite`.
    #[serde(rename = "type")]
    pub type_: FilterType,
    /// Headers of the request to set and remove; with type RequestHeaderModifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    /// Headers of the response to set and remove; with type ResponseHeaderModifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderModifier>,
    /// Answer with a redirect instead of asking a task; with type RequestRedirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RequestRedirect>,
    /// Change host name or path before a task is asked; with type URLRewrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewrite>,
}

/// What a filter changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum FilterType {
    /// Headers of the request.
    RequestHeaderModifier,
    /// Headers of the response.
    ResponseHeaderModifier,
    /// The answer is a redirect.
    RequestRedirect,
    /// Host name or path of the request.
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
}

/// Headers to set and remove; a header is named once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Headers to set, in place of a value that is there. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub set: Vec<HttpHeader>,
    /// Names of headers to remove. At most 16, unique. Example: `["X-Powered-By"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub remove: Vec<String>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name of the header; case does not matter. Example: `X-Environment`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value; no back-quote and no line break. Example: `production`.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// A redirect; what is not set stays as in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`. Default: as requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Scheme")]
    pub scheme: Option<Scheme>,
    /// Host name. Default: as requested. Example: `www.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// Port, 1 to 65535. Default: the scheme's own where the scheme is set, else as requested. Example: `8443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// Path. Default: as requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// `301` (permanent) or `302` (temporary); for methods other than GET, Traefik answers 308 and 307. When absent: 302.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::shapes::redirect_code")]
    pub status_code: Option<u16>,
}

/// Scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain.
    Http,
    /// Encrypted.
    Https,
}

/// A change of host name or path; at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlRewrite {
    /// Host name that the task sees. Default: as requested. Example: `internal.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// Path that the task sees. Default: as requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// `ReplaceFullPath` puts `replaceFullPath` in place of the path, `ReplacePrefixMatch` puts `replacePrefixMatch` in
    /// place of the prefix that matched; the latter needs every match of the rule to have a path of type Prefix.
    #[serde(rename = "type")]
    pub type_: PathModifierType,
    /// The new path, starting with `/`. Example: `/maintenance.html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub replace_full_path: Option<String>,
    /// What stands in place of the prefix, starting with `/`; `/` takes the prefix away. Example: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub replace_prefix_match: Option<String>,
}

/// How a path is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathModifierType {
    /// All of it.
    ReplaceFullPath,
    /// The prefix that matched.
    ReplacePrefixMatch,
}
