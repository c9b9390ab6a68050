//! The operations on a resource, in a form from which both versions of OpenAPI are written.

use super::schemas::{self, DELETE_OPTIONS, PATCH, SCALE, STATUS, TOKEN};
use crate::registry::{ResourceDef, Verb};

/// A path and what can be done there.
pub(super) struct PathItem {
    pub path: String,
    pub operations: Vec<Operation>,
}

/// One method on one path.
pub(super) struct Operation {
    pub method: &'static str,
    /// `x-kubernetes-action`
    pub action: &'static str,
    pub id: String,
    pub description: String,
    /// What clients sort operations by.
    pub tag: String,
    pub parameters: Vec<Parameter>,
    /// Name of the schema of the request's body.
    pub body: Option<String>,
    /// Media types of the request's body.
    pub consumes: &'static [&'static str],
    /// Name of the schema of the answer.
    pub answer: String,
    /// Group, version and kind of what is worked on.
    pub gvk: (String, String, String),
}

/// One parameter of an operation.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub place: &'static str,
    pub kind: &'static str,
    pub description: &'static str,
}

const fn query(name: &'static str, kind: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        place: "query",
        kind,
        description,
    }
}

const NAME: Parameter = Parameter {
    name: "name",
    place: "path",
    kind: "string",
    description: "name of the object",
};
const NAMESPACE: Parameter = Parameter {
    name: "namespace",
    place: "path",
    kind: "string",
    description: "object name and auth scope, such as for teams and projects",
};
const PRETTY: Parameter = query(
    "pretty",
    "string",
    "If 'true', then the output is pretty printed.",
);
const DRY_RUN: Parameter = query(
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and no further processing of the request. Valid values are: - All: all dry run stages will be processed",
);
const FIELD_MANAGER: Parameter = query(
    "fieldManager",
    "string",
    "fieldManager is a name associated with the actor or entity that is making these changes. This field is required for apply requests (application/apply-patch).",
);
const FIELD_VALIDATION: Parameter = query(
    "fieldValidation",
    "string",
    "fieldValidation instructs the server on how to handle objects in the request containing unknown or duplicate fields. Valid values are: - Ignore: silently drop - Warn: send a warning for each (the default) - Strict: fail the request.",
);
const FORCE: Parameter = query(
    "force",
    "boolean",
    "Force is going to \"force\" Apply requests. It means user will re-acquire conflicting fields owned by other people. Force flag must be unset for non-apply patch requests.",
);
const WATCH: Parameter = query(
    "watch",
    "boolean",
    "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
);

