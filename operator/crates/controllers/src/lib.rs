//! Controllers: one loop per kind that observes, plans, acts and reports.

mod sink;

pub use sink::*;
