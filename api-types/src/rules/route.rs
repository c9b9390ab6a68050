//! Rules of `Route`.

use super::{Rule, rule, text};

const URL_PATH: &str =
    r#"self.matches(r"^/([a-zA-Z0-9._~!$&'()*+,;=:@%-]+/)*([a-zA-Z0-9._~!$&'()*+,;=:@%-]+)?$")"#;
const URL_PATH_SAYS: &str = "is not a path: it starts with /, has no empty element, and none of ? # and blanks, for example /api";
const HEADER_NAME: &str = r#"self.matches(r"^[a-zA-Z0-9!#$%&'*+.^_|~-]+$")"#;
const HEADER_NAME_SAYS: &str =
    "is not the name of a header: write letters, digits and -, for example X-Environment";
const NO_BACK_QUOTE: &str = r"self.matches(r'^[^`\x00-\x08\x0a-\x1f\x7f]*$')";
const NO_BACK_QUOTE_SAYS: &str =
    "contains a back-quote or a control character, which cannot be passed on to Traefik";
const HOST: &str = "self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\\\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') \
                    && !self.matches('(^|\\\\.)[0-9]+$')";
const HOST_SAYS: &str = "is not a host name: write a lower-case DNS name without port, scheme and *, for example www.example.com";
const TRAEFIK_NAME: &str = "self.matches('^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$')";
const PATH_UNION: &str = "(self.type == 'ReplaceFullPath') == has(self.replaceFullPath) \
                          && (self.type == 'ReplacePrefixMatch') == has(self.replacePrefixMatch)";
const PATH_UNION_SAYS: &str = "set replaceFullPath with type ReplaceFullPath, or replacePrefixMatch with type ReplacePrefixMatch, and not the other";
const HEADERS_ANY: &str =
    "(has(self.set) && self.set.size() > 0) || (has(self.remove) && self.remove.size() > 0)";
const HEADERS_ANY_SAYS: &str = "set at least one of set and remove";
const HEADERS_ONCE: &str =
    "!has(self.set) || !has(self.remove) || !self.set.exists(h, h.name in self.remove)";
const HEADERS_ONCE_SAYS: &str = "a header cannot be set and removed at the same time";

