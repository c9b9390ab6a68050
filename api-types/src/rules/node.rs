//! Rules of `Node`.

use super::{Rule, text};

const LABEL_VALUE: &str = "self.matches('^[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?$')";

pub(super) const RULES: &[Rule] = &[
    text(
        "spec.swarmId",
        "self.matches('^[a-z0-9]{25}$')",
        "is not the id of a Swarm node: write the 25 characters that docker node ls shows",
    ),
    text(
        "spec.region",
        LABEL_VALUE,
        "is not a region: write letters, digits, -, _ and ., for example eu-west",
    ),
    text(
        "spec.zone",
        LABEL_VALUE,
        "is not a zone: write letters, digits, -, _ and ., for example eu-west-1a",
    ),
];
