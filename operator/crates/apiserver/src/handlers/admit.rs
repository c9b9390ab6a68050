//! What an object must be before it is written: of the right kind and place, in its one form, valid.

use serde_json::Value;

use super::patch::{self, Format};
use super::write::{MODIFIED, Part, conflict};
use super::{Call, FieldValidation};
use crate::authz;
use crate::decode::nul_at;
use crate::meta;
use crate::registry::ResourceDef;
use crate::status_error::{ApiError, Subject};
use crate::subresource::scale;
use crate::validation::{self, Change, FieldError};

/// Refuses an object that no decoder with typed fields could read. Of a custom object that is its
/// metadata; the rest of it is the schema's business.
pub(super) fn check_readable(def: &ResourceDef, object: &Value) -> Result<(), ApiError> {
    let why = validation::cannot_unmarshal(&def.schema, object, !def.custom)
        .or_else(|| validation::unreadable(&def.schema, object).map(|error| error.to_string()));
    match why {
        Some(why) => Err(cannot_be_handled(def, &why)),
        None => Ok(()),
    }
}

/// Fills in or checks `apiVersion` and `kind` of what became of an object. Custom objects must say
/// what they are.
pub(super) fn check_type(def: &ResourceDef, object: &mut Value) -> Result<(), ApiError> {
    meta::fields(object)?;
    let Some(fields) = object.as_object_mut() else {
        return Err(ApiError::BadRequest(
            "the body must be a JSON object".to_owned(),
        ));
    };
    let wanted = [
        ("kind", def.kind.to_string()),
        ("apiVersion", def.api_version()),
    ];
    for (field, wanted) in wanted {
        let missing = fields
            .get(field)
            .is_none_or(|found| found.is_null() || found == "");
        if missing && !def.custom {
            fields.insert(field.to_owned(), Value::String(wanted));
        } else if missing && field == "kind" {
            let why = format!("Object 'Kind' is missing in '{object}'");
            return Err(patch::unfit(object, &why));
        } else if fields.get(field).is_none_or(|found| *found != wanted) {
            let text = |field: &str| fields.get(field).and_then(Value::as_str);
            let kind = text("kind").unwrap_or(&def.kind);
            let version = text("apiVersion").unwrap_or_default();
            if !def.custom {
                let why = format!("no kind {kind:?} is registered for version {version:?}");
                return Err(patch::unfit(object, &why));
            }
            let found = text(field).unwrap_or_default();
            return Err(ApiError::BadRequest(format!(
                "the {field} in the data ({found}) does not match the expected {field} ({wanted})"
            )));
        }
    }
    Ok(())
}

/// Name and namespace must be those of the path, where both say something.
pub(super) fn check_place(call: &Call, object: &Value) -> Result<(), ApiError> {
    check_namespace(call, object)?;
    let (path, name) = (&call.path, meta::name(object));
    if !path.name.is_empty() && name.is_empty() {
        return Err(nameless(call));
    }
    if !path.name.is_empty() && name != path.name {
        return Err(ApiError::BadRequest(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            path.name
        )));
    }
    Ok(())
}

