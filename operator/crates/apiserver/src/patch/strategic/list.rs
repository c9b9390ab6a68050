//! Lists under the `merge` strategy: elements are found by key, or by value where they are
//! scalars, and the result is put in an order that both sides can live with.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{DIRECTIVE, Field, Result, StrategicError, StrategicReason, merge_map, plain_list};

/// Merges `patch` into `live`.
pub(super) fn merge(field: &Field<'_>, live: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>> {
    if !one_type(live.iter().chain(patch)) {
        return Err(StrategicReason::MixedElements.into());
    }
    let (merged, order, live_order) = match live.first().or(patch.first()) {
        None => return Ok(live),
        Some(Value::Object(_)) => {
            let key = field.merge_key().ok_or(StrategicReason::NoMergeKey)?;
            let (live, patch) = apply_directives(key, live, patch)?;
            let merged = merge_elements(field, key, live.clone(), &patch)?;
            (merged, patch, live)
        }
        Some(_) => {
            let mut seen = HashSet::new();
            let both = live.iter().chain(patch);
            let merged = both.filter(|item| seen.insert(*item)).cloned().collect();
            (merged, patch.to_vec(), live)
        }
    };
    sort(field, merged, &order, &live_order)
}

/// Takes the elements with `$patch` out of the patch and does what they say.
fn apply_directives(
    key: &str,
    mut live: Vec<Value>,
    patch: &[Value],
) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut replace = false;
    let mut rest = Vec::new();
    for (index, element) in patch.iter().enumerate() {
        let at = |error: StrategicReason| StrategicError::from(error).under(&format!("[{index}]"));
        let directive = element.get(DIRECTIVE);
        match directive.map(|word| (word, word.as_str())) {
            None => rest.push(element.clone()),
            Some((_, Some("replace"))) => replace = true,
            Some((_, Some("delete"))) => {
                let unwanted = key_of(element, key).map_err(at)?;
                live.retain(|item| item.get(key) != Some(unwanted));
            }
            Some((found, _)) => {
                let allowed = "\"delete\" or \"replace\" in an element of a list";
                return Err(at(StrategicReason::Directive {
                    found: found.clone(),
                    allowed,
                }));
            }
        }
    }
    if replace {
        return Ok((plain_list(&rest), Vec::new()));
    }
    Ok((live, rest))
}

fn merge_elements(
    field: &Field<'_>,
    key: &str,
    mut live: Vec<Value>,
    patch: &[Value],
) -> Result<Vec<Value>> {
    let mut places: HashMap<Value, usize> = HashMap::new();
    for (place, element) in live.iter().enumerate() {
        if let Some(value) = element.get(key) {
            places.entry(value.clone()).or_insert(place);
        }
    }
    for (index, element) in patch.iter().enumerate() {
        let step = format!("[{index}]");
        let value =
            key_of(element, key).map_err(|reason| StrategicError::from(reason).under(&step))?;
        let Value::Object(patch) = element else {
            continue;
        };
        let known = places.get(value).copied();
        let base = match known.and_then(|place| live.get_mut(place)) {
            Some(place) => std::mem::take(place),
            None => Value::Object(Map::new()),
        };
        let Value::Object(base) = base else { continue };
        let merged = merge_map(field.items(), base, patch).map_err(|error| error.under(&step))?;
        match known {
            Some(place) => live[place] = Value::Object(merged),
            None => {
                places.insert(value.clone(), live.len());
                live.push(Value::Object(merged));
            }
        }
    }
    Ok(live)
}