pub(super) const RULES: &[Rule] = &[
    text(
        "spec.hostnames[]",
        r"self.matches(r'^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') && !self.matches(r'(^|\.)[0-9]+$')",
        "is not a host name: write a lower-case DNS name without port and scheme, *. only at the beginning, for example shop.example.com or *.example.com",
    ),
    text("spec.entryPoints[]", TRAEFIK_NAME, "is not the name of an entry point: write letters, digits, - and _, for example websecure"),
    rule(
        "spec.tls",
        ".certificateResolver",
        "!has(self.certificateResolver) || self.mode == 'Terminate'",
        "certificateResolver needs mode Terminate",
    ),
    text("spec.tls.certificateResolver", TRAEFIK_NAME, "is not the name of a certificate resolver: write letters, digits, - and _, for example letsencrypt"),
    rule(
        "spec.rules",
        "",
        "self.all(r, !has(r.name) || self.exists_one(q, has(q.name) && q.name == r.name))",
        "the name of a rule may be used once",
    ),
    text(
        "spec.rules[].name",
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && !self.matches('^[0-9]+$')",
        "is not the name of a rule: write lower-case letters, digits and -, not digits alone, for example api",
    ),
    rule(
        "spec.rules[].backendRefs",
        "",
        "self.size() == 1",
        "name exactly one backend: splitting requests between several is not supported in this version",
    ),
    text(
        "spec.rules[].backendRefs[].name",
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "is not the name of a Deployment: write lower-case letters, digits and -, for example web",
    ),
    rule("spec.rules[].matches[].path", ".value", r#"self.type == 'RegularExpression' || self.value.matches(r"^/([a-zA-Z0-9._~!$&'()*+,;=:@%-]+/)*([a-zA-Z0-9._~!$&'()*+,;=:@%-]+)?$")"#, "is not a path")
        .showing("\"'\" + self.value + \"' is not a path: it starts with /, has no empty element, and none of ? # and blanks, for example /api\""),
    text("spec.rules[].matches[].path.value", NO_BACK_QUOTE, NO_BACK_QUOTE_SAYS),
    text("spec.rules[].matches[].headers[].name", HEADER_NAME, HEADER_NAME_SAYS),
    text("spec.rules[].matches[].headers[].value", NO_BACK_QUOTE, NO_BACK_QUOTE_SAYS),
    text("spec.rules[].matches[].queryParams[].name", r"self.matches(r'^[^`\s=&#]+$')", "is not the name of a query parameter: it has no blank, back-quote, =, & and #, for example version"),
    text("spec.rules[].matches[].queryParams[].value", NO_BACK_QUOTE, NO_BACK_QUOTE_SAYS),
    rule(
        "spec.rules[].filters",
        "",
        "self.all(f, self.exists_one(g, g.type == f.type))",
        "each type of filter may be used once in a rule",
    ),
    rule(
        "spec.rules[].filters",
        "",
        "!self.exists(f, f.type == 'RequestRedirect') || !self.exists(f, f.type == 'URLRewrite')",
        "RequestRedirect and URLRewrite exclude each other in a rule",
    ),
    rule(
        "spec.rules[]",
        ".matches",
        "!has(self.filters) || !self.filters.exists(f, (has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch') || (has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch')) || (has(self.matches) && self.matches.size() == 1 && has(self.matches[0].path) && self.matches[0].path.type == 'Prefix')",
        "ReplacePrefixMatch needs exactly one match in the rule, with a path of type Prefix",
    ),
    rule("spec.rules[].filters[]", ".requestHeaderModifier", "(self.type == 'RequestHeaderModifier') == has(self.requestHeaderModifier)", "set requestHeaderModifier with type RequestHeaderModifier, and only then"),
    rule("spec.rules[].filters[]", ".responseHeaderModifier", "(self.type == 'ResponseHeaderModifier') == has(self.responseHeaderModifier)", "set responseHeaderModifier with type ResponseHeaderModifier, and only then"),
    rule("spec.rules[].filters[]", ".requestRedirect", "(self.type == 'RequestRedirect') == has(self.requestRedirect)", "set requestRedirect with type RequestRedirect, and only then"),
    rule("spec.rules[].filters[]", ".urlRewrite", "(self.type == 'URLRewrite') == has(self.urlRewrite)", "set urlRewrite with type URLRewrite, and only then"),
    rule("spec.rules[].filters[].requestHeaderModifier", "", HEADERS_ANY, HEADERS_ANY_SAYS),
    rule("spec.rules[].filters[].requestHeaderModifier", "", HEADERS_ONCE, HEADERS_ONCE_SAYS),
    text("spec.rules[].filters[].requestHeaderModifier.set[].name", HEADER_NAME, HEADER_NAME_SAYS),
    text("spec.rules[].filters[].requestHeaderModifier.set[].value", NO_BACK_QUOTE, NO_BACK_QUOTE_SAYS),
    text("spec.rules[].filters[].requestHeaderModifier.remove[]", HEADER_NAME, HEADER_NAME_SAYS),
    rule("spec.rules[].filters[].responseHeaderModifier", "", HEADERS_ANY, HEADERS_ANY_SAYS),
    rule("spec.rules[].filters[].responseHeaderModifier", "", HEADERS_ONCE, HEADERS_ONCE_SAYS),
    text("spec.rules[].filters[].responseHeaderModifier.set[].name", HEADER_NAME, HEADER_NAME_SAYS),
    text("spec.rules[].filters[].responseHeaderModifier.set[].value", NO_BACK_QUOTE, NO_BACK_QUOTE_SAYS),
    text("spec.rules[].filters[].responseHeaderModifier.remove[]", HEADER_NAME, HEADER_NAME_SAYS),
    rule("spec.rules[].filters[].requestRedirect", "", "has(self.scheme) || has(self.hostname) || has(self.port) || has(self.path)", "set at least one of scheme, hostname, port and path"),
    text("spec.rules[].filters[].requestRedirect.hostname", HOST, HOST_SAYS),
    rule("spec.rules[].filters[].requestRedirect.path", "", PATH_UNION, PATH_UNION_SAYS),
    text("spec.rules[].filters[].requestRedirect.path.replaceFullPath", URL_PATH, URL_PATH_SAYS),
    text("spec.rules[].filters[].requestRedirect.path.replacePrefixMatch", URL_PATH, URL_PATH_SAYS),
    rule("spec.rules[].filters[].urlRewrite", "", "has(self.hostname) || has(self.path)", "set at least one of hostname and path"),
    text("spec.rules[].filters[].urlRewrite.hostname", HOST, HOST_SAYS),
    rule("spec.rules[].filters[].urlRewrite.path", "", PATH_UNION, PATH_UNION_SAYS),
    text("spec.rules[].filters[].urlRewrite.path.replaceFullPath", URL_PATH, URL_PATH_SAYS),
    text("spec.rules[].filters[].urlRewrite.path.replacePrefixMatch", URL_PATH, URL_PATH_SAYS),
];
