//! Invariants of any plan.
