//! From a URL path to what is asked for.
//!
//! Knows the shape of Kubernetes paths and no resource. A path that has a wrong shape is
//! [`Target::Other`] and ends as 404; nothing is guessed, so that
//! `/api/v1/namespaces/default/events` is a list of events and never a subresource.

use percent_encoding::percent_decode_str;

/// What a path points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A collection, an object or a subresource.
    Resource(ResourcePath),
    /// Everything else: discovery, documents, health.
    Other,
}

/// The parts of a resource path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// Empty for core.
    pub group: String,
    /// `v1`
    pub version: String,
    /// Empty for cluster-scoped resources and for collections over all namespaces.
    pub namespace: String,
    /// Plural.
    pub resource: String,
    /// Empty for a collection.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// `/api/v1/watch/…`, the old way to say `watch=true`.
    pub watch: bool,
}

/// Reads a path.
pub fn parse(path: &str) -> Target {
    let Some(segments) = segments(path) else {
        return Target::Other;
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Target::Other,
    };
    let (watch, rest) = match rest {
        ["watch", watched @ ..] if !watched.is_empty() => (true, watched),
        _ => (false, rest),
    };
    let (namespace, rest) = match rest {
        // `/namespaces/NAME/status` is the namespace's own subresource.
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (*namespace, inner),
        _ => ("", rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, "", ""),
        [resource, name] => (*resource, *name, ""),
        [resource, name, subresource] => (*resource, *name, *subresource),
        _ => return Target::Other,
    };
    Target::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        watch,
    })
}

/// Decoded segments; `None` for empty ones inside the path, for bad encoding, and for an encoded
/// slash. Trailing slashes are what some clients send and mean nothing.
fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    let path = path.trim_end_matches('/');
    path.split('/')
        .map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8().ok()?;
            (!decoded.is_empty() && !decoded.contains('/')).then(|| decoded.into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(parts: [&str; 6]) -> Target {
        let [group, version, namespace, resource, name, subresource] = parts.map(str::to_owned);
        Target::Resource(ResourcePath {
            group,
            version,
            namespace,
            resource,
            name,
            subresource,
            watch: false,
        })
    }

    #[test]
    fn deprecated_watches() {
        let watched = |text: &str| match parse(text) {
            Target::Resource(path) => (path.watch, path.namespace, path.resource, path.name),
            Target::Other => Default::default(),
        };
        let expected = |namespace: &str, resource: &str, name: &str| {
            (true, namespace.into(), resource.into(), name.into())
        };
        let cases = [
            ("/api/v1/watch/secrets", ["", "secrets", ""]),
            ("/api/v1/watch/namespaces/a", ["", "namespaces", "a"]),
            (
                "/apis/g.io/v2/watch/namespaces/a/routes/r",
                ["a", "routes", "r"],
            ),
        ];
        for (text, [namespace, resource, name]) in cases {
            assert_eq!(watched(text), expected(namespace, resource, name), "{text}");
        }
        assert_eq!(
            parse("/api/v1/watch"),
            path(["", "v1", "", "watch", "", ""])
        );
    }

    #[test]
    fn paths() {
        let cases = [
            (
                "/api/v1/namespaces",
                path(["", "v1", "", "namespaces", "", ""]),
            ),
            (
                "/api/v1/namespaces/",
                path(["", "v1", "", "namespaces", "", ""]),
            ),
            (
                "/api/v1/namespaces/a//",
                path(["", "v1", "", "namespaces", "a", ""]),
            ),
            (
                "/api/v1/namespaces/a/status",
                path(["", "v1", "", "namespaces", "a", "status"]),
            ),
            (
                "/api/v1/namespaces/a/finalize",
                path(["", "v1", "", "namespaces", "a", "finalize"]),
            ),
            (
                "/api/v1/namespaces/a/events",
                path(["", "v1", "a", "events", "", ""]),
            ),
            (
                "/api/v1/namespaces/a/secrets/b",
                path(["", "v1", "a", "secrets", "b", ""]),
            ),
            (
                "/api/v1/namespaces/status/secrets",
                path(["", "v1", "status", "secrets", "", ""]),
            ),
            ("/api/v1/secrets", path(["", "v1", "", "secrets", "", ""])),
            (
                "/apis/g.io/v2/nodes/n",
                path(["g.io", "v2", "", "nodes", "n", ""]),
            ),
            (
                "/apis/g.io/v2/namespaces/a/routes/r/status",
                path(["g.io", "v2", "a", "routes", "r", "status"]),
            ),
            (
                "/apis/g.io/v2/namespaces/a/routes/r%2Bx",
                path(["g.io", "v2", "a", "routes", "r+x", ""]),
            ),
            ("/", Target::Other),
            ("", Target::Other),
            ("/api", Target::Other),
            ("/api/v1", Target::Other),
            ("/api/v1/", Target::Other),
            ("/apis/g.io/v2", Target::Other),
            ("/version", Target::Other),
            ("/api//v1/secrets", Target::Other),
            ("/api/v1/namespaces/a/secrets/b%2Fc", Target::Other),
            ("/api/v1/namespaces/a/secrets/b/c/d", Target::Other),
            ("/api/v1/%ff", Target::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
