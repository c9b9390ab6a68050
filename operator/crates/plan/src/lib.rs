//! Every decision of the control plane, as pure functions: no I/O, no clock, no random numbers.

pub mod model;
