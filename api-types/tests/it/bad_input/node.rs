use serde_json::json;

use super::{Kind, Row};

#[test]
fn node_refuses() {
    let rows: Vec<Row> = vec![
        (
            "spec.swarmId",
            json!("ABC"),
            "spec.swarmId",
            "'ABC' is not the id of a Swarm node",
        ),
        (
            "spec.region",
            json!("eu west"),
            "spec.region",
            "'eu west' is not a region",
        ),
        ("spec.zone", json!("-"), "spec.zone", "'-' is not a zone"),
        (
            "spec.labels",
            json!({"cloud.obiente.zone": "a"}),
            "spec.labels[cloud.obiente.zone]",
            "spec.zone",
        ),
        (
            "spec.labels",
            json!({"a/b": "a"}),
            "spec.labels[a/b]",
            "the key must consist",
        ),
        (
            "spec.labels",
            json!({"a": "b c"}),
            "spec.labels[a]",
            "the value must consist",
        ),
    ];
    Kind::new("Node").refuses(&json!({"metadata": {"name": "n1"}, "spec": {}}), &rows);
}