pub(super) fn check_namespace(call: &Call, object: &Value) -> Result<(), ApiError> {
    let (path, namespace) = (&call.path, meta::text(object, "namespace"));
    if call.def.namespaced && !namespace.is_empty() && namespace != path.namespace {
        return Err(ApiError::BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The error of an object without a name, where the path has one.
pub(super) fn nameless(call: &Call) -> ApiError {
    ApiError::BadRequest(format!(
        "the name of the object ({} based on URL) was undeterminable: name must be provided",
        call.path.name
    ))
}

/// The client's idea of the version must be right, and it must have one where its kind asks for it.
pub(super) fn check_version(def: &ResourceDef, new: &Value, old: &Value) -> Result<(), ApiError> {
    let name = meta::name(old);
    let (wanted, found) = (
        meta::text(new, "resourceVersion"),
        meta::text(old, "resourceVersion"),
    );
    if matches!(wanted, "" | "0") {
        if def.strategy.requires_version_on_update() {
            let detail = "must be specified for an update";
            return Err(ApiError::Invalid {
                subject: Subject::resource(def, name),
                problems: vec![FieldError::invalid("metadata.resourceVersion", 0, detail)],
            });
        }
        return Ok(());
    }
    if wanted != found {
        if wanted.parse::<u64>().is_err() {
            let problem = FieldError::invalid(
                "metadata.resourceVersion",
                wanted,
                "must be a resourceVersion that this server gave out",
            );
            return Err(ApiError::invalid_field(def, name, problem));
        }
        return Err(conflict(def, name, MODIFIED));
    }
    Ok(())
}

/// Prunes what is unknown, drops nulls that mean nothing, applies defaults.
pub(super) fn admit(
    call: &Call,
    def: &ResourceDef,
    object: &mut Value,
    mut problems: Vec<String>,
) -> Result<(), ApiError> {
    if let Some(path) = nul_at(object) {
        let detail = "must not contain the character \\u0000";
        let problem = FieldError::invalid(path.trim_start_matches('.'), "…", detail);
        return Err(ApiError::invalid_field(def, meta::name(object), problem));
    }
    def.schema.drop_nulls(object);
    let mut unknown = def.schema.prune(object);
    unknown.extend(def.strategy.prune(object));
    problems.extend(
        unknown
            .into_iter()
            .map(|path| format!("unknown field \"{path}\"")),
    );
    match call.query.field_validation()? {
        _ if problems.is_empty() => {}
        FieldValidation::Ignore => {}
        FieldValidation::Warn => call.warn(problems),
        FieldValidation::Strict => {
            let yaml = match problems[0].starts_with("line ") {
                true => "yaml: unmarshal errors:\n  ",
                false => "",
            };
            let problems = problems.join(", ");
            let message = format!("strict decoding error: {yaml}{problems}");
            return Err(match Format::of(call) {
                Ok(Format::Apply) => ApiError::BadRequest(format!(
                    "error strict decoding YAML: error converting YAML to JSON: {yaml}{problems}"
                )),
                Ok(_) => patch::unfit(object, &message),
                Err(_) => cannot_be_handled(def, &message),
            });
        }
    }
    def.schema.normalize(object);
    let twice = meta::single_owners(object);
    if !twice.is_empty() {
        call.warn(vec![format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references \
             in 1.20+, and may reject such requests as early as 1.24; please fix your requests; \
             duplicate UID(s) observed: {}",
            twice.join(", ")
        )]);
    }
    // The empty list ends the tracking of a kind in typed fields only; elsewhere it says nothing.
    if def.custom
        && let Ok(metadata) = meta::fields(object)
        && metadata.get("managedFields") == Some(&Value::Array(Vec::new()))
    {
        metadata.remove("managedFields");
    }
    def.schema.apply_defaults(object);
    def.strategy.complete(object);
    Ok(())
}

/// What a decoder says of a body that is not of this kind.
fn cannot_be_handled(def: &ResourceDef, why: &str) -> ApiError {
    let (kind, version) = (&def.kind, &def.version);
    ApiError::BadRequest(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
    ))
}

pub(super) fn validate_new(call: &Call, object: &Value) -> Result<(), ApiError> {
    let def = &*call.def;
    let rule = def.strategy.name_rule();
    let problems = validation::meta::validate_create(object, def.namespaced, rule);
    let change = Change {
        new: object,
        old: None,
        status_only: false,
    };
    validate(call, change, problems)
}

pub(super) fn validate_changed(
    call: &Call,
    part: Part,
    new: &Value,
    old: &Value,
) -> Result<(), ApiError> {
    let problems = validation::meta::validate_update(new, old);
    let change = Change {
        new,
        old: Some(old),
        status_only: part == Part::Status && call.def.custom,
    };
    validate(call, change, problems)
}

fn validate(
    call: &Call,
    change: Change<'_>,
    mut problems: Vec<FieldError>,
) -> Result<(), ApiError> {
    let def = &*call.def;
    let object = change.new;
    if matches!(&*def.group, "" | authz::GROUP) {
        problems.extend(validation::meta::validate_finalizers(object));
    }
    let of_metadata = problems.len();
    let scale = def.subresources.scale.as_ref();
    let scale = scale.map_or_else(Vec::new, |paths| scale::problems(paths, object, change.old));
    let findings = validation::validate_further(&def.schema, change, problems, scale);
    call.warn(findings.forgiven.iter().map(ToString::to_string).collect());
    let mut problems = findings.errors;
    // A strategy expects the shape that the schema describes.
    if problems.len() == of_metadata {
        problems.extend(def.strategy.validate(object, change.old));
    }
    if problems.is_empty() {
        return Ok(());
    }
    // Errors name the group that the kind is stored under.
    let stored = def.storage.rsplit_once('/');
    let group = stored.map_or("", |(group, _)| group).to_owned();
    Err(ApiError::Invalid {
        subject: Subject {
            group,
            ..Subject::kind(def, meta::name(object))
        },
        problems,
    })
}
