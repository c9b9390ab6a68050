//! Between the Engine's JSON and [`plan::model`], in both directions.
//!
//! What is read is not what was written (T18): the Engine adds empty maps and defaults, and
//! turns network names into ids. [`read`] undoes that, so that a spec written by [`write`] and
//! read back equals itself; [`read`] also reports every field with a value that the model does
//! not have, so that a foreign edit of any field is seen.

mod fields;
pub(crate) mod read;
pub(crate) mod write;

/// Swarm's spelling of a capability: upper case, with its prefix.
fn capability(name: &str) -> String {
    let name = name.to_uppercase();
    if name == "ALL" || name.starts_with("CAP_") {
        name
    } else {
        format!("CAP_{name}")
    }
}

/// The Engine reads a monitoring time of 0 as "not set", which means 5 s; the shortest time it
/// keeps stands for "not at all".
const NO_MONITORING_NS: i64 = 1;