/// Puts `merged` in order: elements that `order` names in its order, the others in `live`'s, and
/// the two woven together so that each of the others comes as early as `live` had it.
pub(super) fn sort(
    field: &Field<'_>,
    merged: Vec<Value>,
    order: &[Value],
    live: &[Value],
) -> Result<Vec<Value>> {
    let by_key = matches!(merged.first(), Some(Value::Object(_)));
    let key = if by_key {
        Some(field.merge_key().ok_or(StrategicReason::NoMergeKey)?)
    } else {
        None
    };
    let identity = |item: &Value| -> Result<Value> {
        match key {
            Some(key) => Ok(key_of(item, key)?.clone()),
            None => Ok(item.clone()),
        }
    };
    let places = |items: &[Value]| -> Result<HashMap<Value, usize>> {
        let mut places = HashMap::new();
        for (place, item) in items.iter().enumerate() {
            places.entry(identity(item)?).or_insert(place);
        }
        Ok(places)
    };
    let (wanted, known) = (places(order)?, places(live)?);
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let id = identity(&item)?;
        match wanted.get(&id) {
            Some(&place) => named.push((place, known.get(&id).copied(), item)),
            None => others.push((known.get(&id).copied(), item)),
        }
    }
    named.sort_by_key(|(place, ..)| *place);
    others.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
    Ok(weave(
        named
            .into_iter()
            .map(|(_, known, item)| (known, item))
            .collect(),
        others,
    ))
}

/// The order of `live` for the elements of `merged`: what is left of `live`, then as many new
/// elements as were deleted. They take the places that became free; clients that compute
/// patches against a Kubernetes server count on it.
pub(super) fn refill(field: &Field<'_>, mut live: Vec<Value>, merged: &[Value]) -> Vec<Value> {
    let Some(key) = field.merge_key() else {
        return live;
    };
    let keys_of = |items: &[Value]| -> HashSet<Value> {
        items
            .iter()
            .filter_map(|item| item.get(key))
            .cloned()
            .collect()
    };
    let (before, after) = (keys_of(&live), keys_of(merged));
    let is_in =
        |keys: &HashSet<Value>, item: &Value| item.get(key).is_some_and(|id| keys.contains(id));
    let length = live.len();
    live.retain(|item| is_in(&after, item));
    let free = length - live.len();
    let new = merged.iter().filter(|item| !is_in(&before, item));
    live.extend(new.take(free).cloned());
    live
}

/// Merges two sorted lists by the places their elements had in the document; where one of two
/// has no place, the first list goes first.
fn weave(first: Vec<(Option<usize>, Value)>, second: Vec<(Option<usize>, Value)>) -> Vec<Value> {
    let mut result = Vec::with_capacity(first.len() + second.len());
    let mut second = second.into_iter().peekable();
    for (place, item) in first {
        let earlier = |other: &(Option<usize>, Value)| matches!((other.0, place), (Some(other), Some(place)) if other < place);
        while let Some((_, other)) = second.next_if(earlier) {
            result.push(other);
        }
        result.push(item);
    }
    result.extend(second.map(|(_, item)| item));
    result
}

/// Whether the elements of `patch` (deletions aside) appear in `order`, in the same order.
pub(super) fn check_order(field: &Field<'_>, patch: &[Value], order: &[Value]) -> Result<()> {
    if order.is_empty() {
        return Ok(());
    }
    let mut order = order.iter();
    for element in patch
        .iter()
        .filter(|element| element.get(DIRECTIVE).is_none())
    {
        let found = match (field.merge_key(), element) {
            (Some(key), Value::Object(_)) => {
                let wanted = key_of(element, key)?;
                order.any(|each| each.get(key) == Some(wanted))
            }
            _ => order.any(|each| each == element),
        };
        if !found {
            return Err(StrategicReason::Order.into());
        }
    }
    Ok(())
}

fn key_of<'a>(element: &'a Value, key: &str) -> std::result::Result<&'a Value, StrategicReason> {
    let missing = || StrategicReason::NoKey {
        element: element.clone(),
        key: key.to_owned(),
    };
    element.get(key).ok_or_else(missing)
}

/// Whether all elements have the same JSON type, and that type is not a list.
fn one_type<'a>(mut items: impl Iterator<Item = &'a Value>) -> bool {
    let Some(first) = items.next() else {
        return true;
    };
    let kind = std::mem::discriminant(first);
    !first.is_array() && items.all(|item| std::mem::discriminant(item) == kind)
}
