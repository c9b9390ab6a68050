//! `format`: formats with names, which rules hold texts against.

use std::sync::Arc;

use kube_cel::cel::objects::Opaque;

use super::{Outcome, Val};
use crate::validation::cel::overloads::FORMATS;
use crate::validation::names::{self, NameRule};
use crate::validation::{formats, url};

/// A format, by the name of the function that yields it.
#[derive(Debug, PartialEq, Eq)]
struct Named(&'static str);

impl Opaque for Named {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.NamedFormat"
    }
}

/// The function `name`, if it is one of these.
pub(super) fn call(name: &str, args: &[Val]) -> Option<Outcome> {
    let find = |name: &str| {
        let known = FORMATS.into_iter().find(|known| *known == name);
        known.map(|known| Val::Opaque(Arc::new(Named(known))))
    };
    Some(Ok(match (name, args) {
        ("format.named", [Val::String(name)]) => {
            Val::Optional(find(&format!("format.{name}")).map(Arc::new))
        }
        ("validate", [Val::Opaque(own), Val::String(text)]) => {
            let found = problems(own.downcast_ref::<Named>()?.0, text);
            let found = (!found.is_empty()).then(|| found.into_iter().map(Val::text).collect());
            Val::Optional(found.map(|found| Arc::new(Val::list(found))))
        }
        (name, []) => find(name)?,
        _ => return None,
    }))
}

/// What is wrong with a text of the format.
fn problems(format: &str, text: &str) -> Vec<String> {
    let known = |is: bool, otherwise: &str| match is {
        true => Vec::new(),
        false => vec![otherwise.to_owned()],
    };
    match format {
        "format.dns1123Label" => names::label(text),
        "format.dns1123Subdomain" => names::subdomain(text),
        "format.dns1035Label" => names::label_1035(text),
        "format.dns1123LabelPrefix" => NameRule::Label.check_prefix(text),
        "format.dns1123SubdomainPrefix" => NameRule::Subdomain.check_prefix(text),
        "format.dns1035LabelPrefix" => names::label_1035(&names::masked(text)),
        "format.qualifiedName" => names::qualified_name(text),
        "format.labelValue" => names::label_value(text),
        "format.uri" => url::request_uri(text).err().into_iter().collect(),
        "format.uuid" => known(
            formats::matches("uuid", text),
            "does not match the UUID format",
        ),
        "format.byte" => {
            let is = !text.is_empty() && formats::matches("byte", text);
            known(is, "invalid base64")
        }
        "format.date" => known(formats::matches("date", text), "invalid date"),
        _ => known(formats::matches("datetime", text), "invalid datetime"),
    }
}
