//! Quantities (`quantity('1.5Gi')`) and URLs (`url('https://a.b')`), which are values of their own; and
//! what is no network (`cidr('10.0.0.0/8')`), for kube-cel takes more for one than Kubernetes does.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api_types::units::QuantityError;
use kube_cel::cel::objects::Opaque;
use serde_json::Value;

use super::{Fault, Key, Outcome, Val};
use crate::admission::Amount;
use crate::validation::url::{self, Url};

impl Opaque for Amount {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.Quantity"
    }
}

impl Opaque for Url {
    fn runtime_type_name(&self) -> &str {
        "kubernetes.URL"
    }
}

/// What is too large to be counted is as large as can be counted.
fn quantity(text: &str) -> Result<Amount, Fault> {
    let sign = if text.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    match Amount::read(&Value::from(text)) {
        Err(QuantityError::TooLarge(_)) => Ok(Amount::count(sign)),
        read => read.map_err(|_| Fault::error(no_quantity(text))),
    }
}

/// Why a text is no quantity.
fn no_quantity(text: &str) -> &'static str {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let broken = number.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let broken = broken.strip_prefix('.').unwrap_or(broken);
    let suffix = broken.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let power = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    match suffix.is_empty() || !power.bytes().all(|byte| byte.is_ascii_digit()) {
        true => {
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        }
        false => "unable to parse quantity's suffix",
    }
}

/// The function `name`, if it is one of these.
pub(super) fn call(name: &str, args: &[Val]) -> Option<Outcome> {
    Some(match (name, args) {
        ("quantity", [Val::String(text)]) => {
            quantity(text).map(|amount| Val::Opaque(Arc::new(amount)))
        }
        ("isQuantity", [Val::String(text)]) => Ok(Val::Bool(quantity(text).is_ok())),
        ("url", [Val::String(text)]) => match url::parse(text) {
            Ok(url) => Ok(Val::Opaque(Arc::new(url))),
            Err(why) => Err(Fault::error(format!(
                "URL parse error during conversion from string: {why}"
            ))),
        },
        ("isURL", [Val::String(text)]) => Ok(Val::Bool(url::request_uri(text).is_ok())),
        ("isCIDR", [Val::String(text)]) => Ok(Val::Bool(no_network(text).is_none())),
        ("cidr", [Val::String(text)]) | ("containsCIDR", [_, Val::String(text)]) => {
            Err(Fault::error(no_network(text)?))
        }
        ("containsIP", [_, Val::String(text)]) if !is_address(text) => Err(Fault::no_overload()),
        (_, [Val::Opaque(own)]) => match own.downcast_ref::<Url>() {
            Some(url) => Ok(part(name, url)?),
            None => alone(name, *own.downcast_ref::<Amount>()?)?,
        },
        (_, [Val::Opaque(own), other]) => {
            let amount = *own.downcast_ref::<Amount>()?;
            let other = match other {
                Val::Opaque(other) => *other.downcast_ref::<Amount>()?,
                Val::Int(number) => Amount::count((*number).into()),
                _ => return None,
            };
            Ok(together(name, amount, other)?)
        }
        _ => return None,
    })
}

fn is_address(text: &str) -> bool {
    let address = text.parse::<IpAddr>();
    address.is_ok_and(|address| address == address.to_canonical())
}

/// Why a text is no network, if it is none.
fn no_network(text: &str) -> Option<String> {
    let failed = "network address parse error during conversion from string";
    let told = |why: String| {
        Some(format!(
            "{failed}: {failed}: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let Some((address, bits)) = text.rsplit_once('/') else {
        return told("no '/'".into());
    };
    if address.contains('%') {
        return told("IPv6 zones cannot be present in a prefix".into());
    }
    let Ok(found) = address.parse::<IpAddr>() else {
        return told(format!("ParseAddr({address:?}): unable to parse IP"));
    };
    let plain =
        bits.bytes().all(|byte| byte.is_ascii_digit()) && (bits == "0" || !bits.starts_with('0'));
    match bits.parse::<u32>() {
        Ok(bits) if plain && bits > if found.is_ipv4() { 32 } else { 128 } => {
            told("prefix length out of range".into())
        }
        Ok(_) if plain && !is_address(address) => Some(format!(
            "{failed}: IPv4-mapped IPv6 address {text:?} is not allowed"
        )),
        Ok(_) if plain => None,
        _ => told(format!("bad bits after slash: {bits:?}")),
    }
}

fn part(name: &str, url: &Url) -> Option<Val> {
    Some(match name {
        "getScheme" => Val::text(&url.scheme),
        "getHost" => Val::text(&url.host),
        "getHostname" => Val::text(url.hostname()),
        "getPort" => Val::text(url.port()),
        "getEscapedPath" => Val::text(url.escaped_path()),
        "getQuery" => {
            let mut values: BTreeMap<Key, Vec<Val>> = BTreeMap::new();
            for (name, value) in url.query() {
                let name = Key::String(Arc::new(name));
                values.entry(name).or_default().push(Val::text(value));
            }
            let values = values.into_iter();
            Val::map(
                values
                    .map(|(name, values)| (name, Val::list(values)))
                    .collect(),
            )
        }
        _ => return None,
    })
}

fn alone(name: &str, amount: Amount) -> Option<Outcome> {
    Some(Ok(match name {
        "isInteger" => Val::Bool(amount.whole().is_some()),
        "asInteger" => match amount.whole() {
            Some(number) => Val::Int(number),
            None => return Some(Err(Fault::error("cannot convert value to integer"))),
        },
        "asApproximateFloat" => Val::Double(amount.approximately()),
        "sign" => Val::Int(amount.cmp(&Amount::default()) as i64),
        _ => return None,
    }))
}

fn together(name: &str, amount: Amount, other: Amount) -> Option<Val> {
    Some(match name {
        "add" => Val::Opaque(Arc::new(amount + other)),
        "sub" => Val::Opaque(Arc::new(amount - other)),
        "compareTo" => Val::Int(amount.cmp(&other) as i64),
        "isLessThan" => Val::Bool(amount.cmp(&other) == Ordering::Less),
        "isGreaterThan" => Val::Bool(amount.cmp(&other) == Ordering::Greater),
        _ => return None,
    })
}
