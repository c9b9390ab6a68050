//! `Route`: which requests from outside reach which Deployment. The words are Gateway API's.

mod filter;
mod status;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use filter::{
    Filter, FilterType, HeaderModifier, HttpHeader, PathModifier, PathModifierType,
    RequestRedirect, Scheme, UrlRewrite,
};
pub use status::{HostStatus, RouteStatus, RouteWinner};

/// Which requests reach which Deployment.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "obiente.cloud",
    version = "v1alpha1",
    kind = "Route",
    plural = "routes",
    singular = "route",
    shortname = "oroute",
    category = "all",
    category = "obiente",
    namespaced,
    status = "RouteStatus",
    derive = "PartialEq",
    doc = "A Route sends HTTP requests for its host names to Deployments in its namespace, through Traefik.",
    printcolumn(
        name = "Hostnames",
        type_ = "string",
        json_path = ".spec.hostnames",
        description = "Host names that it answers for"
    ),
    printcolumn(
        name = "Deployments",
        type_ = "string",
        json_path = ".status.deployments",
        description = "Deployments that requests are sent to"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Reason of the condition Ready"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "URLs",
        type_ = "string",
        json_path = ".status.urls",
        description = "Where it answers",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// Host names to answer for: lower-case DNS names without port or scheme, `*.` at the beginning stands for exactly
    /// one label. 1 to 16, unique. Example: `["shop.example.com"]`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub hostnames: Vec<String>,

    /// Names of the Traefik entry points to listen on. At most 8, unique. Default: Traefik's default entry points.
    /// Example: `["websecure"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub entry_points: Vec<String>,

    /// Which Route is asked first when several match a request: the highest, 1 to 1000000. Default: by the kind of the
    /// host name and the length of the path, longer first. Example: `100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub priority: Option<u32>,

    /// How TLS is handled. Default: none, plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RouteTls>,

    /// What happens to requests for the host names. 1 to 16 rules.
    #[schemars(length(min = 1, max = 16))]
    pub rules: Vec<RouteRule>,
}

/// How TLS is handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTls {
    /// `Terminate` answers HTTPS and sends plain HTTP to the tasks, `None` answers HTTP. Default `Terminate`.
    #[serde(default)]
    pub mode: TlsMode,
    /// Name of the Traefik certificate resolver that obtains the certificates. Only with mode Terminate. Default: the
    /// certificates that Traefik has. Example: `letsencrypt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub certificate_resolver: Option<String>,
}

/// How TLS is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// Traefik answers HTTPS.
    #[default]
    Terminate,
}

/// What happens to the requests that match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRule {
    /// Name of the rule, unique in the Route: lower-case letters, digits and `-`, at most 63. Default: its number in the
    /// list. Example: `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// Which requests: those that any one of the items matches. At most 8. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub matches: Vec<RouteMatch>,
    /// What is changed on the way, in this order; each type at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub filters: Vec<Filter>,
    /// Where the requests go: exactly one Deployment in this version.
    #[schemars(length(min = 1, max = 16))]
    pub backend_refs: Vec<BackendRef>,
}

/// Conditions on a request, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMatch {
    /// On the path of the request. Default: any path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// On headers of the request, unique by name. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HttpHeader>,
    /// On the method of the request. Default: any method. Example: `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HttpMethod")]
    pub method: Option<HttpMethod>,
    /// On query parameters of the request, unique by name. At most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub query_params: Vec<QueryParam>,
}

/// Condition on the path of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathMatch {
    /// `Prefix` matches whole path elements from the beginning (`/api` matches `/api` and `/api/v1`, not `/apis`),
    /// `Exact` the whole path, `RegularExpression` a Go regular expression from the beginning of the path.
    #[serde(rename = "type")]
    pub type_: PathMatchType,
    /// The path or the expression, starting with `/` unless it is an expression; no back-quote.
    /// Example: `/api`.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// How a path is compared.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum PathMatchType {
    /// Whole path elements from the beginning.
    #[default]
    Prefix,
    /// The whole path.
    Exact,
    /// A Go regular expression.
    RegularExpression,
}

/// Method of a request.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
}

/// Condition on a query parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryParam {
    /// Name of the parameter. Example: `version`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value that it must have; no back-quote. Example: `2`.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// A Deployment that requests are sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Name of a Deployment in the Route's namespace. Example: `web`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The containerPort, one of the Deployment's TCP ports, 1 to 65535. Example: `8080`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}
