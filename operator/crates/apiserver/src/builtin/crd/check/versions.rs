//! The versions of a definition: names, schemas, subresources, columns, selectable fields.

use serde_json::Value;

use super::{list, openapi, text};
use crate::schema::Schema;
use crate::validation::{FieldError, cel, formats, names};

/// Most fields of a version that field selectors can name.
const SELECTABLE: usize = 8;
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];
/// Parts of a version, and where they are told of when they are the same in all.
const PARTS: [(&str, &str); 4] = [
    ("schema", "spec.validation"),
    ("subresources", "spec.subresources"),
    ("additionalPrinterColumns", "spec.additionalPrinterColumns"),
    ("selectableFields", "spec.selectableFields"),
];

/// Every version, and all of them together.
pub(super) fn check(spec: &Value, problems: &mut Vec<FieldError>) {
    let versions = list(&spec["versions"]);
    for (index, version) in versions.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            problems.push(FieldError::required(field, ""));
        }
    }
    for (index, version) in versions.iter().enumerate() {
        let place = format!("spec.versions[{index}]");
        check_version_name(&format!("{place}.name"), version, problems);
        check_deprecation(&place, version, problems);
        for (part, _) in PARTS.iter().filter(|(part, _)| !is_common(versions, part)) {
            check_part(version, part, &format!("{place}.{part}"), problems);
        }
    }
    let shown = match spec["versions"].is_null() {
        true => "null".to_owned(),
        false => format!(
            "[{}]",
            versions.iter().map(as_shown).collect::<Vec<_>>().join(",")
        ),
    };
    let twice = |(index, version): (usize, &Value)| {
        versions[..index]
            .iter()
            .any(|other| other["name"] == version["name"])
    };
    if versions.iter().enumerate().any(twice) {
        let detail = "must contain unique version names";
        problems.push(FieldError::invalid_shown("spec.versions", &shown, detail));
    }
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        let detail = "must have exactly one version marked as storage version";
        problems.push(FieldError::invalid_shown("spec.versions", &shown, detail));
    }
    if let Some(first) = versions
        .first()
        .filter(|first| !text(&first["name"]).is_empty())
    {
        check_version_name("spec.version", first, problems);
    }
}

/// What is the same in all versions.
pub(super) fn check_common(spec: &Value, problems: &mut Vec<FieldError>) {
    let versions = list(&spec["versions"]);
    for (part, place) in PARTS {
        if let Some(first) = versions.first().filter(|_| is_common(versions, part)) {
            check_part(first, part, place, problems);
        }
    }
}

fn is_common(versions: &[Value], part: &str) -> bool {
    versions
        .iter()
        .all(|version| version[part] == versions[0][part])
}

fn check_version_name(field: &str, version: &Value, problems: &mut Vec<FieldError>) {
    let name = text(&version["name"]);
    let wrong = names::label_1035(name);
    if !wrong.is_empty() {
        problems.push(FieldError::invalid(field, name, wrong.join(",")));
    }
}

/// A version as Kubernetes shows it in errors about all of them.
fn as_shown(version: &Value) -> String {
    let flag = |name: &str| version[name] == true;
    format!(
        r#"{{"Name":{},"Served":{},"Storage":{},"Deprecated":{},"DeprecationWarning":{},"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}}"#,
        Value::from(text(&version["name"])),
        flag("served"),
        flag("storage"),
        flag("deprecated"),
        version["deprecationWarning"],
    )
}

fn check_deprecation(place: &str, version: &Value, problems: &mut Vec<FieldError>) {
    let Some(warning) = version["deprecationWarning"].as_str() else {
        return;
    };
    let mut wrong = |detail: String| {
        let field = format!("{place}.deprecationWarning");
        problems.push(FieldError::invalid(field, warning, detail));
    };
    if version["deprecated"] != true {
        return wrong("can only be set for deprecated versions".to_owned());
    }
    if warning.len() > 256 {
        wrong("must be <= 256 characters long".to_owned());
    }
    if warning.is_empty() {
        wrong("must not be an empty string".to_owned());
    }
    if let Some(index) = formats::unprintable(warning) {
        wrong(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        ));
    }
}

