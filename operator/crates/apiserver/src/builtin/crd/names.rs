//! Which names a definition gets: those that no other definition of its group has.

use serde_json::{Value, json};

use super::check::approval;
use super::{has_condition, set_condition};

/// Fields of `names`, whether they name resources (or else kinds), and the reason of a conflict.
const FIELDS: [(&str, bool, &str); 5] = [
    ("plural", true, "PluralConflict"),
    ("singular", true, "SingularConflict"),
    ("shortNames", true, "ShortNamesConflict"),
    ("kind", false, "KindConflict"),
    ("listKind", false, "ListKindConflict"),
];

/// What is said of definitions in the groups of Kubernetes itself.
const APPROVED: &str = "KubernetesAPIApprovalPolicyConformant";

/// Writes accepted names and the conditions `NamesAccepted` and `Established` into the status.
/// `all` are all definitions; what this one has already, it keeps, but it cannot have it twice.
pub(super) fn decide(object: &mut Value, all: &[Value]) {
    let group = &object["spec"]["group"];
    let group = all.iter().filter(|other| other["spec"]["group"] == *group);
    let taken: Vec<&Value> = group.map(|one| &one["status"]["acceptedNames"]).collect();
    let wanted = object["spec"]["names"].clone();
    let mut accepted = object["status"]["acceptedNames"].clone();
    let mut conflict = None;
    for (field, resource, reason) in FIELDS {
        let same_sort = FIELDS.iter().filter(|(_, sort, _)| *sort == resource);
        let used = |name: &&Value| {
            same_sort
                .clone()
                .any(|(other, _, _)| taken.iter().any(|names| has(&names[*other], name)))
        };
        let fresh = |name: &&Value| !has(&accepted[field], name);
        let used = list(&wanted[field]).into_iter().filter(fresh).filter(used);
        let mut problems: Vec<_> = used
            .map(|name| format!("{name} is already in use"))
            .collect();
        problems.dedup();
        match problems.as_slice() {
            [] => accepted[field] = wanted[field].clone(),
            [one] => conflict = Some((reason, one.clone())),
            all => conflict = Some((reason, format!("[{}]", all.join(", ")))),
        }
    }
    accepted["categories"] = wanted["categories"].clone();
    if let Some(fields) = accepted.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("acceptedNames".to_owned(), accepted);
    }
    if let Some((on, reason, message)) = approval(object) {
        set_condition(object, APPROVED, on, reason, &message);
    }
    match conflict {
        Some((reason, message)) => {
            set_condition(object, "NamesAccepted", false, reason, &message);
            if !has_condition(object, "Established") {
                let message = "not all names are accepted";
                set_condition(object, "Established", false, "NotAccepted", message);
            }
        }
        None => {
            let message = "no conflicts found";
            set_condition(object, "NamesAccepted", true, "NoConflicts", message);
            let message = "the initial names have been accepted";
            set_condition(object, "Established", true, "InitialNamesAccepted", message);
        }
    }
}

/// Does the status say already what [`decide`] would say? Saves reading all other definitions.
pub(super) fn are_settled(object: &Value) -> bool {
    has_condition(object, "NamesAccepted")
        && has_condition(object, "Established")
        && object["status"]["acceptedNames"] == object["spec"]["names"]
        && approval(object).is_none_or(|(_, _, message)| {
            let list = object["status"]["conditions"].as_array();
            let mut all = list.into_iter().flatten();
            all.any(|found| found["type"] == APPROVED && found["message"] == message)
        })
}

/// One name or several.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn has(names: &Value, name: &Value) -> bool {
    *name != json!("") && list(names).contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str, short: &[&str]) -> Value {
        json!({
            "metadata": {"name": format!("{plural}.a.b")},
            "spec": {"group": "a.b", "names": {"plural": plural, "singular": kind.to_lowercase(),
                "kind": kind, "listKind": format!("{kind}List"), "shortNames": short}},
            "status": {"acceptedNames": {"plural": "", "kind": ""}},
        })
    }

    #[test]
    fn the_first_has_the_name() {
        let mut first = definition("widgets", "Widget", &["w"]);
        decide(&mut first, &[]);
        assert!(has_condition(&first, "Established") && has_condition(&first, "NamesAccepted"));
        assert_eq!(first["status"]["acceptedNames"], first["spec"]["names"]);

        let mut second = definition("wheels", "Wheel", &["w"]);
        decide(&mut second, std::slice::from_ref(&first));
        assert!(!has_condition(&second, "Established"));
        let conditions = &second["status"]["conditions"];
        assert_eq!(conditions[0]["reason"], "ShortNamesConflict");
        assert_eq!(conditions[0]["message"], "\"w\" is already in use");
        assert!(
            second["status"]["acceptedNames"]
                .get("shortNames")
                .is_none()
        );
        // One that wants two names that are taken hears of both, once.
        let mut third = definition("things", "Thing", &["w", "widgets", "t"]);
        decide(&mut third, std::slice::from_ref(&first));
        assert_eq!(
            third["status"]["conditions"][0]["message"],
            "[\"w\" is already in use, \"widgets\" is already in use]"
        );
        // The other goes.
        decide(&mut second, &[]);
        assert!(has_condition(&second, "Established"));

        let mut kind = definition("gadgets", "Widget", &[]);
        decide(&mut kind, std::slice::from_ref(&first));
        assert_eq!(
            kind["status"]["conditions"][0]["reason"],
            "ListKindConflict"
        );
        first["spec"]["group"] = json!("c.d");
        decide(&mut kind, &[first]);
        assert!(has_condition(&kind, "Established"), "another group");
    }
}
