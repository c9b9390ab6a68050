//! The `Accept` header.

/// How values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`
    #[default]
    Json,
    /// `application/yaml`
    Yaml,
}

/// What is written of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    /// All of it.
    #[default]
    Full,
    /// Rows for `kubectl get`.
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `PartialObjectMetadataList`.
    MetadataList,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: Format,
    pub(crate) view: View,
    /// Views as in `meta.k8s.io/v1beta1`, which has the same fields: clients from before v1 ask
    /// for it alone.
    pub(crate) beta: bool,
}

impl Form {
    /// `apiVersion` of views.
    pub(crate) fn meta_version(self) -> &'static str {
        match self.beta {
            true => "meta.k8s.io/v1beta1",
            false => "meta.k8s.io/v1",
        }
    }
}

struct Clause<'a> {
    media: String,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    quality: f32,
}

/// Media parameters in any order; those that are not known are ignored.
fn clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut clause = Clause {
        media,
        group: "",
        version: "",
        kind: "",
        quality: 1.0,
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim() {
            "g" => clause.group = value,
            "v" => clause.version = value,
            "as" => clause.kind = value,
            "q" => clause.quality = value.parse().unwrap_or(1.0),
            _ => {}
        }
    }
    clause
}

fn form(clause: &Clause<'_>) -> Option<Form> {
    let format = match clause.media.as_str() {
        "application/json" | "application/*" | "*/*" => Format::Json,
        "application/yaml" => Format::Yaml,
        _ => return None,
    };
    let view = match (clause.kind, clause.group, clause.version) {
        ("", _, _) => View::Full,
        ("Table", "meta.k8s.io", "v1" | "v1beta1") => View::Table,
        ("PartialObjectMetadata", "meta.k8s.io", "v1" | "v1beta1") => View::Metadata,
        ("PartialObjectMetadataList", "meta.k8s.io", "v1" | "v1beta1") => View::MetadataList,
        _ => return None,
    };
    Some(Form {
        format,
        view,
        beta: view != View::Full && clause.version == "v1beta1",
    })
}

/// The best form that is served, by quality and then by order; `None` if there is none. No header
/// means JSON.
pub(crate) fn negotiate(accept: Option<&str>, offered: impl Fn(View) -> bool) -> Option<Form> {
    let Some(accept) = accept.filter(|text| !text.trim().is_empty()) else {
        return Some(Form::default());
    };
    let mut best: Option<(f32, Form)> = None;
    for clause in accept.split(',').map(clause) {
        let Some(form) = form(&clause).filter(|form| offered(form.view)) else {
            continue;
        };
        if clause.quality > 0.0 && best.is_none_or(|(quality, _)| clause.quality > quality) {
            best = Some((clause.quality, form));
        }
    }
    best.map(|(_, form)| form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let json = |view| {
            Some(Form {
                view,
                ..Form::default()
            })
        };
        let cases = [
            (None, json(View::Full)),
            (Some(""), json(View::Full)),
            (Some("*/*"), json(View::Full)),
            (Some("application/json, */*"), json(View::Full)),
            (
                Some("application/vnd.kubernetes.protobuf,application/json"),
                json(View::Full),
            ),
            (
                Some(
                    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                ),
                json(View::Table),
            ),
            (
                Some("application/json;g=meta.k8s.io;v=v1;as=Table"),
                json(View::Table),
            ),
            (
                Some("application/json; v=v1; as=Table; g=meta.k8s.io; charset=utf-8"),
                json(View::Table),
            ),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                json(View::MetadataList),
            ),
            (
                Some(
                    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
                ),
                json(View::Metadata),
            ),
            (
                Some("application/json;as=Nothing;v=v1;g=meta.k8s.io,application/json"),
                json(View::Full),
            ),
            (
                Some("application/json;q=0.5,application/yaml"),
                Some(Form {
                    format: Format::Yaml,
                    ..Form::default()
                }),
            ),
            (
                Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json"),
                Some(Form {
                    view: View::Table,
                    beta: true,
                    ..Form::default()
                }),
            ),
            (Some("application/json;q=0"), None),
            (Some("text/html"), None),
            (Some("application/vnd.kubernetes.protobuf"), None),
        ];
        for (accept, expected) in cases {
            assert_eq!(negotiate(accept, |_| true), expected, "{accept:?}");
        }
    }
}