fn check_part(version: &Value, part: &str, place: &str, problems: &mut Vec<FieldError>) {
    let found = &version[part];
    match part {
        "schema" if !found["openAPIV3Schema"].is_null() => {
            let with_status = !version["subresources"]["status"].is_null();
            let place = format!("{place}.openAPIV3Schema");
            openapi::check(&found["openAPIV3Schema"], &place, with_status, problems);
        }
        "subresources" => check_scale(&found["scale"], &format!("{place}.scale"), problems),
        "additionalPrinterColumns" => {
            for (index, column) in list(found).iter().enumerate() {
                check_column(column, &format!("{place}[{index}]"), problems);
            }
        }
        "selectableFields" => check_selectable(version, place, problems),
        _ => {}
    }
}

fn check_scale(scale: &Value, place: &str, problems: &mut Vec<FieldError>) {
    if scale.is_null() {
        return;
    }
    let paths: [(&str, &[&str], &str); 3] = [
        ("specReplicasPath", &[".spec."], ".spec"),
        ("statusReplicasPath", &[".status."], ".status"),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "either .spec or .status",
        ),
    ];
    for (name, under, shown) in paths {
        let field = format!("{place}.{name}");
        let path = text(&scale[name]);
        if path.is_empty() {
            if name != "labelSelectorPath" {
                problems.push(FieldError::required(field, ""));
            }
        } else if !path.starts_with('.') {
            let detail = "must be a simple json path starting with .";
            problems.push(FieldError::invalid(field, path, detail));
        } else if !under.iter().any(|start| path.starts_with(start)) {
            let detail = format!("should be a json path under {shown}");
            problems.push(FieldError::invalid(field, path, detail));
        }
    }
}

fn check_column(column: &Value, place: &str, problems: &mut Vec<FieldError>) {
    if text(&column["name"]).is_empty() {
        problems.push(FieldError::required(format!("{place}.name"), ""));
    }
    let kind = text(&column["type"]);
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    if kind.is_empty() {
        problems.push(FieldError::required(format!("{place}.type"), types));
    } else if !COLUMN_TYPES.contains(&kind) {
        problems.push(FieldError::invalid(format!("{place}.type"), kind, types));
    }
    let format = text(&column["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        problems.push(FieldError::invalid(
            format!("{place}.format"),
            format,
            detail,
        ));
    }
    let (field, path) = (format!("{place}.JSONPath"), text(&column["jsonPath"]));
    if path.is_empty() {
        problems.push(FieldError::required(field, ""));
    } else if !path.starts_with('.') {
        let detail = "must be a simple json path starting with .";
        problems.push(FieldError::invalid(field, path, detail));
    }
}

fn check_selectable(version: &Value, place: &str, problems: &mut Vec<FieldError>) {
    // Without a right schema there is nothing to select from, and it is told of.
    let Ok(schema) = Schema::without_rules(&version["schema"]["openAPIV3Schema"]) else {
        return;
    };
    let mut seen = Vec::new();
    for (index, field) in list(&version["selectableFields"]).iter().enumerate() {
        let (field, path) = (
            format!("{place}[{index}].jsonPath"),
            text(&field["jsonPath"]),
        );
        if path.is_empty() {
            problems.push(FieldError::required(field, ""));
            continue;
        }
        let kind = match cel::field_path(path, &schema, false) {
            Ok((_, found)) => found.kind.map_or("", |kind| kind.as_str()),
            Err(problem) => {
                let detail = format!("is an invalid path: {problem}");
                problems.push(FieldError::invalid(field, path, detail));
                continue;
            }
        };
        if path == ".metadata" || path.starts_with(".metadata.") {
            let detail = "must not point to fields in metadata";
            problems.push(FieldError::invalid(field.as_str(), path, detail));
        }
        if !["string", "integer", "boolean"].contains(&kind) {
            let detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            problems.push(FieldError::invalid(field.as_str(), path, detail));
        }
        if seen.contains(&path) {
            problems.push(FieldError::duplicate(field, path));
        } else {
            seen.push(path);
        }
    }
    if seen.len() > SELECTABLE {
        let (found, most) = (seen.len() as u64, SELECTABLE as u64);
        problems.push(FieldError::too_many(place, found, most));
    }
}