const WRITE: &[Parameter] = &[PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
const LIST: &[Parameter] = &[
    PRETTY,
    query(
        "allowWatchBookmarks",
        "boolean",
        "allowWatchBookmarks requests watch events with type \"BOOKMARK\".",
    ),
    query(
        "continue",
        "string",
        "The continue option should be set when retrieving more results from the server.",
    ),
    query(
        "fieldSelector",
        "string",
        "A selector to restrict the list of returned objects by their fields.",
    ),
    query(
        "labelSelector",
        "string",
        "A selector to restrict the list of returned objects by their labels.",
    ),
    query(
        "limit",
        "integer",
        "limit is a maximum number of responses to return for a list call.",
    ),
    query(
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from.",
    ),
    query(
        "resourceVersionMatch",
        "string",
        "resourceVersionMatch determines how resourceVersion is applied to list calls.",
    ),
    query(
        "sendInitialEvents",
        "boolean",
        "sendInitialEvents=true may be set together with watch=true.",
    ),
    query(
        "timeoutSeconds",
        "integer",
        "Timeout for the list/watch call.",
    ),
];
const DELETE: &[Parameter] = &[
    PRETTY,
    DRY_RUN,
    query(
        "gracePeriodSeconds",
        "integer",
        "The duration in seconds before the object should be deleted.",
    ),
    query(
        "orphanDependents",
        "boolean",
        "Deprecated: please use the PropagationPolicy. Should the dependent objects be orphaned?",
    ),
    query(
        "propagationPolicy",
        "string",
        "Whether and how garbage collection will be performed: 'Orphan', 'Background' or 'Foreground'.",
    ),
];

const BODY_TYPES: &[&str] = &["application/json", "application/yaml"];
const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
const CORE_PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Every path of a resource.
pub(super) fn paths(def: &ResourceDef) -> Vec<PathItem> {
    let root = match &*def.group {
        "" => format!("/api/{}", def.version),
        group => format!("/apis/{group}/{}", def.version),
    };
    let plural = &def.plural;
    let collection = if def.namespaced {
        format!("{root}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{root}/{plural}")
    };
    let mut items = vec![
        PathItem {
            path: collection.clone(),
            operations: on_collection(def),
        },
        PathItem {
            path: format!("{collection}/{{name}}"),
            operations: on_object(def, ""),
        },
    ];
    if def.namespaced && def.supports(Verb::List) {
        let mut everywhere = operation(
            def,
            "get",
            "list",
            "ForAllNamespaces",
            &[LIST, &[WATCH]].concat(),
        );
        everywhere
            .parameters
            .retain(|parameter| parameter.place != "path");
        everywhere.answer = schemas::list_name(def);
        items.push(PathItem {
            path: format!("{root}/{plural}"),
            operations: vec![everywhere],
        });
    }
    for (name, present) in [
        ("status", def.subresources.status),
        ("scale", def.subresources.scale.is_some()),
    ] {
        if present {
            items.push(PathItem {
                path: format!("{collection}/{{name}}/{name}"),
                operations: on_object(def, name),
            });
        }
    }
    if def.subresources.token {
        items.push(PathItem {
            path: format!("{collection}/{{name}}/token"),
            operations: vec![token(def)],
        });
    }
    items.retain(|item| !item.operations.is_empty());
    items
}

fn on_collection(def: &ResourceDef) -> Vec<Operation> {
    let mut operations = Vec::new();
    if def.supports(Verb::List) {
        let mut list = operation(def, "get", "list", "", &[LIST, &[WATCH]].concat());
        list.answer = schemas::list_name(def);
        operations.push(list);
    }
    if def.supports(Verb::Create) {
        operations.push(with_body(
            operation(def, "post", "post", "", WRITE),
            &schemas::name(def),
            BODY_TYPES,
        ));
    }
    if def.supports(Verb::DeleteCollection) {
        let selectors: Vec<_> = LIST.iter().chain(&DELETE[1..]).copied().collect();
        let mut delete = operation(def, "delete", "deletecollection", "Collection", &selectors);
        delete.answer = STATUS.into();
        operations.push(with_body(delete, DELETE_OPTIONS, BODY_TYPES));
    }
    operations
}

/// Operations on one object, or on its subresource `sub`.
fn on_object(def: &ResourceDef, sub: &str) -> Vec<Operation> {
    let schema = if sub == "scale" {
        SCALE.into()
    } else {
        schemas::name(def)
    };
    let part = match sub {
        "status" => "Status",
        "scale" => "Scale",
        _ => "",
    };
    let patch_types = if def.custom || sub == "scale" {
        PATCH_TYPES
    } else {
        CORE_PATCH_TYPES
    };
    let make = |method, action, parameters: &[Parameter]| {
        let mut made = operation(def, method, action, part, &[&[NAME], parameters].concat());
        made.answer = schema.clone();
        made
    };
    let mut operations = Vec::new();
    if def.supports(Verb::Get) {
        operations.push(make("get", "get", &[PRETTY]));
    }
    if def.supports(Verb::Update) {
        operations.push(with_body(make("put", "put", WRITE), &schema, BODY_TYPES));
    }
    if def.supports(Verb::Patch) {
        let parameters = [WRITE, &[FORCE]].concat();
        operations.push(with_body(
            make("patch", "patch", &parameters),
            PATCH,
            patch_types,
        ));
    }
    if def.supports(Verb::Delete) && sub.is_empty() {
        let mut delete = make("delete", "delete", DELETE);
        delete.answer = STATUS.into();
        operations.push(with_body(delete, DELETE_OPTIONS, BODY_TYPES));
    }
    operations
}

fn token(def: &ResourceDef) -> Operation {
    let parameters = [&[NAME], WRITE].concat();
    let made = operation(def, "post", "post", "Token", &parameters);
    let gvk = ["authentication.k8s.io", "v1", "TokenRequest"].map(str::to_owned);
    let asked = Operation {
        answer: TOKEN.into(),
        gvk: gvk.into(),
        ..made
    };
    with_body(asked, TOKEN, BODY_TYPES)
}

fn operation(
    def: &ResourceDef,
    method: &'static str,
    action: &'static str,
    part: &str,
    parameters: &[Parameter],
) -> Operation {
    let verb = match action {
        "put" => "replace",
        "post" => "create",
        "get" => "read",
        "deletecollection" => "delete",
        other => other,
    };
    let scope = match part {
        "ForAllNamespaces" => "",
        _ if def.namespaced => "Namespaced",
        _ => "",
    };
    let (before, after) = match part {
        "Collection" => (part, ""),
        _ => ("", part),
    };
    let group: String = def
        .group
        .trim_end_matches(".k8s.io")
        .split('.')
        .map(capital)
        .collect();
    let group = if group.is_empty() {
        "Core".into()
    } else {
        group
    };
    let mut all = parameters.to_vec();
    if def.namespaced {
        all.push(NAMESPACE);
    }
    Operation {
        method,
        action,
        id: format!(
            "{verb}{group}{}{before}{scope}{}{after}",
            capital(&def.version),
            def.kind
        ),
        description: description(def, action, part),
        tag: format!(
            "{}{}_{}",
            group[..1].to_lowercase(),
            &group[1..],
            def.version
        ),
        parameters: all,
        body: None,
        consumes: &[],
        answer: schemas::name(def),
        gvk: (
            def.group.to_string(),
            def.version.to_string(),
            def.kind.to_string(),
        ),
    }
}

fn description(def: &ResourceDef, action: &str, part: &str) -> String {
    let kind = &def.kind;
    let of = match part {
        "Status" | "Scale" | "Token" => format!("{} of ", part.to_lowercase()),
        _ => String::new(),
    };
    let article = match kind.starts_with(['A', 'E', 'I', 'O', 'U']) {
        true => "an",
        false => "a",
    };
    match action {
        "list" if def.custom => format!("list objects of kind {kind}"),
        "list" => format!("list or watch objects of kind {kind}"),
        "post" => format!("create {of}{article} {kind}"),
        "delete" => format!("delete {article} {kind}"),
        "deletecollection" => format!("delete collection of {kind}"),
        "get" => format!("read {of}the specified {kind}"),
        "patch" => format!("partially update {of}the specified {kind}"),
        _ => format!("replace {of}the specified {kind}"),
    }
}

/// The codes of success of an action, with their names.
pub(super) fn answers(action: &str) -> &'static [(&'static str, &'static str)] {
    match action {
        "post" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        "put" | "patch" => &[("200", "OK"), ("201", "Created")],
        "delete" => &[("200", "OK"), ("202", "Accepted")],
        _ => &[("200", "OK")],
    }
}

fn with_body(operation: Operation, schema: &str, consumes: &'static [&'static str]) -> Operation {
    Operation {
        body: Some(schema.into()),
        consumes,
        ..operation
    }
}

fn capital(word: &str) -> String {
    let mut characters = word.chars().filter(|c| c.is_ascii_alphanumeric());
    characters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(characters)
        .collect()
}
