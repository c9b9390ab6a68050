//! Nodes: which object belongs to which machine, what is to be set on it, and what to report.

mod bind;
mod plan;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use bind::object_name;
pub use bind::{Binding, Bindings, Unbound, bind};
pub use plan::{Deletion, Plan, delete, missing, plan};
pub use status::status;
